/** What training begins with: a model folder, or a configuration and a tokenizer for random weights. */

import { type BertConfig, ModelError, parseConfig } from "../../../bert/config.ts";
import { loadTokenizer } from "../../../bert/tokenizer/load.ts";
import type { Tokenizer } from "../../../bert/tokenizer/tokenizer.ts";
import type { Parts } from "../../../bert/weights.ts";
import { type Folder, readText } from "../../../files/bytes.ts";
import { openFile, openFolder } from "../../folder.ts";
import { InputError } from "../failure.ts";
import { inspectFolder, NO_TOKENIZER } from "../inspect.ts";
import { openModelFolder } from "../model.ts";
import type { TrainOptions } from "./options.ts";

export interface Begin {
  readonly folder: Folder;
  readonly config: BertConfig;
  readonly tokenizer: Tokenizer;
  /** Undefined: all weights are random. */
  readonly parts: Parts | undefined;
  readonly warnings: readonly string[];
}

/** @throws InputError for options that do not go together, ModelError with every fault of the folder */
export async function openBegin({ model, config, tokenizer, verify, json }: TrainOptions): Promise<Begin> {
  if (model !== undefined && (config ?? tokenizer) !== undefined) {
    throw new InputError("--model has a configuration and a tokenizer; give either it, or --config and --tokenizer");
  }
  if (model !== undefined) return openModel(await openModelFolder(model, { verify, json }));
  if (config === undefined || tokenizer === undefined) {
    throw new InputError("give --model to begin with, or --config and --tokenizer for random weights");
  }
  return openScratch(config, openFolder(tokenizer));
}

async function openModel(folder: Folder): Promise<Begin> {
  if ((await readText(folder, "config.json")) === undefined && (await readText(folder, "adapter_config.json"))) {
    const remedy = `convert BASE OUT.safetensors --merge-lora ${folder.name}`;
    throw new InputError(`${folder.name} is an adapter, not a model; merge it into its base first: ${remedy}`);
  }
  const { config, tokenizer, parts, faults, warnings } = await inspectFolder(folder);
  if (faults.length > 0) throw new ModelError(folder.name, faults);
  if (!tokenizer) throw new ModelError(folder.name, [NO_TOKENIZER]);
  return { folder, config: config!, tokenizer, parts, warnings };
}

async function openScratch(path: string, files: Folder): Promise<Begin> {
  // the tokenizer's class may be said in config.json: that of its own folder
  const tokenizer = await loadTokenizer(files);
  const folder: Folder = {
    name: path,
    open: (name) => (name === "config.json" ? openFile(path) : files.open(name)),
  };
  const warnings: string[] = [];
  const text = await readText(folder, "config.json");
  const config = parseConfig(text!, path, (warning) => warnings.push(warning));
  if (tokenizer.vocabSize > config.vocabSize) {
    throw new ModelError(path, [
      `vocab_size is ${config.vocabSize}, the tokenizer of ${files.name} has ${tokenizer.vocabSize} tokens`,
    ]);
  }
  return { folder, config, tokenizer, parts: undefined, warnings };
}
