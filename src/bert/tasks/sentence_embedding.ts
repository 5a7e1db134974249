/** Sentence embeddings: one vector per text, as sentence-transformers computes them. */

import type { Sequence } from "../batch.ts";
import type { SequenceOutput, Wanted } from "../outputs.ts";
import { chainOf, type PromptOptions, taken } from "./module_chain.ts";
import type { Plan } from "./plan.ts";
import { normalized, type Pooling } from "./pooling.ts";
import { type Precision, quantize, type Ranges, type VectorOf } from "./precision.ts";
import {
  type OwnNames,
  type Pretrained,
  requireCount,
  requireOptions,
  type TaskOptions,
  type TextInput,
} from "./pretrained.ts";
import type { SentenceModule } from "./sentence_modules.ts";
import { runTask } from "./stream.ts";

export interface VectorOptions extends TaskOptions, PromptOptions {
  /** How tokens become one vector; of several, their vectors one after another. Default: as the folder says, else `mean`. */
  readonly pooling?: Pooling | readonly Pooling[] | undefined;
  /** Scale vectors to length 1, after truncation, so that a dot product is the cosine. Default: as the folder says, else true. */
  readonly normalize?: boolean | undefined;
  /** Keep only the first dimensions: for models trained for that (Matryoshka). Default: as the folder says, else all. */
  readonly truncateDim?: number | undefined;
}

export const VECTOR_OPTIONS: OwnNames<VectorOptions> = {
  pooling: 1,
  normalize: 1,
  prompt: 1,
  promptName: 1,
  truncateDim: 1,
};

export interface EmbedOptions<P extends Precision = Precision> extends VectorOptions {
  /** Default `float32`. */
  readonly precision?: P | undefined;
  /** For int8 and uint8: see `quantize`. */
  readonly ranges?: Ranges | undefined;
}

/**
 * `cls`, `mean`, `max` and `mean_sqrt_len` are pooled on the GPU and only vectors are read back; the other poolings,
 * several at once, modules before pooling, and prompts that are not pooled read all tokens back and pool on the CPU.
 * @returns one vector per text
 * @throws RangeError for an unknown prompt, a truncateDim beyond the vector, or modules whose sizes do not fit
 */
export function embedText<P extends Precision = "float32">(
  pretrained: Pretrained,
  inputs: readonly TextInput[],
  options: EmbedOptions<P> = {},
): Promise<VectorOf<P>[]> {
  return runTask(planSentenceEmbedding<P>, pretrained, inputs, options);
}

export function planSentenceEmbedding<P extends Precision = "float32">(
  pretrained: Pretrained,
  options: EmbedOptions<P> = {},
): Plan<TextInput, VectorOf<P>> {
  requireOptions("sentence-embedding", options, { precision: 1, ranges: 1, ...VECTOR_OPTIONS });
  const embedder = createEmbedder(pretrained, options);
  const { precision = "float32" as P, ranges } = options;
  return {
    wanted: embedder.wanted,
    prepare: (input) => ({
      sequences: [embedder.encode(input)],
      finish: ([output]) => quantize(embedder.vector(output!), precision, ranges),
    }),
  };
}

/** What every task on sentence vectors is made of. */
export interface Embedder {
  readonly wanted: Omit<Wanted, "predictionRows">;
  encode(input: TextInput): Sequence;
  /** A copy. */
  vector(output: SequenceOutput): Float32Array;
}

const POOLED = { includePrompt: true, input: "token_embeddings", output: "sentence_embedding" } as const;

/** @throws as `embedText` */
export function createEmbedder(given: Pretrained, options: VectorOptions = {}): Embedder {
  const pretrained = taken(given, false);
  const { sentence } = pretrained;
  const chosen = typeof options.pooling === "string" ? [options.pooling] : options.pooling;
  if (chosen?.length === 0) throw new RangeError("pooling is an empty list, at least 1 is needed");
  const own: readonly SentenceModule[] = sentence?.modules ?? [{ ...POOLED, poolings: ["mean"] }];
  const modules = own.map((module) => ("poolings" in module && chosen ? { ...module, poolings: chosen } : module));
  const { wanted, size, encode, run } = chainOf(pretrained, modules, "sentence_embedding", options);
  const { truncateDim = sentence?.truncateDim } = options;
  if (truncateDim !== undefined && requireCount("truncateDim", truncateDim) > size && options.truncateDim) {
    throw new RangeError(`truncateDim is ${truncateDim}, the vectors have ${size} dimensions`);
  }
  const normalize = options.normalize ?? sentence?.normalize ?? true;
  return {
    wanted,
    encode,
    vector(output) {
      const kept = run(output).subarray(0, truncateDim);
      return Float32Array.from(normalize ? normalized(Float64Array.from(kept)) : kept);
    },
  };
}
