/** The files of sentence-transformers beside a model: what a folder has of them, and those of what is trained. */

import type { BertConfig } from "../bert/config.ts";
import { POOLINGS } from "../bert/tasks/pooling.ts";
import { folderAt, readSentenceModules, type SentenceModules } from "../bert/tasks/sentence_modules.ts";
import { type Folder, readText } from "../files/bytes.ts";
import { parseJson } from "../files/json.ts";
import type { PoolMode } from "../kernels/tokens/pool.ts";
import { type SentenceOptions, type SentenceSettings, sentenceSettings } from "./sentence_losses.ts";

export interface SentenceStart {
  readonly settings: SentenceSettings;
  /** Paths and contents. */
  readonly files: readonly (readonly [path: string, content: string])[];
}

/** Tokens of a text, where neither the folder nor whoever trains says how many. */
const USUAL_LENGTH = 512;

/**
 * What modules.json says of vectors of texts: undefined where there is none, or where they are scores, vectors of tokens or
 * sparse ones, of which the encoder alone is of use.
 * @throws ModelError for files that are malformed
 */
export async function sentenceModulesOf(folder: Folder): Promise<SentenceModules | undefined> {
  const modules = await readSentenceModules(folder);
  return modules?.crossEncoder ? undefined : modules;
}

/** @throws RangeError for modules and poolings that are not trained, and as `sentenceSettings` */
export async function openSentence(
  folder: Folder,
  modules: SentenceModules | undefined,
  options: SentenceOptions,
  config: BertConfig,
): Promise<SentenceStart> {
  const { hiddenSize, maxPositionEmbeddings } = config;
  const pooling = options.pooling ?? poolingOf(folder.name, modules);
  const normalize = modules?.normalize ?? false;
  const settings = sentenceSettings({ ...options, pooling }, hiddenSize, normalize);
  const includePrompt = modules?.modules.find((module) => "poolings" in module)?.includePrompt ?? true;
  const usual = Math.min(maxPositionEmbeddings, USUAL_LENGTH);
  const max_seq_length = options.maxLength ?? modules?.maxSeqLength ?? usual;
  const own = folderAt(folder, modules?.path ?? "");
  const known = modules && (await readText(own, "sentence_bert_config.json"));
  const encoder = known ? (parseJson(known, () => {}) as object) : { do_lower_case: false };
  const written = modules && (await readText(folder, "config_sentence_transformers.json"));
  const fresh = { prompts: {}, default_prompt_name: null, similarity_fn_name: "cosine" };
  return {
    settings,
    files: [
      ["modules.json", text(modulesWith(normalize))],
      ["sentence_bert_config.json", text({ ...encoder, max_seq_length })],
      ["config_sentence_transformers.json", written ?? text(fresh)],
      ["1_Pooling/config.json", text(poolingConfig(hiddenSize, pooling, includePrompt))],
    ],
  };
}

function poolingOf(name: string, modules: SentenceModules | undefined): PoolMode {
  if (!modules) return "mean";
  const [first, ...others] = modules.modules;
  if (!first || !("poolings" in first) || others.length > 0) {
    throw new RangeError(
      `${name}: modules.json has others than Transformer, Pooling and Normalize, which are not trained`,
    );
  }
  const [pooling] = first.poolings;
  if (first.poolings.length === 1 && (pooling === "cls" || pooling === "mean" || pooling === "max")) return pooling;
  throw new RangeError(`${name} pools by ${first.poolings.join(", ")}; trained are cls, mean and max: choose one`);
}

/** Under the names that all versions of sentence-transformers know. */
function modulesWith(normalize: boolean): object[] {
  const kinds = ["Transformer", "Pooling", ...(normalize ? ["Normalize"] : [])];
  return kinds.map((kind, idx) => ({
    ...{ idx, name: String(idx), path: idx === 0 ? "" : `${idx}_${kind}` },
    type: `sentence_transformers.models.${kind}`,
  }));
}

function poolingConfig(size: number, pooling: PoolMode, includePrompt: boolean): object {
  const keys = ["cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"];
  return {
    word_embedding_dimension: size,
    ...Object.fromEntries(keys.map((key, i) => [`pooling_mode_${key}`, POOLINGS[i] === pooling])),
    include_prompt: includePrompt,
  };
}

const text = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
