/** A LoRA adapter as PEFT keeps it: adapter_config.json and adapter_model.safetensors. Neither is believed. */

import { type Folder, readText } from "../files/bytes.ts";
import { type Checkpoint, openCheckpointFile } from "../files/checkpoint.ts";
import { quote } from "../files/faults.ts";
import { parseJson } from "../files/json.ts";
import type { Shape } from "../runtime/tensor.ts";
import { ModelError } from "./config.ts";

/** Names of the file's tensors. */
export interface LowRankTensors {
  readonly a: string;
  readonly b: string;
  readonly inputs: number;
  readonly outputs: number;
}

export interface AdapterFile {
  /** Of its folder. */
  readonly name: string;
  readonly rank: number;
  /** What B A x is multiplied by. */
  readonly factor: number;
  /** What it was trained over, as its adapter_config.json has it: a name of the hub or a path. */
  readonly base: string | undefined;
  /** `SEQ_CLS` and the like. */
  readonly task: string | undefined;
  /** By our names of modules, without `bert.`. */
  readonly low: ReadonlyMap<string, LowRankTensors>;
  /** What is stored whole, by our names: as which tensor of the file. */
  readonly whole: ReadonlyMap<string, string>;
  /** Whoever opened it closes it. */
  readonly checkpoint: Checkpoint;
}

export const ADAPTER_CONFIG = "adapter_config.json";
export const ADAPTER_WEIGHTS = "adapter_model.safetensors";
/** config.json of the model that merging makes. Under that name transformers takes the folder for a whole model's. */
export const MERGED_CONFIG = "merged_config.json";
const PICKLED = "adapter_model.bin";
/** In the order in which they are preferred. */
export const ADAPTER_WEIGHTS_FILES: readonly string[] = [ADAPTER_WEIGHTS, PICKLED];
/** All that is read of an adapter's folder. A list of names, not of lists: that bundlers can leave out. */
export const ADAPTER_FILES: readonly string[] = [
  ADAPTER_CONFIG,
  ADAPTER_WEIGHTS,
  PICKLED,
  MERGED_CONFIG,
  "config.json",
  "modules.json",
  "sentence_bert_config.json",
  "config_sentence_transformers.json",
  "1_Pooling/config.json",
];

/** By what PEFT calls a task, the architecture of the model that it is trained as. */
export const ARCHITECTURE_OF: Readonly<Record<string, string>> = {
  SEQ_CLS: "BertForSequenceClassification",
  TOKEN_CLS: "BertForTokenClassification",
  QUESTION_ANS: "BertForQuestionAnswering",
};

/** What changes how an adapter computes, and is not run, where it is set. */
const REFUSED = [
  ...["use_dora", "fan_in_fan_out", "rank_pattern", "alpha_pattern", "layer_replication", "lora_bias"],
  ...["use_qalora", "use_bdlora", "alora_invocation_tokens", "trainable_token_indices", "target_parameters"],
  ...["kasa_config", "arrow_config", "monteclora_config", "velora_config"],
];

/** @throws ModelError with every fault of the two files, CheckpointError for weights that cannot be read */
export async function openAdapter(folder: Folder): Promise<AdapterFile> {
  const text = await readText(folder, ADAPTER_CONFIG);
  if (text === undefined)
    throw new ModelError(folder.name, [`there is no ${ADAPTER_CONFIG}; is it an adapter of PEFT?`]);
  let json: Record<string, unknown>;
  try {
    json = Object(parseJson(text, () => {}));
  } catch (error) {
    throw new ModelError(folder.name, [`${ADAPTER_CONFIG} is not JSON: ${(error as Error).message}`]);
  }
  const faults: string[] = [];
  const { peft_type, r, lora_alpha, bias = "none", init_lora_weights: begun, use_rslora, task_type: task } = json;
  const { base_model_name_or_path: base } = json;
  if (peft_type !== "LORA") faults.push(`peft_type is ${quote(peft_type)}, LORA is run`);
  const given = (value: unknown): boolean => !!value && !(typeof value === "object" && Object.keys(value).length === 0);
  for (const name of REFUSED) if (given(json[name])) faults.push(`${name} is ${quote(json[name])}, which is not run`);
  if (bias !== "none") faults.push(`bias is ${quote(bias)}, none is run`);
  if (typeof begun === "string" && /^(pissa|olora|corda|loftq|lora_ga)/i.test(begun)) {
    faults.push(`init_lora_weights is ${quote(begun)}, by which the base has other weights: merge it with peft`);
  }
  const [rank, alpha] = [r, lora_alpha].map((value) => (typeof value === "number" ? value : Number.NaN)) as [
    number,
    number,
  ];
  if (!(Number.isInteger(rank) && rank >= 1)) faults.push(`r is ${quote(r)}, it must be an integer from 1`);
  if (!Number.isFinite(alpha)) faults.push(`lora_alpha is ${quote(lora_alpha)}, it must be a number`);
  if (faults.length > 0) throw new ModelError(`${folder.name}/${ADAPTER_CONFIG}`, faults);
  const checkpoint = await openWeights(folder);
  const named = namedIn(checkpoint, rank, faults);
  if (faults.length > 0) {
    await checkpoint.close();
    throw new ModelError(checkpoint.name, faults);
  }
  const factor = alpha / (use_rslora ? Math.sqrt(rank) : rank);
  const textOf = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);
  return { name: folder.name, rank, factor, base: textOf(base), task: textOf(task), checkpoint, ...named };
}

/** What does not go with a base that is there, and which the adapter names. */
export function unlikeBase({ name, base }: AdapterFile, faults: readonly string[]): ModelError {
  return new ModelError(name, base === undefined ? faults : [...faults, `it was trained over ${quote(base)}`]);
}

async function openWeights(folder: Folder): Promise<Checkpoint> {
  for (const path of ADAPTER_WEIGHTS_FILES) {
    const source = await folder.open(path);
    if (source) return openCheckpointFile(source);
  }
  throw new ModelError(folder.name, [`neither ${ADAPTER_WEIGHTS_FILES.join(" nor ")} is there`]);
}

function namedIn({ tensors }: Checkpoint, rank: number, faults: string[]): Pick<AdapterFile, "low" | "whole"> {
  const low = new Map<string, LowRankTensors>();
  const whole = new Map<string, string>();
  const shapeOf = (name: string): Shape => tensors.get(name)?.shape ?? [];
  for (const name of tensors.keys()) {
    const ours = name.replace(/^base_model\.model\.(bert\.)?/, "").replace(".modules_to_save.", ".");
    const [, module, side] = /^(.*)\.lora_([AB])(?:\.default)?\.weight$/.exec(ours) ?? [];
    if (module === undefined && /\.lora_/.test(ours)) faults.push(`${name}: A and B of linear layers are run`);
    else if (module === undefined) whole.set(ours, name);
    if (side !== "A") continue;
    const b = name.replace(".lora_A.", ".lora_B.");
    const [[rows, inputs = 0], [outputs = 0, cols]] = [shapeOf(name), shapeOf(b)];
    if (rows !== rank || cols !== rank) {
      faults.push(`${name} is [${shapeOf(name)}] and ${b} [${shapeOf(b)}], r is ${rank}`);
    }
    low.set(module!, { a: name, b, inputs, outputs });
  }
  if (low.size === 0) faults.push("it has no lora_A");
  return { low, whole };
}
