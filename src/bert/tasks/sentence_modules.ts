/**
 * What sentence-transformers keeps beside a model: modules.json with the steps from tokens to a vector, their
 * configurations, and config_sentence_transformers.json with prompts. Mirrors SentenceTransformer._load_sbert_model.
 */

import { type Folder, readText } from "../../files/bytes.ts";
import { openCheckpoint } from "../../files/checkpoint.ts";
import { ModelError } from "../config.ts";
import {
  at,
  countOf,
  type Fields,
  fieldsOf,
  flagOf,
  has,
  listOf,
  parseFields,
  textOf,
  wrong,
} from "../tokenizer/fields.ts";
import type { Pooling } from "./pooling.ts";
import { SIMILARITIES, type SimilarityName } from "./vectors.ts";

/** y = activation(W x + b) */
export interface DenseLayer {
  /** [out, in] */
  readonly weight: Float32Array;
  /** [out] */
  readonly bias: Float32Array | undefined;
  readonly activation: (x: number) => number;
}

export interface SentenceModules {
  /** In the order in which their vectors stand. */
  readonly poolings: readonly Pooling[];
  /** Whether the tokens of a prompt are pooled with the others. */
  readonly includePrompt: boolean;
  /** After pooling. */
  readonly dense: readonly DenseLayer[];
  /** At the end. */
  readonly normalize: boolean;
  /** Tokens; undefined: what the model takes. */
  readonly maxSeqLength: number | undefined;
  readonly lowercase: boolean;
  readonly prompts: Readonly<Record<string, string>>;
  readonly defaultPrompt: string | undefined;
  readonly similarity: SimilarityName;
}

/** The keys of 1_Pooling/config.json, in the order in which sentence-transformers puts the vectors together. */
const POOLING_KEYS: readonly (readonly [key: string, pooling: Pooling])[] = [
  ["pooling_mode_cls_token", "cls"],
  ["pooling_mode_max_tokens", "max"],
  ["pooling_mode_mean_tokens", "mean"],
  ["pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len"],
  ["pooling_mode_weightedmean_tokens", "weighted_mean"],
  ["pooling_mode_lasttoken", "last_token"],
];

const ACTIVATIONS: Readonly<Record<string, (x: number) => number>> = {
  Identity: (x) => x,
  Tanh: Math.tanh,
  ReLU: (x) => Math.max(0, x),
  Sigmoid: (x) => 1 / (1 + Math.exp(-x)),
};

export const MODULES = "modules.json";

const MOST_FEATURES = 16_384;

/** Of all Dense modules, which may share a file: 256 MB. */
const MOST_WEIGHTS = 1 << 26;

/**
 * @returns undefined when the folder has no modules.json, or one of a sparse encoder or of ColBERT
 * @param modules its content, "" where there is none, if that is known already
 * @throws ModelError for a file that is malformed, or for a module that is not run
 */
export async function readSentenceModules(folder: Folder, modules?: string): Promise<SentenceModules | undefined> {
  try {
    const text = modules ?? (await readText(folder, MODULES));
    return text ? await readModules(folder, text) : undefined;
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) throw new ModelError(folder.name, [error.message]);
    throw error;
  }
}

async function readModules(folder: Folder, text: string): Promise<SentenceModules | undefined> {
  const file = `${folder.name}/${MODULES}`;
  // the file is an array, and only objects have fields
  const modules = listOf(parseFields(`{"modules":${text}}`, file), "modules").map((value, i) => {
    const fields = fieldsOf(value, `${file}: [${i}]`);
    return { kind: textOf(fields, "type").replace(/^.*\./, ""), path: textOf(fields, "path", "") };
  });
  const kinds = modules.map(({ kind }) => kind);
  if (/^(MLMTransformer SpladePooling|Transformer Dense)$/.test(kinds.join(" "))) return undefined; // no sentence vectors
  if (!/^Transformer Pooling( Dense){0,9}( Normalize)?$/.test(kinds.join(" "))) {
    throw new ModelError(folder.name, [
      `modules.json has ${kinds.join(", ")}; expected Transformer, Pooling, at most 9 Dense, Normalize`,
    ]);
  }
  const [transformer, pooling, ...rest] = modules;
  if (transformer!.path !== "") {
    throw new ModelError(folder.name, [
      `modules.json keeps the model in ${JSON.stringify(transformer!.path)}; move its files beside it, and set the path to ""`,
    ]);
  }
  const poolingConfig = await fieldsIn(folder, `${pooling!.path}/config.json`);
  if (!poolingConfig) throw new ModelError(folder.name, [`${pooling!.path}/config.json is missing`]);
  const dense: DenseLayer[] = [];
  let left = MOST_WEIGHTS;
  for (const { kind, path } of rest) {
    if (kind !== "Dense") continue;
    dense.push(await readDense(folder, path, left));
    left -= dense.at(-1)!.weight.length;
  }
  const transformerConfig = await fieldsIn(folder, "sentence_bert_config.json");
  const model = await fieldsIn(folder, "config_sentence_transformers.json");
  return {
    ...readPooling(poolingConfig),
    dense,
    normalize: kinds.at(-1) === "Normalize",
    maxSeqLength:
      transformerConfig && has(transformerConfig, "max_seq_length")
        ? countOf(transformerConfig, "max_seq_length", 3, 1 << 20)
        : undefined,
    lowercase: transformerConfig !== undefined && flagOf(transformerConfig, "do_lower_case", false),
    ...readPrompts(model),
  };
}

function readPooling(fields: Fields): Pick<SentenceModules, "poolings" | "includePrompt"> {
  const named = has(fields, "pooling_mode") ? textOf(fields, "pooling_mode") : undefined;
  const poolings = POOLING_KEYS.filter(([key, pooling]) =>
    named === undefined
      ? flagOf(fields, key, false)
      : named === pooling || key === `pooling_mode_${named}` || key === `pooling_mode_${named}_tokens`,
  ).map(([, pooling]) => pooling);
  if (poolings.length === 0) {
    throw new TypeError(
      `${fields.where} asks for no pooling; there are ${POOLING_KEYS.map(([key]) => key).join(", ")}`,
    );
  }
  return { poolings, includePrompt: flagOf(fields, "include_prompt", true) };
}

function readPrompts(fields: Fields | undefined): Pick<SentenceModules, "prompts" | "defaultPrompt" | "similarity"> {
  if (!fields) return { prompts: {}, defaultPrompt: undefined, similarity: "cosine" };
  const own = has(fields, "prompts") ? fieldsOf(fields.values.prompts, at(fields, "prompts")) : undefined;
  const names = Object.keys(own?.values ?? {});
  const prompts = Object.fromEntries(names.map((name) => [name, textOf(own!, name)]));
  const defaultPrompt = has(fields, "default_prompt_name") ? textOf(fields, "default_prompt_name") : undefined;
  if (defaultPrompt !== undefined && !names.includes(defaultPrompt)) {
    throw wrong(at(fields, "default_prompt_name"), defaultPrompt, `one of the prompts (${names.join(", ")})`);
  }
  const similarity = textOf(fields, "similarity_fn_name", "cosine");
  if (!Object.hasOwn(SIMILARITIES, similarity)) {
    throw wrong(at(fields, "similarity_fn_name"), similarity, Object.keys(SIMILARITIES).join(", "));
  }
  return { prompts, defaultPrompt, similarity: similarity as SimilarityName };
}

async function readDense(folder: Folder, path: string, most: number): Promise<DenseLayer> {
  const fields = await fieldsIn(folder, `${path}/config.json`);
  if (!fields) throw new ModelError(folder.name, [`${path}/config.json is missing`]);
  const inputs = countOf(fields, "in_features", 1, MOST_FEATURES);
  const outputs = countOf(fields, "out_features", 1, Math.min(MOST_FEATURES, Math.floor(most / inputs)));
  const name = textOf(fields, "activation_function", "torch.nn.modules.activation.Tanh").replace(/^.*\./, "");
  const activation = Object.hasOwn(ACTIVATIONS, name) ? ACTIVATIONS[name] : undefined;
  if (!activation) {
    throw wrong(at(fields, "activation_function"), name, Object.keys(ACTIVATIONS).join(", "));
  }
  const checkpoint = await openCheckpoint({
    name: `${folder.name}/${path}`,
    open: (file) => folder.open(`${path}/${file}`),
  });
  const read = (tensor: string, shape: readonly number[]): Promise<Float32Array> => {
    const found = checkpoint.tensors.get(tensor)?.shape;
    if (found?.join() !== shape.join()) {
      throw new ModelError(checkpoint.name, [
        `${tensor} is ${found ? `[${found.join(", ")}]` : "missing"}, config.json asks for [${shape.join(", ")}]`,
      ]);
    }
    return checkpoint.readFloats(tensor);
  };
  try {
    const weight = await read("linear.weight", [outputs, inputs]);
    return {
      weight,
      bias: flagOf(fields, "bias", true) ? await read("linear.bias", [outputs]) : undefined,
      activation,
    };
  } finally {
    await checkpoint.close();
  }
}

async function fieldsIn(folder: Folder, path: string): Promise<Fields | undefined> {
  const text = await readText(folder, path, 1 << 22);
  return text === undefined ? undefined : parseFields(text, `${folder.name}/${path}`);
}
