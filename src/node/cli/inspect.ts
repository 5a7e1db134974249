/** What a file or a model folder is, or everything that is wrong with it. Without a GPU; the weights are read only when asked. */

import { stat } from "node:fs/promises";
import { type BertConfig, ModelError, parseConfig } from "../../bert/config.ts";
import { type GenerationModelConfig, isWriter } from "../../bert/generation/config.ts";
import { openGenerationModel } from "../../bert/generation/model.ts";
import { openWeights } from "../../bert/projection.ts";
import { findSentenceModules, folderAt, MODULES } from "../../bert/tasks/sentence_modules.ts";
import { loadTokenizer } from "../../bert/tokenizer/load.ts";
import type { Tokenizer } from "../../bert/tokenizer/tokenizer.ts";
import { checkWeights, type Parts, settleConfig } from "../../bert/weights.ts";
import { type Folder, readText } from "../../files/bytes.ts";
import { type Checkpoint, openCheckpointFile } from "../../files/checkpoint.ts";
import { CheckpointError } from "../../files/faults.ts";
import { parseJson } from "../../files/json.ts";
import { isPyTorch } from "../../files/pytorch/state_dict.ts";
import { openFile } from "../folder.ts";
import { messageOf } from "./failure.ts";
import { openModelFolder } from "./model.ts";
import { barsOn, progress } from "./progress_bar.ts";
import { findBadValues } from "./values.ts";

export interface CheckpointSummary {
  readonly files: readonly string[];
  readonly tensors: number;
  /** Elements of all tensors. */
  readonly parameters: number;
  /** Of all files. */
  readonly bytes: number;
  /** Tensors of each type. */
  readonly dtypes: Readonly<Record<string, number>>;
}

export interface Inspection {
  /** What it is taken for; absent where nothing is. */
  readonly kind?: "safetensors file" | "PyTorch file" | "model folder";
  readonly config?: BertConfig;
  /** Of a model that writes text, in place of `config`. */
  readonly writer?: Pick<GenerationModelConfig, "encoder" | "decoder">;
  readonly checkpoint?: CheckpointSummary;
  readonly parts?: Parts;
  /** Absent also where there is none, which is no fault: token ids can be given. */
  readonly tokenizer?: Tokenizer;
  readonly tokenizerFile?: string;
  readonly warnings: readonly string[];
  readonly faults: readonly string[];
}

const WRITES = "it writes text, which generate, translate and summarise are for; an encoder is needed here";

export const NO_TOKENIZER = "there is no tokenizer: neither tokenizer.json nor vocab.txt";

/**
 * @param path of a file or of a folder, or a model of the hub, as the user gave it
 * @param options `verify`: whether the files of a model of the hub are hashed; no bars with `json`
 */
export async function inspectPath(
  path: string,
  options: { readonly json: boolean; readonly verify: boolean },
): Promise<Inspection> {
  const reading = progress(`reading ${path}`, barsOn(options));
  let kind: Inspection["kind"];
  try {
    const found = await stat(path).catch(() => undefined);
    if (!found || found.isDirectory()) {
      const folder = await openModelFolder(path, options);
      kind = "model folder";
      return await inspectFolder(folder, { values: reading.at });
    }
    kind = "safetensors file";
    const source = await openFile(path);
    if (isPyTorch(await source.read(0, Math.min(16, source.size)))) kind = "PyTorch file";
    const checkpoint = await openCheckpointFile(source);
    try {
      const { warnings } = await findBadValues(checkpoint, { onShare: reading.at });
      return {
        kind,
        checkpoint: summaryOf(checkpoint),
        warnings: [...checkpoint.warnings, ...warnings],
        faults: [],
      };
    } finally {
      await checkpoint.close();
    }
  } catch (error) {
    return { ...(kind && { kind }), warnings: [], faults: faultsOf(error, path) };
  } finally {
    reading.end();
  }
}

/**
 * Configuration, weights and tokenizer each by itself, then held against each other. Of a model that writes text the fault
 * is that it is none that reads them, unless `values` are asked for.
 * @param options `values`: told how much is done, the weights are read as well, and searched for what is no finite number
 */
export async function inspectFolder(
  folder: Folder,
  { values }: { values?: (share: number) => void } = {},
): Promise<Inspection> {
  if (await isWriter(folder)) {
    return values ? inspectWriter(folder, values) : { kind: "model folder", warnings: [], faults: [WRITES] };
  }
  const faults: string[] = [];
  const attempt = async <T>(work: () => Promise<T>, where = ""): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      faults.push(...faultsOf(error, folder.name).map((fault) => where + fault));
      return undefined;
    }
  };
  const own = await encoderFolder(folder);
  const warnings: string[] = [];
  const warn = (warning: string): unknown => warnings.push(warning);
  const inConfig = (warning: string): unknown => warn(`config.json: ${warning}`);
  let config = await attempt(() => readConfig(own, inConfig), "config.json: ");
  const checkpoint = await attempt(() => openWeights(own, config?.architectures ?? []));
  let parts: Parts | undefined;
  if (checkpoint) {
    checkpoint.warnings.forEach(warn);
    const written = config;
    config = written && ((await attempt(() => settleConfig(written, checkpoint, warn))) ?? written);
    parts = config && (await attempt(async () => checkWeights(config!, checkpoint, warn)));
    if (values) {
      const found = await attempt(() => findBadValues(checkpoint, { always: parts?.encoder, onShare: values }));
      faults.push(...(found?.faults ?? []));
      found?.warnings.forEach(warn);
      const modules = (await readText(folder, MODULES)) ?? "";
      const { sentenceFault } = (await attempt(() => findSentenceModules(folder, modules))) ?? {};
      if (sentenceFault) faultsOf(sentenceFault, folder.name).forEach(warn);
    }
    await checkpoint.close();
  }
  const { tokenizer, tokenizerFile, faults: tokenizerFaults } = await inspectTokenizer(folder);
  faults.push(...tokenizerFaults);
  if (config && tokenizer && tokenizer.vocabSize > config.vocabSize) {
    faults.push(`${tokenizerFile} has ${tokenizer.vocabSize} tokens, vocab_size of config.json is ${config.vocabSize}`);
  }
  return {
    kind: "model folder",
    ...(config && { config }),
    ...(checkpoint && { checkpoint: summaryOf(checkpoint) }),
    ...(parts && { parts }),
    ...(tokenizer && { tokenizer }),
    ...(tokenizerFile && { tokenizerFile }),
    warnings: [...new Set(warnings)],
    faults,
  };
}

/** A model that writes text, all values of it. */
async function inspectWriter(folder: Folder, onShare: (share: number) => void): Promise<Inspection> {
  const [warnings, faults]: [string[], string[]] = [[], []];
  const found: { writer?: GenerationModelConfig; checkpoint?: CheckpointSummary } = {};
  try {
    const onWarning = (warning: string): unknown => warnings.push(warning.replace(`${folder.name}: `, ""));
    const { config, checkpoint, names } = await openGenerationModel(folder, { onWarning });
    found.writer = config;
    found.checkpoint = summaryOf(checkpoint);
    const always = new Set([...names.stored.values()].filter((name) => !name.includes("pooler.")));
    const bad = await findBadValues(checkpoint, { always, onShare }).finally(() => checkpoint.close());
    faults.push(...bad.faults);
    warnings.push(...bad.warnings);
  } catch (error) {
    faults.push(...faultsOf(error, folder.name));
  }
  const { faults: tokenizerFaults, ...tokens } = await inspectTokenizer(folder);
  faults.push(...tokenizerFaults);
  const vocabSize = (found.writer?.encoder ?? found.writer?.decoder)?.vocabSize;
  if (vocabSize !== undefined && tokens.tokenizer && tokens.tokenizer.vocabSize > vocabSize) {
    faults.push(
      `${tokens.tokenizerFile} has ${tokens.tokenizer.vocabSize} tokens, the model's vocab_size is ${vocabSize}`,
    );
  }
  return { kind: "model folder", ...found, ...tokens, warnings, faults };
}

/** A folder without a tokenizer gives none, and no fault. */
export async function inspectTokenizer(
  folder: Folder,
): Promise<Pick<Inspection, "tokenizer" | "tokenizerFile" | "faults">> {
  try {
    const own = await encoderFolder(folder);
    const tokenizerFile = await findTokenizer(own);
    if (tokenizerFile === undefined) return { faults: [] };
    return { tokenizerFile, tokenizer: await loadTokenizer(own), faults: [] };
  } catch (error) {
    return { faults: faultsOf(error, folder.name) };
  }
}

/** Where first versions of sentence-transformers kept it. What is wrong with modules.json is for its reader to say. */
async function encoderFolder(folder: Folder): Promise<Folder> {
  try {
    const [first] = parseJson((await readText(folder, MODULES)) ?? "[]") as { path?: unknown }[];
    return folderAt(folder, typeof first?.path === "string" ? first.path : "");
  } catch {
    return folder;
  }
}

async function readConfig(folder: Folder, warn: (warning: string) => void): Promise<BertConfig> {
  const text = await readText(folder, "config.json");
  if (text === undefined) throw new Error("it is missing; is this a model folder?");
  return parseConfig(text, undefined, warn);
}

/** The file that `loadTokenizer` will take. */
async function findTokenizer(folder: Folder): Promise<string | undefined> {
  for (const name of ["tokenizer.json", "vocab.txt"]) {
    const source = await folder.open(name);
    await source?.close();
    if (source) return name;
  }
  return undefined;
}

/** Without the name of the file or folder in front, which the reader of the report knows. */
function faultsOf(error: unknown, name: string): readonly string[] {
  if (error instanceof ModelError || error instanceof CheckpointError) return error.faults;
  const message = messageOf(error);
  const prefix = [`${name}: `, `${name}/`, `${name} `].find((prefix) => message.startsWith(prefix)) ?? "";
  return [message.slice(prefix.length)];
}

function summaryOf({ tensors, files }: Checkpoint): CheckpointSummary {
  const all = [...tensors.values()];
  const dtypes: Record<string, number> = {};
  for (const { dtype } of all) dtypes[dtype] = (dtypes[dtype] ?? 0) + 1;
  return {
    files: [...files.keys()],
    tensors: all.length,
    parameters: all.reduce((sum, { elements }) => sum + elements, 0),
    bytes: [...files.values()].reduce((sum, { source }) => sum + source.size, 0),
    dtypes,
  };
}
