/** config.json of a BERT checkpoint: read, checked, and turned into what the encoder needs. */

import { FaultsError, quote } from "../files/faults.ts";
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
  /** Where sentence-transformers' CrossEncoder wrote the file: the path of torch's class from logits to scores. */
  readonly activationFn?: string | undefined;
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
const MOST = { vocab: 4_194_304, hidden: 16_384, layers: 256, heads: 1_024, positions: 1_048_576, types: 4_096 };

/**
 * @param text the content of config.json
 * @param where its name, for messages
 * @throws ModelError with every fault
 */
export function parseConfig(text: string, where: string = "config.json"): BertConfig {
  let json: unknown;
  try {
    json = parseJson(text);
  } catch (error) {
    throw new ModelError(where, [`not JSON: ${(error as Error).message}`]);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new ModelError(where, ["not a JSON object"]);
  }
  const file = json as Record<string, unknown>;
  const faults: string[] = [];
  const integer = (key: string, least: number, most: number, fallback?: number): number => {
    const value = file[key] ?? fallback;
    if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) return value;
    faults.push(`${key} is ${quote(value)}, it must be an integer from ${least} to ${most}`);
    return least;
  };

  const modelType = file.model_type ?? "bert";
  if (modelType !== "bert") faults.push(`model_type is ${quote(modelType)}, only "bert" is run`);
  const positions = file.position_embedding_type ?? "absolute";
  if (positions !== "absolute") {
    faults.push(`position_embedding_type is ${quote(positions)}, only "absolute" is run`);
  }
  if (file.is_decoder === true) faults.push("is_decoder is true, only the encoder is run");
  const act = file.hidden_act ?? "gelu";
  const hiddenAct = typeof act === "string" && Object.hasOwn(ACTIVATIONS, act) ? ACTIVATIONS[act]! : undefined;
  if (hiddenAct === undefined) {
    faults.push(`hidden_act is ${quote(act)}, there are ${Object.keys(ACTIVATIONS).join(", ")}`);
  }
  const eps = file.layer_norm_eps ?? 1e-12;
  if (typeof eps !== "number" || !(eps >= 0 && eps <= 1)) {
    faults.push(`layer_norm_eps is ${quote(eps)}, it must be a number from 0 to 1`);
  }
  const hiddenSize = integer("hidden_size", 1, MOST.hidden);
  const numAttentionHeads = integer("num_attention_heads", 1, MOST.heads);
  if (hiddenSize % numAttentionHeads !== 0) {
    faults.push(`hidden_size ${hiddenSize} is not a multiple of num_attention_heads ${numAttentionHeads}`);
  }
  const problemType = file.problem_type ?? undefined;
  if (problemType !== undefined && !PROBLEM_TYPES.includes(problemType)) {
    faults.push(`problem_type is ${quote(problemType)}, there are ${PROBLEM_TYPES.join(", ")}`);
  }
  const config: BertConfig = {
    vocabSize: integer("vocab_size", 1, MOST.vocab),
    hiddenSize,
    numHiddenLayers: integer("num_hidden_layers", 0, MOST.layers),
    numAttentionHeads,
    intermediateSize: integer("intermediate_size", 1, MOST.hidden * 8),
    hiddenAct: hiddenAct ?? "gelu",
    maxPositionEmbeddings: integer("max_position_embeddings", 1, MOST.positions),
    typeVocabSize: integer("type_vocab_size", 1, MOST.types, 2),
    layerNormEps: eps as number,
    padTokenId: integer("pad_token_id", 0, MOST.vocab, 0),
    tieWordEmbeddings: file.tie_word_embeddings !== false,
    architectures: stringArray(file.architectures, "architectures", faults),
    labels: labelsOf(file, faults),
    problemType: problemType as ProblemType | undefined,
    activationFn: activationIn(file, faults),
  };
  if (faults.length > 0) throw new ModelError(where, faults);
  return config;
}

/** Its older key is read where there is none of the newer. */
function activationIn(file: Record<string, unknown>, faults: string[]): string | undefined {
  const own = file.sentence_transformers as Record<string, unknown> | null | undefined;
  const newer = typeof own === "object" && own !== null && Object.hasOwn(own, "activation_fn");
  const value = (newer ? own.activation_fn : file.sbert_ce_default_activation_function) ?? undefined;
  if (value === undefined || typeof value === "string") return value;
  faults.push(`activation_fn is ${quote(value)}, it must be the path of a class`);
  return undefined;
}

function stringArray(value: unknown, key: string, faults: string[]): string[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value) && value.every((entry) => typeof entry === "string")) return value;
  faults.push(`${key} must be a list of strings`);
  return [];
}

/** id2label as a list; ids must be 0, 1, ... without a gap. Two unnamed labels is transformers' own default. */
function labelsOf(file: Record<string, unknown>, faults: string[]): string[] {
  const { id2label, num_labels: count } = file;
  if (id2label === undefined || id2label === null) {
    const n = typeof count === "number" && Number.isInteger(count) && count > 0 && count < 1 << 20 ? count : 2;
    return Array.from({ length: n }, (_, i) => `LABEL_${i}`);
  }
  if (typeof id2label !== "object" || Array.isArray(id2label)) {
    faults.push("id2label must be an object from class number to label");
    return [];
  }
  const entries = Object.entries(id2label);
  const labels: string[] = [];
  for (const [id, label] of entries) {
    const index = Number(id);
    const plain = String(index) === id; // not "01" or "1.0", which would name a label twice
    if (plain && Number.isInteger(index) && index >= 0 && index < entries.length && typeof label === "string") {
      labels[index] = label;
    } else {
      const what = `id2label[${quote(id)}] = ${quote(label)}`;
      faults.push(`${what}: ids must run from 0 to ${entries.length - 1}${plain ? "" : ", in plain digits"}`);
    }
  }
  return labels;
}
