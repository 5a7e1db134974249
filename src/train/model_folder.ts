/** The model folder that training begins from, and the one that it ends with: Hugging Face's, of what is trained. */

import { type BertConfig, ModelError, parseConfig } from "../bert/config.ts";
import type { StoredShapes } from "../bert/heads/head.ts";
import type { HeadName } from "../bert/heads/index.ts";
import { folderAt } from "../bert/tasks/sentence_modules.ts";
import { nameTensors, settleConfig } from "../bert/weights.ts";
import { type Folder, readText } from "../files/bytes.ts";
import { type Checkpoint, openCheckpoint } from "../files/checkpoint.ts";
import { parseJson } from "../files/json.ts";
import type { Shape } from "../runtime/tensor.ts";
import type { Dropout } from "./encoder.ts";
import type { Partly } from "./flat.ts";
import { frozenBy } from "./frozen.ts";
import { shapesFor } from "./initial.ts";
import { type LoraOptions, loraOf } from "./lora.ts";
import { OBJECTIVES, type ObjectiveName } from "./objectives.ts";
import { openSentence, type SentenceStart, sentenceModulesOf } from "./sentence_files.ts";
import { isSentenceLoss, SENTENCE_LOSSES, type SentenceOptions } from "./sentence_losses.ts";

export interface StartOptions {
  readonly objectives: readonly ObjectiveName[];
  /** Names of the classes, in place of those that config.json has. Default: those. */
  readonly labels?: readonly string[] | undefined;
  /** Whether the folder's weights are left alone, and all of them begin random. Default false. */
  readonly fromScratch?: boolean | undefined;
  /** In place of config.json's. */
  readonly dropout?: Partial<Dropout> | undefined;
  /** Of losses of sentences. */
  readonly sentence?: SentenceOptions | undefined;
  /**
   * Parts that stay as they are: `embeddings`, `layers:0-3`, `layers:5` (from 0), `encoder` (embeddings and all layers),
   * `pooler`. They take no gradients and no moments, and the backward pass ends above the lowest that is trained.
   */
  readonly freeze?: readonly string[] | undefined;
  /** Trains low-rank adapters of linear layers and a new head, in place of the weights, into the files of PEFT. */
  readonly lora?: LoraOptions | undefined;
}

export interface StartingModel {
  readonly name: string;
  readonly config: BertConfig;
  /** config.json of what is trained. */
  readonly json: Readonly<Record<string, unknown>>;
  readonly heads: readonly HeadName[];
  readonly dropout: Dropout;
  /** Of random weights. */
  readonly deviation: number;
  /** Undefined: all weights are random. Whoever opened it closes it. */
  readonly checkpoint: Checkpoint | undefined;
  readonly partly: Partly;
  /** What an adapter says its base is. */
  readonly baseModel: string;
  /** Files of the tokenizer, as they are, and of sentence-transformers. */
  readonly files: readonly (readonly [path: string, content: string])[];
  /** Of losses of sentences. */
  readonly sentence: SentenceStart | undefined;
  /** What is not trained, and stays as it is in the checkpoint. */
  readonly kept: KeptTensors;
}

/** By the names of the file. */
export type KeptTensors = ReadonlyMap<string, { readonly shape: Shape; readonly values: Float32Array<ArrayBuffer> }>;

/** By the objectives, sorted and joined: what transformers calls a model with those heads, or the two that share its encoder. */
const ARCHITECTURES: Readonly<Record<string, string | readonly string[]>> = {
  mlm: "BertForMaskedLM",
  next: "BertForNextSentencePrediction",
  "mlm next": "BertForPreTraining",
  label: "BertForSequenceClassification",
  "label mlm": ["BertForMaskedLM", "BertForSequenceClassification"],
  labels: "BertForSequenceClassification",
  number: "BertForSequenceClassification",
  tags: "BertForTokenClassification",
  span: "BertForQuestionAnswering",
  ...Object.fromEntries(Object.keys(SENTENCE_LOSSES).map((name) => [name, "BertModel"])),
};

const PROBLEMS: Readonly<Partial<Record<string, string>>> = {
  label: "single_label_classification",
  "label mlm": "single_label_classification",
  labels: "multi_label_classification",
  number: "regression",
};

const TOKENIZER_FILES = [
  ...["vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"],
];

/**
 * @throws ModelError for a config.json that is missing or wrong, RangeError for objectives that no architecture has
 * together, CheckpointError for weights that cannot be read
 */
export async function openStart(given: Folder, options: StartOptions): Promise<StartingModel> {
  const { objectives, fromScratch = false } = options;
  const ofSentences = objectives.every(isSentenceLoss);
  const modules = ofSentences ? await sentenceModulesOf(given) : undefined;
  const folder = folderAt(given, modules?.path ?? "");
  const key = [...objectives].sort().join(" ");
  const architecture = ARCHITECTURES[key];
  if (!architecture) {
    const all = Object.keys(ARCHITECTURES).map((name) => name.replace(" ", " with "));
    throw new RangeError(`objectives ${JSON.stringify(objectives)}: there are ${all.join(", ")}`);
  }
  const text = await readText(folder, "config.json");
  if (text === undefined) throw new ModelError(folder.name, ["there is no config.json; is it a model folder?"]);
  const where = `${folder.name}/config.json`;
  parseConfig(text, where); // what is wrong with the file itself is told of the file
  const json = trainedJson(parseJson(text, () => {}) as Record<string, unknown>, architecture, PROBLEMS[key], options);
  const written = parseConfig(JSON.stringify(json), where);
  const files: [string, string][] = [];
  for (const path of TOKENIZER_FILES) {
    const content = await readText(folder, path);
    if (content !== undefined) files.push([path, content]);
  }
  const heads = objectives.flatMap((name) => OBJECTIVES[name].heads);
  const checkpoint = fromScratch ? undefined : await openCheckpoint(folder);
  try {
    const config = checkpoint ? await settleConfig(written, checkpoint) : written;
    const sentence = ofSentences ? await openSentence(given, modules, options.sentence ?? {}, config) : undefined;
    return {
      name: folder.name,
      config,
      json: { ...json, tie_word_embeddings: config.tieWordEmbeddings },
      heads,
      dropout: dropoutIn(json),
      deviation: numberIn(json, "initializer_range", 0.02),
      checkpoint,
      files: [...files, ...(sentence?.files ?? [])],
      sentence,
      kept: sentence && checkpoint ? await poolerOf(checkpoint, config) : new Map(),
      partly: partlyOf(options, shapesFor(config, heads), checkpoint && nameTensors(checkpoint, config).shapes),
      baseModel: options.lora?.baseModel ?? folder.name,
    };
  } catch (error) {
    await checkpoint?.close();
    throw error;
  }
}

/** @param found what the checkpoint has */
function partlyOf(
  { freeze, lora }: StartOptions,
  shapes: ReadonlyMap<string, Shape>,
  found: StoredShapes | undefined,
): Partly {
  if (freeze && lora) throw new RangeError("freeze and lora are both given: with lora all else is frozen");
  if (freeze) return { frozen: frozenBy(freeze, shapes) };
  if (!lora) return {};
  const own = loraOf(lora, shapes, (name) => shapes.has(name) && !found?.has(name));
  return { frozen: own.frozen, lora: own };
}

function trainedJson(
  json: Record<string, unknown>,
  architecture: string | readonly string[],
  problem: string | undefined,
  { labels, dropout }: StartOptions,
): Record<string, unknown> {
  const { torch_dtype: _, problem_type: __, ...kept } = json;
  if (labels) delete kept.num_labels;
  const given = {
    hidden_dropout_prob: dropout?.hidden,
    attention_probs_dropout_prob: dropout?.attention,
    classifier_dropout: dropout?.classifier,
  };
  const set = Object.entries(given).filter(([, value]) => value !== undefined);
  return {
    ...kept,
    ...Object.fromEntries(set),
    model_type: "bert",
    architectures: [architecture].flat(),
    dtype: "float32",
    ...(problem && { problem_type: problem }),
    ...(labels && {
      id2label: Object.fromEntries(labels.map((label, i) => [i, label])),
      label2id: Object.fromEntries(labels.map((label, i) => [label, i])),
    }),
  };
}

function dropoutIn(json: Readonly<Record<string, unknown>>): Dropout {
  const hidden = probabilityIn(json, "hidden_dropout_prob", 0.1);
  return {
    hidden,
    attention: probabilityIn(json, "attention_probs_dropout_prob", 0.1),
    classifier: probabilityIn(json, "classifier_dropout", hidden),
  };
}

function probabilityIn(json: Readonly<Record<string, unknown>>, key: string, fallback: number): number {
  const value = numberIn(json, key, fallback);
  if (value >= 0 && value < 1) return value;
  throw new RangeError(`${key} is ${value}, it must be a probability from 0 to less than 1`);
}

function numberIn(json: Readonly<Record<string, unknown>>, key: string, fallback: number): number {
  const value = json[key] ?? fallback;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw new RangeError(`${key} is ${JSON.stringify(value)}, it must be a number`);
}

/** BertModel has a pooler, which vectors of sentences do without: it is written as it was, where it is whole. */
async function poolerOf(checkpoint: Checkpoint, config: BertConfig): Promise<KeptTensors> {
  const { stored, shapes } = nameTensors(checkpoint, config);
  const { hiddenSize: h } = config;
  const pooler = new Map<string, Shape>([
    ["pooler.dense.weight", [h, h]],
    ["pooler.dense.bias", [h]],
  ]);
  if ([...pooler].some(([name, shape]) => shapes.get(name)?.join() !== shape.join())) return new Map();
  const kept = new Map<string, { shape: Shape; values: Float32Array<ArrayBuffer> }>();
  for (const [name, shape] of pooler) {
    kept.set(name, { shape, values: Float32Array.from(await checkpoint.readFloats(stored.get(name)!)) });
  }
  return kept;
}

/** The name that transformers gives a tensor of ours: in a BertModel it has no prefix. */
export function publishedName(name: string, heads: readonly HeadName[]): string {
  return heads.length > 0 && /^(embeddings|encoder|pooler)\./.test(name) ? `bert.${name}` : name;
}
