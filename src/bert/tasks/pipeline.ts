/**
 * `pipeline(task, model, options)` as in transformers.js: the same names, options in snake case, and the same shapes of
 * results where those are sound; docs/coming-from-transformers-js.md lists the differences.
 */

import type { Folder } from "../../files/bytes.ts";
import { modelFolder } from "../../files/model_folder.ts";
import { type Names, requireKnown } from "../../files/options.ts";
import { Engine } from "../../runtime/engine.ts";
import { type StorageName, storageOf } from "../stored.ts";
import { extractFeatures } from "./feature_extraction.ts";
import { FILL_MASK, type FillMaskOptions, fillMask, type MaskFill } from "./fill_mask.ts";
import type { Pooling } from "./pooling.ts";
import { loadPretrained, type OwnNames, type Pretrained, TASK_OPTIONS, type TaskOptions } from "./pretrained.ts";
import {
  type Answer,
  answerQuestions,
  QUESTION_ANSWERING,
  type QuestionAnsweringOptions,
} from "./question_answering.ts";
import { embedText, VECTOR_OPTIONS, type VectorOptions } from "./sentence_embedding.ts";
import { SUMMARY, type Summary, type SummaryOptions, summarize } from "./summarization.ts";
import {
  CLASSIFICATION,
  type Classification,
  type ClassificationOptions,
  classifyText,
} from "./text_classification.ts";
import {
  classifyTokens,
  type Entity,
  TOKEN_CLASSIFICATION,
  type TokenClassificationOptions,
} from "./token_classification.ts";
import { classifyZeroShot, ZERO_SHOT, type ZeroShot, type ZeroShotOptions } from "./zero_shot.ts";

type SnakeCase<Name extends string> = Name extends `${infer First}${infer Rest}`
  ? First extends Lowercase<First>
    ? `${First}${SnakeCase<Rest>}`
    : `_${Lowercase<First>}${SnakeCase<Rest>}`
  : Name;

/** Options under the names that transformers gives them: topK is top_k. */
export type SnakeOptions<Options> = { readonly [Name in keyof Options as SnakeCase<Name & string>]: Options[Name] };

/** One input gives one result, a list of inputs a list of results. */
interface OneOrMany<Input, Options, Result> {
  (input: Input, options?: SnakeOptions<Options>): Promise<Result>;
  (inputs: readonly Input[], options?: SnakeOptions<Options>): Promise<Result[]>;
}

type Pair = string | { readonly text: string; readonly text_pair: string };

interface Classify {
  (text: Pair, options?: SnakeOptions<ClassificationOptions>): Promise<Classification[]>;
  /** The best label of each. */
  (
    texts: readonly Pair[],
    options?: SnakeOptions<ClassificationOptions> & { readonly top_k?: 1 },
  ): Promise<Classification[]>;
  (texts: readonly Pair[], options: SnakeOptions<ClassificationOptions>): Promise<Classification[][]>;
}

interface AnswerQuestion {
  (
    question: string,
    context: string,
    options?: SnakeOptions<QuestionAnsweringOptions> & { readonly top_k?: 1 },
  ): Promise<Answer>;
  (question: string, context: string, options: SnakeOptions<QuestionAnsweringOptions>): Promise<Answer[]>;
}

interface ClassifyByLabels {
  (text: string, labels: string | readonly string[], options?: ZeroShotSettings): Promise<ZeroShot>;
  (texts: readonly string[], labels: string | readonly string[], options?: ZeroShotSettings): Promise<ZeroShot[]>;
}

type ZeroShotSettings = SnakeOptions<Omit<ZeroShotOptions, "candidateLabels">>;

/** Row-major values with their shape, as much of transformers.js' Tensor as results need. */
export interface ResultTensor {
  readonly type: "float32" | "int8" | "uint8";
  readonly dims: readonly number[];
  readonly data: Float32Array | Int8Array | Uint8Array;
  /** Nested arrays. */
  tolist(): unknown[];
}

/** Other options of `VectorOptions` than `normalize`, which does nothing then, are refused without `pooling`. */
export interface FeatureSettings extends SnakeOptions<Omit<VectorOptions, "pooling">> {
  /** Default `none`: a vector per token. */
  readonly pooling?: Pooling | "none" | "first_token" | "eos" | undefined;
  /** Default false. */
  readonly normalize?: boolean | undefined;
  readonly quantize?: boolean | undefined;
  /** With `quantize`; default `binary`. */
  readonly precision?: "binary" | "ubinary" | undefined;
}

type OfVectors = SnakeOptions<Omit<VectorOptions, "pooling" | "normalize">>;
const FEATURE: Names<Omit<FeatureSettings, keyof OfVectors>> = { pooling: 1, normalize: 1, quantize: 1, precision: 1 };

interface ExtractFeatures {
  /** [1, tokens, hidden], pooled [1, hidden] */
  (text: string, options?: FeatureSettings): Promise<ResultTensor>;
  /** [texts, hidden] */
  (
    texts: readonly string[],
    options: FeatureSettings & { readonly pooling: Pooling | "first_token" | "eos" },
  ): Promise<ResultTensor>;
  /** Per text [1, tokens, hidden]: texts differ in length. */
  (texts: readonly string[], options?: FeatureSettings): Promise<ResultTensor[]>;
}

interface Calls {
  readonly "text-classification": Classify;
  readonly "token-classification": OneOrMany<string, TokenClassificationOptions, Entity[]>;
  readonly "question-answering": AnswerQuestion;
  /** Of several masks a list each. */
  readonly "fill-mask": OneOrMany<string, FillMaskOptions, MaskFill[] | MaskFill[][]>;
  readonly "zero-shot-classification": ClassifyByLabels;
  readonly "feature-extraction": ExtractFeatures;
  /** A list for one text as well. */
  readonly summarization: (
    texts: string | readonly string[],
    options?: SnakeOptions<SummaryOptions>,
  ) => Promise<Summary[]>;
}

const ALIASES = { "sentiment-analysis": "text-classification", ner: "token-classification" } as const;

type Aliases = typeof ALIASES;
export type PipelineName = keyof Calls | keyof Aliases;
type Resolved<Name extends PipelineName> = Name extends keyof Aliases ? Aliases[Name] : Name & keyof Calls;

export interface PipelineProgress {
  readonly status: "progress" | "download";
  readonly loaded: number;
  readonly total: number;
  readonly progress: number;
}

export interface PipelineOptions {
  /** Default: a new one on the browser's own device; of `bert-webgpu/node` one that all share which name none. */
  readonly engine?: Engine | undefined;
  /** As in `LoadOptions`; default fp32. */
  readonly dtype?: StorageName | undefined;
  /** Of a model of the hub that is given by its name. */
  readonly revision?: string | undefined;
  /** Bytes and percent of the weights, in Node also (`download`) of what is fetched from the hub first. */
  readonly progress_callback?: ((progress: PipelineProgress) => void) | undefined;
  /** Told of each thing that is wrong with the model's files and does not keep it from being used. */
  readonly on_warning?: ((message: string) => void) | undefined;
}

export type Pipeline<Name extends PipelineName> = Calls[Resolved<Name>] & {
  /** Frees the model, and the engine unless it was given or is shared. A model that was given stays. */
  dispose(): void;
};

/**
 * @param model `org/name[@revision]` of the Hugging Face hub, the address of a folder, a folder, or what is loaded already
 * @throws RangeError for a task or dtype that there is not, TypeError for an unknown option and for a dtype or revision that
 * the model given cannot follow, and what `modelFolder` and `loadPretrained` throw
 */
export async function pipeline<Name extends PipelineName>(
  task: Name,
  model: string | Folder | Pretrained,
  options: PipelineOptions = {},
): Promise<Pipeline<Name>> {
  const name = pipelineTask(task, model, options);
  if (typeof model === "object" && "model" in model) return Object.assign(CALLS[name](model), { dispose() {} });
  const folder = typeof model === "string" ? modelFolder(model, options.revision) : model;
  const engine = options.engine ?? (await Engine.create());
  const report = options.progress_callback;
  try {
    const pretrained = await loadPretrained(engine, folder, {
      dtype: options.dtype,
      onWarning: options.on_warning,
      onProgress: ({ loaded, total }) =>
        report?.({ status: "progress", loaded, total, progress: (100 * loaded) / total }),
    });
    const dispose = (): void => {
      pretrained.model.dispose();
      if (!options.engine) engine.dispose();
    };
    return Object.assign(CALLS[name](pretrained), { dispose });
  } catch (error) {
    if (!options.engine) engine.dispose();
    throw error;
  }
}

/** What `pipeline` can tell before anything is loaded. @throws as it does */
export function pipelineTask<Name extends PipelineName>(
  task: Name,
  model: string | Folder | Pretrained,
  options: PipelineOptions,
): Resolved<Name> {
  requireKnown("pipeline", options, { engine: 1, dtype: 1, revision: 1, progress_callback: 1, on_warning: 1 });
  const name = (Object.hasOwn(ALIASES, task) ? ALIASES[task as keyof Aliases] : task) as Resolved<Name>;
  if (!Object.hasOwn(CALLS, name)) {
    const all = [...Object.keys(CALLS), ...Object.keys(ALIASES)].join(", ");
    throw new RangeError(`there is no pipeline ${JSON.stringify(task)}; there are ${all}, and more with createTask`);
  }
  if (!model) throw new TypeError("pipeline: no model is given; give its name, or a folder");
  const { dtype, revision } = options;
  const storage = dtype === undefined ? undefined : storageOf(dtype);
  if (typeof model === "string") return name;
  const loaded = "model" in model ? model.model : undefined;
  const faults = revision === undefined ? [] : [`revision ${revision}`];
  if (loaded && storage && storage !== loaded.storage) faults.push(`dtype ${dtype}`);
  if (faults.length > 0) {
    const is = loaded ? `a model that is loaded already, in ${loaded.storage}` : "a folder";
    throw new TypeError(
      `pipeline: ${faults.join(" and ")} asked of ${"model" in model ? model.model.name : model.name}, ${is}; leave it out, or give the model's name`,
    );
  }
  return name;
}

const CALLS: { readonly [Name in keyof Calls]: (pretrained: Pretrained) => Calls[Name] } = {
  "text-classification": (pretrained) =>
    (async (texts: Pair | readonly Pair[], options?: SnakeOptions<ClassificationOptions>) => {
      const inputs = listOf(texts).map((input) => {
        if (typeof input !== "object") return input;
        const { text, text_pair: pair, ...others } = { ...input };
        return { text, pair, ...others };
      });
      const results = await classifyText(
        pretrained,
        inputs,
        camelCased("text-classification", CLASSIFICATION, options),
      );
      return (options?.top_k ?? 1) === 1 && options?.top_k !== null ? results.flat() : asGiven(texts, results);
    }) as Classify,
  "token-classification": (pretrained) =>
    oneOrMany("token-classification", TOKEN_CLASSIFICATION, pretrained, classifyTokens),
  "question-answering": (pretrained) =>
    (async (question: string, context: string, options?: SnakeOptions<QuestionAnsweringOptions>) => {
      const settings = camelCased("question-answering", QUESTION_ANSWERING, options);
      const [answers] = await answerQuestions(pretrained, [{ question, context }], settings);
      return (options?.top_k ?? 1) === 1 ? answers![0] : answers;
    }) as AnswerQuestion,
  "fill-mask": (pretrained) =>
    oneOrMany("fill-mask", FILL_MASK, pretrained, async (_, texts: readonly string[], options: FillMaskOptions) => {
      const results = await fillMask(pretrained, texts, options);
      return results.map((masks): MaskFill[] | MaskFill[][] => (masks.length === 1 ? masks[0]! : masks));
    }),
  "zero-shot-classification": (pretrained) =>
    (async (texts: string | readonly string[], labels: string | readonly string[], options?: ZeroShotSettings) => {
      const candidateLabels = typeof labels === "string" ? splitLabels(labels) : labels;
      const { candidateLabels: _, ...own } = ZERO_SHOT;
      const settings = camelCased<Omit<ZeroShotOptions, "candidateLabels">>("zero-shot-classification", own, options);
      return asGiven(texts, await classifyZeroShot(pretrained, listOf(texts), { ...settings, candidateLabels }));
    }) as ClassifyByLabels,
  "feature-extraction": (pretrained) =>
    (async (texts: string | readonly string[], given: FeatureSettings = {}) => {
      const { pooling = "none", normalize = false, quantize = false, precision = "binary", ...rest } = given;
      const inputs = listOf(texts);
      const task = "feature-extraction";
      if (pooling === "none") {
        const options = camelCased<TaskOptions>(`${task} without pooling`, FEATURE, rest);
        const features = await extractFeatures(pretrained, inputs, options);
        return asGiven(
          texts,
          features.map(({ shape, data }) => tensor([1, ...shape], data)),
        );
      }
      const same = { first_token: "cls", eos: "last_token" } as const;
      const vectors = await embedText(pretrained, inputs, {
        ...camelCased<VectorOptions>(task, { ...FEATURE, ...VECTOR_OPTIONS }, rest),
        pooling: pooling === "first_token" || pooling === "eos" ? same[pooling] : pooling,
        normalize,
        precision: quantize ? precision : "float32",
      });
      return stacked(vectors);
    }) as ExtractFeatures,
  summarization: (pretrained) => async (texts, options) =>
    summarize(pretrained, listOf(texts), camelCased("summarization", { ...SUMMARY, ...VECTOR_OPTIONS }, options)),
};

function oneOrMany<Input, Options extends TaskOptions, Result>(
  name: string,
  own: OwnNames<Options>,
  pretrained: Pretrained,
  run: (pretrained: Pretrained, inputs: readonly Input[], options: Options) => Promise<Result[]>,
): OneOrMany<Input, Options, Result> {
  return (async (inputs: Input | readonly Input[], options?: SnakeOptions<Options>) =>
    asGiven(inputs, await run(pretrained, listOf(inputs), camelCased(name, own, options)))) as OneOrMany<
    Input,
    Options,
    Result
  >;
}

function splitLabels(labels: string): string[] {
  return labels
    .split(",")
    .map((label) => label.trim())
    .filter((label) => label !== "");
}

function listOf<Input>(inputs: Input | readonly Input[]): readonly Input[] {
  return Array.isArray(inputs) ? inputs : [inputs as Input];
}

function asGiven<Result>(inputs: unknown, results: Result[]): Result | Result[] {
  return Array.isArray(inputs) ? results : results[0]!;
}

function camelCased<Options extends TaskOptions>(
  name: string,
  own: OwnNames<Options>,
  options: SnakeOptions<Options> | undefined,
): Options {
  return camelOptions(name, { ...own, ...TASK_OPTIONS }, options);
}

/**
 * @param names of options, in camel case
 * @throws TypeError for an unknown option, which one in camel case is as well, with those that there are, in snake case
 */
export function camelOptions<Options>(name: string, names: object, options: object | undefined): Options {
  const camel = Object.fromEntries(
    Object.keys(names).map((name) => [name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), name]),
  );
  requireKnown<object>(name, options ?? {}, camel);
  return Object.fromEntries(Object.entries(options ?? {}).map(([name, value]) => [camel[name], value])) as Options;
}

function stacked(vectors: readonly (Float32Array | Int8Array | Uint8Array)[]): ResultTensor {
  const [first] = vectors;
  const width = first?.length ?? 0;
  const make = (first?.constructor ?? Float32Array) as typeof Float32Array | typeof Int8Array | typeof Uint8Array;
  const data = new make(vectors.length * width);
  vectors.forEach((vector, i) => {
    data.set(vector, i * width);
  });
  return tensor([vectors.length, width], data);
}

function tensor(dims: readonly number[], data: ResultTensor["data"]): ResultTensor {
  const nested = (axis: number, begin: number, size: number): unknown[] => {
    if (axis === dims.length - 1) return Array.from(data.subarray(begin, begin + size));
    const part = size / dims[axis]!;
    return Array.from({ length: dims[axis]! }, (_, i) => nested(axis + 1, begin + i * part, part));
  };
  const type = data instanceof Float32Array ? "float32" : data instanceof Int8Array ? "int8" : "uint8";
  return { type, dims, data, tolist: () => nested(0, 0, data.length) };
}
