/**
 * What sentence-transformers keeps beside a model: modules.json with the steps from tokens to a vector or to scores, their
 * configurations, and config_sentence_transformers.json with prompts. Mirrors BaseModel._load_config_modules.
 */

import { type Folder, readText } from "../../files/bytes.ts";
import { openCheckpoint } from "../../files/checkpoint.ts";
import { FaultsError } from "../../files/faults.ts";
import { ModelError } from "../config.ts";
import {
  at,
  childOf,
  countOf,
  type Fields,
  fieldsOf,
  flagOf,
  listOf,
  optional,
  parseFields,
  textOf,
  wrong,
} from "../tokenizer/fields.ts";
import { type Activation, activationAt, activationNames } from "./activations.ts";
import { readEncoderSettings } from "./encoder_settings.ts";
import { normalized, POOLINGS, type Pooling } from "./pooling.ts";
import { SIMILARITIES, type SimilarityName } from "./vectors.ts";

/** Of tokens' vectors one: those of several poolings stand one after another. */
export interface PoolingModule {
  readonly poolings: readonly Pooling[];
  /** Whether the tokens of a prompt are pooled with the others. */
  readonly includePrompt: boolean;
  readonly input: "token_embeddings";
  readonly output: "sentence_embedding";
}

/** Of each vector another. */
export interface VectorModule {
  /** The feature that is read; `token_embeddings` are the encoder's, `scores` a classifier's. */
  readonly input: string;
  readonly output: string;
  /** @throws RangeError for a vector of another size than the module's */
  readonly apply: (vector: Vector) => Vector;
}

export type Vector = Float32Array | Float64Array;

export type SentenceModule = PoolingModule | VectorModule;

export interface SentenceModules {
  /** Where the encoder, its configuration and its tokenizer are; "" is the folder itself. */
  readonly path: string;
  /** Whether they score pairs of texts, instead of giving vectors. */
  readonly crossEncoder: boolean;
  /** Behind the encoder, or, where they read `scores` and none makes them, behind its classifier; in this order. */
  readonly modules: readonly SentenceModule[];
  /** At the end. */
  readonly normalize: boolean;
  /** Of what they give, only the first dimensions are kept; what was scaled before is not scaled again. */
  readonly truncateDim: number | undefined;
  /** Of a cross-encoder: the path of torch's class of the function from logits to scores. */
  readonly activationFn: string | undefined;
  /** Tokens; undefined: what the model takes. */
  readonly maxSeqLength: number | undefined;
  readonly lowercase: boolean;
  readonly prompts: Readonly<Record<string, string>>;
  readonly defaultPrompt: string | undefined;
  readonly similarity: SimilarityName;
}

/** The older keys of 1_Pooling/config.json for `POOLINGS`, which are in the order in which their vectors stand. */
const OLDER = ["cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"];

export const MODULES = "modules.json";

const MOST_FEATURES = 16_384;
const MOST_MODULES = 32;
const MOST_DENSE = 9;

/** Of all Dense modules, which may share a file: 256 MB. */
const MOST_WEIGHTS = 67_108_864;

/** torch's, which LayerNorm modules do not store. */
const EPS = 1e-5;

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

/** What modules.json says, or why it cannot be followed, which refuses the tasks that need it and no others. */
export interface FoundModules {
  readonly sentence?: SentenceModules | undefined;
  readonly sentenceFault?: Error | undefined;
}

/** As `readSentenceModules`, but for what it throws. @param onWarning told of that */
export async function findSentenceModules(
  folder: Folder,
  modules: string,
  onWarning?: (message: string) => void,
): Promise<FoundModules> {
  try {
    return { sentence: await readSentenceModules(folder, modules) };
  } catch (error) {
    // without it nobody knows where another encoder would be
    if (!(error instanceof FaultsError) || (await readText(folder, CONFIG)) === undefined) throw error;
    onWarning?.(error.message);
    return { sentenceFault: error };
  }
}

/** A folder within a folder; "" is that folder itself. */
export function folderAt(folder: Folder, path: string): Folder {
  return path === "" ? folder : { name: `${folder.name}/${path}`, open: (file) => folder.open(`${path}/${file}`) };
}

async function readModules(folder: Folder, text: string): Promise<SentenceModules | undefined> {
  const file = `${folder.name}/${MODULES}`;
  // the file is an array, and only objects have fields
  const all = listOf(parseFields(`{"modules":${text}}`, file), "modules").map((value, i) => {
    const fields = fieldsOf(value, `${file}: [${i}]`);
    // a class of somebody else's may have the name of one that is run
    const kind = textOf(fields, "type").replace(/^(sentence_transformers|pylate)\.(.*\.)?/, "");
    return { kind, path: textOf(fields, "path", "") };
  });
  const kinds = all.map(({ kind }) => kind);
  const found = `${MODULES} has ${kinds.join(", ")}`;
  if (/^(MLM)?Transformer SpladePooling$/.test(kinds.join(" "))) return undefined; // sparse vectors
  const [first, ...rest] = all;
  if (
    !/^(Transformer|BERT)$/.test(first?.kind ?? "") ||
    rest.some(({ kind }) => !Object.hasOwn(READERS, kind)) ||
    rest.length > MOST_MODULES ||
    kinds.filter((kind) => kind === "Dense").length > MOST_DENSE
  ) {
    const known = Object.keys(READERS).join(", ");
    const expected = `Transformer, then at most ${MOST_MODULES} of ${known}, at most ${MOST_DENSE} Dense`;
    throw new TypeError(`${found}; expected ${expected}`);
  }
  const { path } = first!;
  const encoder = await fieldsIn(folderAt(folder, path), "sentence_bert_config.json");
  const model = await fieldsIn(folder, "config_sentence_transformers.json");
  const { classifies, maxSeqLength } = readEncoderSettings(encoder);
  const crossEncoder = classifies || textOf(model, "model_type", "") === "CrossEncoder";
  if (!crossEncoder && kinds.join(" ") === "Transformer Dense") return undefined; // vectors of tokens
  const truncateDim = optional(model, "truncate_dim", (from, name) => countOf(from, name, 1, 1 << 20));
  const features = new Set([classifies ? "scores" : "token_embeddings"]);
  const modules: SentenceModule[] = [];
  const budget = { weights: MOST_WEIGHTS };
  for (const { kind, path } of rest) {
    const made = await READERS[kind]!(folderAt(folder, path), budget);
    if (!made) continue;
    if (!features.has(made.input)) throw new TypeError(`${found}; nothing before ${kind} gives its ${made.input}`);
    features.add(made.output);
    modules.push(made);
  }
  const end = crossEncoder ? "scores" : "sentence_embedding";
  if (!features.has(end)) throw new TypeError(`${found}; none of them gives ${end}`);
  const last = modules.at(-1);
  const normalize =
    !crossEncoder &&
    truncateDim === undefined &&
    last?.input === end &&
    last.output === end &&
    "apply" in last &&
    last.apply === unit;
  return {
    path,
    crossEncoder,
    modules: normalize ? modules.slice(0, -1) : modules,
    normalize,
    activationFn: crossEncoder ? optional(model, "activation_fn", textOf) : undefined,
    truncateDim,
    maxSeqLength,
    lowercase: flagOf(encoder, "do_lower_case", false),
    ...readPrompts(model),
  };
}

interface Budget {
  /** Of Dense modules; what is read is taken off. */
  weights: number;
}

/** The modules that are run, by the last part of their type; what does nothing outside training is left out. */
const READERS: Readonly<Record<string, (folder: Folder, budget: Budget) => Promise<SentenceModule | undefined>>> = {
  Pooling: readPooling,
  Dense: readDense,
  LayerNorm: readLayerNorm,
  Normalize: async (folder) => ({ ...featuresOf(await fieldsIn(folder, CONFIG)), apply: unit }),
  Dropout: async () => undefined,
};

const CONFIG = "config.json";
const MOST_TEXT = 4_194_304;

async function readPooling(folder: Folder): Promise<PoolingModule> {
  const fields = await configIn(folder);
  const named = fields.values.pooling_mode ?? undefined;
  const names = Array.isArray(named) ? named : [named];
  if (names.length === 0 || names.length > MOST_MODULES) {
    throw wrong(at(fields, "pooling_mode"), `a list of ${names.length}`, `1 to ${MOST_MODULES} poolings`);
  }
  for (const key of Object.keys(fields.values)) {
    if (key.startsWith("pooling_mode_") && !OLDER.includes(key.slice(13)) && flagOf(fields, key)) {
      throw wrong(at(fields, key), true, `one of ${OLDER.join(", ")}`);
    }
  }
  const flagged = POOLINGS.filter((_, i) => flagOf(fields, `pooling_mode_${OLDER[i]}`, false));
  const poolings = (named === undefined ? [] : names).map((name): Pooling => {
    // the newer names of others are parts of their keys
    const known = POOLINGS.find((own, i) => [own, OLDER[i], OLDER[i]!.replace(/_tokens?$/, "")].includes(name));
    if (known) return known;
    throw wrong(at(fields, "pooling_mode"), name, POOLINGS.join(", "));
  });
  return {
    poolings: named !== undefined ? poolings : flagged.length > 0 ? flagged : ["mean"],
    includePrompt: flagOf(fields, "include_prompt", true),
    input: "token_embeddings",
    output: "sentence_embedding",
  };
}

async function readDense(folder: Folder, budget: Budget): Promise<VectorModule> {
  const fields = await configIn(folder);
  const inputs = countOf(fields, "in_features", 1, MOST_FEATURES);
  const projects = flagOf(fields, "use_residual", false);
  const most = Math.min(MOST_FEATURES, Math.floor(budget.weights / inputs / (projects ? 2 : 1)));
  const outputs = countOf(fields, "out_features", 1, most);
  const path = textOf(fields, "activation_function", "torch.nn.modules.activation.Tanh");
  const known = activationAt(path);
  if (!known) throw wrong(at(fields, "activation_function"), path, activationNames());
  const own = path.endsWith(".PReLU");
  const square = inputs === outputs;
  const [weight, bias, residual, slope] = await readWeights(folder, [
    ["linear.weight", [outputs, inputs]],
    flagOf(fields, "bias", true) && ["linear.bias", [outputs]],
    projects && !square && ["residual.weight", [outputs, inputs]],
    own && ["activation_function.weight", [1]],
  ]);
  budget.weights -= weight!.length + (residual?.length ?? 0);
  const activation: Activation = slope
    ? (values) => Float64Array.from(values, (x) => (x > 0 ? x : x * slope[0]!))
    : known;
  return {
    ...featuresOf(fields),
    apply(vector) {
      requireSize("Dense", inputs, vector);
      const made = activation(product(weight!, vector, bias));
      const added = projects && (square ? vector : product(residual!, vector));
      return added ? made.map((x, i) => x + added[i]!) : made;
    },
  };
}

async function readLayerNorm(folder: Folder): Promise<VectorModule> {
  const fields = await configIn(folder);
  const size = countOf(fields, "dimension", 1, MOST_FEATURES);
  const [weight, bias] = await readWeights(folder, [
    ["norm.weight", [size]],
    ["norm.bias", [size]],
  ]);
  const mean = (values: Float64Array): number => values.reduce((sum, x) => sum + x, 0) / size;
  return {
    ...featuresOf(fields),
    apply(vector) {
      requireSize("LayerNorm", size, vector);
      const values = Float64Array.from(vector);
      const middle = mean(values);
      const scale = 1 / Math.sqrt(mean(values.map((x) => (x - middle) ** 2)) + EPS);
      return values.map((x, i) => (x - middle) * scale * weight![i]! + bias![i]!);
    },
  };
}

function unit(vector: Vector): Vector {
  return normalized(Float64Array.from(vector));
}

function requireSize(kind: string, size: number, { length }: Vector): void {
  if (length !== size)
    throw new RangeError(`a ${kind} module takes vectors of ${size} dimensions, it is given ${length}`);
}

/** W x + b; W is [out, in]. */
function product(weight: Float32Array, vector: Vector, bias?: Float32Array): Float64Array {
  const inputs = vector.length;
  return Float64Array.from({ length: weight.length / inputs }, (_, row) => {
    let sum = bias?.[row] ?? 0;
    for (let i = 0; i < inputs; i++) sum += weight[row * inputs + i]! * vector[i]!;
    return sum;
  });
}

/** The features that a module reads and makes. */
function featuresOf(fields: Fields): Pick<VectorModule, "input" | "output"> {
  const input = textOf(fields, "module_input_name", "sentence_embedding");
  return { input, output: textOf(fields, "module_output_name", input) };
}

function readPrompts(fields: Fields): Pick<SentenceModules, "prompts" | "defaultPrompt" | "similarity"> {
  const own = optional(fields, "prompts", childOf);
  const names = Object.keys(own?.values ?? {});
  const prompts = Object.fromEntries(names.map((name) => [name, textOf(own!, name, "")]));
  const asked = optional(fields, "default_prompt_name", textOf);
  const defaultPrompt = names.includes(asked!) ? asked : undefined;
  // every model has these two, empty ones
  if (asked !== defaultPrompt && asked !== "query" && asked !== "document") {
    throw wrong(at(fields, "default_prompt_name"), asked, `one of the prompts (${names.join(", ")})`);
  }
  // others, such as maxsim, are of models of another kind, which this one once was
  const similarity = Object.keys(SIMILARITIES).find((name) => name === fields.values.similarity_fn_name);
  return { prompts, defaultPrompt, similarity: (similarity ?? "cosine") as SimilarityName };
}

/** @returns the tensors in the order asked for, undefined for what is not */
async function readWeights(
  folder: Folder,
  wanted: readonly (false | readonly [name: string, shape: readonly number[]])[],
): Promise<(Float32Array | undefined)[]> {
  const checkpoint = await openCheckpoint(folder);
  const read: (Float32Array | undefined)[] = [];
  try {
    for (const asked of wanted) {
      const found = asked ? checkpoint.tensors.get(asked[0])?.shape : undefined;
      if (asked && found?.join() !== asked[1].join()) {
        throw new ModelError(folder.name, [
          `${asked[0]} is ${found ? `[${found.join(", ")}]` : "missing"}, config.json asks for [${asked[1].join(", ")}]`,
        ]);
      }
      read.push(asked ? await checkpoint.readFloats(asked[0]) : undefined);
    }
  } finally {
    await checkpoint.close();
  }
  return read;
}

async function configIn(folder: Folder): Promise<Fields> {
  const text = await readText(folder, CONFIG, MOST_TEXT);
  if (text === undefined) throw new TypeError(`${folder.name}/${CONFIG} is missing`);
  return parseFields(text, `${folder.name}/${CONFIG}`);
}

/** Of a file that may be missing. */
async function fieldsIn(folder: Folder, path: string): Promise<Fields> {
  return parseFields((await readText(folder, path, MOST_TEXT)) ?? "{}", `${folder.name}/${path}`);
}
