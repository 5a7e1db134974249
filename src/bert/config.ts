/** config.json of a BERT checkpoint: read, checked, and turned into what the encoder needs. */

import { FaultsError, faultList, quote, type Report } from "../files/faults.ts";
import { parseJson } from "../files/json.ts";
import type { Activation } from "../runtime/ops.ts";

export type ProblemType = "single_label_classification" | "multi_label_classification" | "regression";

/** Field names follow config.json, in camel case. */
export interface BertConfig {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly intermediateSize: number;
  readonly hiddenAct: Activation;
  readonly maxPositionEmbeddings: number;
  readonly typeVocabSize: number;
  readonly layerNormEps: number;
  readonly padTokenId: number;
  /** The masked-LM decoder is the word embedding table. */
  readonly tieWordEmbeddings: boolean;
  readonly architectures: readonly string[];
  /** Label names by class; `LABEL_0`, `LABEL_1` where the file names none. */
  readonly labels: readonly string[];
  readonly problemType: ProblemType | undefined;
  /** What is wrong with parts that only some tasks use, which refuse the model then: by the key of config.json. */
  readonly flaws?: Readonly<Partial<Record<"id2label" | "problem_type", string>>>;
  /** Where sentence-transformers' CrossEncoder wrote the file: torch's class from logits to scores; null where it says none. */
  readonly activationFn?: string | null | undefined;
}

/** Everything wrong with a model, in one message. */
export class ModelError extends FaultsError {
  override readonly name = "ModelError";
}

/** transformers' names of activations (`ACT2FN`) and ours. */
const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  gelu: "gelu",
  gelu_python: "gelu",
  gelu_new: "gelu_tanh",
  gelu_fast: "gelu_tanh",
  gelu_pytorch_tanh: "gelu_tanh",
  relu: "relu",
  silu: "silu",
  swish: "silu",
  tanh: "tanh",
};

const PROBLEM_TYPES: readonly unknown[] = ["single_label_classification", "multi_label_classification", "regression"];

/** Upper bounds that no BERT comes near: what lies above is a broken or hostile file, refused before any allocation. */
const MOST_VOCAB = 4_194_304;
const MOST_HIDDEN = 16_384;
const MOST_LAYERS = 256;
const MOST_HEADS = 1_024;
const MOST_POSITIONS = 1_048_576;
const MOST_TYPES = 4_096;

/** Keys of models that call themselves "bert" and compute something else, and what else says so as the value of a `_type`. */
const FORKS =
  /^(?!_)(auto_map|custom_code|is_decoder|add_cross_attention|\w*(alibi|rotary(?!\w*base)|(?<![a-z])rope_|flash_att|rms_?norm(?!_eps)|pre_?norm|norm_first|qk_(layer_?)?norm|num_loras|experts|(sliding|attention)_window|local_att)\w*)$/;
const FORK_VALUES = /^(\w*glu|alibi|rope|rotary)$/i;

/**
 * @param text the content of config.json
 * @param where its name, for messages
 * @param warn told of what is wrong with parts that not every task uses
 * @throws ModelError with every fault of what every task uses
 */
export function parseConfig(text: string, where: string = "config.json", warn?: Report): BertConfig {
  let json: unknown;
  const odd = new Set<string>();
  try {
    json = parseJson(text, (key) => odd.size < 9 && odd.add(key));
  } catch (error) {
    throw new ModelError(where, [`not JSON: ${(error as Error).message}`]);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new ModelError(where, ["not a JSON object"]);
  }
  const file = json as Record<string, unknown>;
  const { list: faults, add } = faultList();
  if (odd.size > 0) warn?.(`NaN or Infinity, which JSON does not have, in ${[...odd].map(quote)}`);
  const integer = (key: string, least: number, most: number, fallback?: number): number => {
    const value = file[key] ?? fallback;
    if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) return value;
    add(`${key} is ${quote(value)}, it must be an integer from ${least} to ${most}`);
    return least;
  };

  const modelType = file.model_type ?? "bert";
  if (modelType !== "bert") add(`model_type is ${quote(modelType)}, only "bert" is run`);
  const positions = file.position_embedding_type ?? "absolute";
  if (positions !== "absolute") {
    add(`position_embedding_type is ${quote(positions)}, only "absolute" is run`);
  }
  for (const [key, value] of Object.entries(file)) {
    const off = !value || (typeof value === "object" && Object.keys(value).length === 0);
    const forked = /_type$/.test(key) && key !== "position_embedding_type" && FORK_VALUES.test(String(value));
    if (forked || (!off && key.length < 64 && FORKS.test(key))) {
      add(`${key} is ${quote(value)}, only BERT's own encoder is run`);
    }
  }
  const act = file.hidden_act ?? "gelu";
  const hiddenAct = typeof act === "string" && Object.hasOwn(ACTIVATIONS, act) ? ACTIVATIONS[act]! : undefined;
  if (hiddenAct === undefined) {
    add(`hidden_act is ${quote(act)}, there are ${Object.keys(ACTIVATIONS).join(", ")}`);
  }
  const eps = file.layer_norm_eps ?? 1e-12;
  if (typeof eps !== "number" || !(eps >= 0 && eps <= 1)) {
    add(`layer_norm_eps is ${quote(eps)}, it must be a number from 0 to 1`);
  }
  const hiddenSize = integer("hidden_size", 1, MOST_HIDDEN);
  const numAttentionHeads = integer("num_attention_heads", 1, MOST_HEADS);
  if (hiddenSize % numAttentionHeads !== 0) {
    add(`hidden_size ${hiddenSize} is not a multiple of num_attention_heads ${numAttentionHeads}`);
  }
  const problemType = file.problem_type ?? undefined;
  const known = problemType === undefined || PROBLEM_TYPES.includes(problemType);
  const [wrong, oddLabels] = [some(), some()];
  const labels = labelsOf(file, wrong.add, oddLabels.add);
  const flaws: Record<string, string> = {};
  const flaw = wrong.text();
  if (flaw) flaws.id2label = flaw;
  if (!known) flaws.problem_type = `problem_type is ${quote(problemType)}, there are ${PROBLEM_TYPES.join(", ")}`;
  for (const found of Object.values(flaws)) warn?.(`${found}: tasks that need it are refused`);
  if (oddLabels.text()) warn?.(`${oddLabels.text()}: no string, its text is taken`);
  const pad = file.pad_token_id ?? 0;
  const isPad = Number.isInteger(pad) && (pad as number) >= 0 && (pad as number) <= MOST_VOCAB;
  if (!isPad) warn?.(`pad_token_id is ${quote(pad)}, no token: 0 is taken`);
  const architectures = file.architectures ?? null;
  const named = Array.isArray(architectures) && architectures.every((name) => typeof name === "string");
  if (architectures !== null && !named)
    warn?.(`architectures is ${quote(architectures)}, no list of strings: left out`);
  const config: BertConfig = {
    vocabSize: integer("vocab_size", 1, MOST_VOCAB),
    hiddenSize,
    numHiddenLayers: integer("num_hidden_layers", 0, MOST_LAYERS),
    numAttentionHeads,
    intermediateSize: integer("intermediate_size", 1, MOST_HIDDEN * 8),
    hiddenAct: hiddenAct ?? "gelu",
    maxPositionEmbeddings: integer("max_position_embeddings", 1, MOST_POSITIONS),
    typeVocabSize: integer("type_vocab_size", 1, MOST_TYPES, 2),
    layerNormEps: eps as number,
    padTokenId: isPad ? (pad as number) : 0,
    tieWordEmbeddings: file.tie_word_embeddings !== false,
    architectures: named ? architectures : [],
    labels,
    problemType: known ? (problemType as ProblemType | undefined) : undefined,
    activationFn: activationIn(file, add),
    ...((flaw || !known) && { flaws }),
  };
  if (faults.length > 0) throw new ModelError(where, faults);
  return config;
}

/** Its older key is read where there is none of the newer. */
function activationIn(file: Record<string, unknown>, report: Report): string | null | undefined {
  const { sentence_transformers: own, sbert_ce_default_activation_function: older } = file;
  const { activation_fn: value = older } = Object(own);
  if (typeof value === "string") return value;
  if ((value ?? null) !== null) report(`activation_fn is ${quote(value)}, it must be the path of a class`);
  return own || value === null ? null : undefined;
}

/**
 * id2label as a list; ids must be 0, 1, ... without a gap. Two unnamed labels is transformers' own default.
 * @param flaw told of each id that is not
 * @param odd told of each label that is no string
 */
function labelsOf({ id2label, num_labels: count }: Record<string, unknown>, flaw: Report, odd: Report): string[] {
  const named = (length: number): string[] => Array.from({ length }, (_, i) => `LABEL_${i}`);
  if (typeof id2label !== "object" || id2label === null || Array.isArray(id2label)) {
    if (id2label !== undefined && id2label !== null)
      flaw(`id2label is ${quote(id2label)}, it must be an object from class number to label`);
    return named(Number.isInteger(count) && Number(count) > 0 && Number(count) < 1 << 20 ? Number(count) : 2);
  }
  const entries = Object.entries(id2label);
  const labels = named(entries.length);
  for (const [id, label] of entries) {
    const index = Number(id);
    const plain = String(index) === id; // not "01" or "1.0", which would name a label twice
    const what = `id2label[${quote(id)}] = ${quote(label)}`;
    if (!plain || labels[index] === undefined) {
      flaw(`${what}: ids must run from 0 to ${entries.length - 1}${plain ? "" : ", in plain digits"}`);
      continue;
    }
    if (typeof label !== "string") odd(what);
    labels[index] = typeof label === "string" ? label : JSON.stringify(label);
  }
  return labels;
}

/** The first of many, and how many more. */
function some(): { add: Report; text(): string | undefined } {
  let first: string | undefined;
  let more = -1;
  return {
    add(text) {
      first ??= text;
      more++;
    },
    text: () => (more > 0 ? `${first} (and ${more} more)` : first),
  };
}
