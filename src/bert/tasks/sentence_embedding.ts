/** Sentence embeddings: one vector per text, as sentence-transformers computes them. */

import type { Sequence } from "../batch.ts";
import type { SequenceOutput, Wanted } from "../outputs.ts";
import type { Plan } from "./plan.ts";
import { normalized, type Pooling, poolTokens } from "./pooling.ts";
import { type Precision, quantize, type Ranges, type VectorOf } from "./precision.ts";
import {
  encodeCut,
  maxLength,
  type OwnNames,
  type Pretrained,
  requireCount,
  requireOptions,
  sequenceOf,
  type TaskOptions,
  type TextInput,
} from "./pretrained.ts";
import type { DenseLayer } from "./sentence_modules.ts";
import { runTask } from "./stream.ts";

export interface VectorOptions extends TaskOptions {
  /** How tokens become one vector; of several, their vectors one after another. Default: as the folder says, else `mean`. */
  readonly pooling?: Pooling | readonly Pooling[] | undefined;
  /** Scale vectors to length 1, after truncation, so that a dot product is the cosine. Default: as the folder says, else true. */
  readonly normalize?: boolean | undefined;
  /** Put before every text. */
  readonly prompt?: string | undefined;
  /** One of the folder's prompts. Default: the folder's default prompt, if it has one. */
  readonly promptName?: string | undefined;
  /** Keep only the first dimensions: for models trained for that (Matryoshka). */
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
 * several at once, and prompts that are not pooled read all tokens back and pool on the CPU.
 * @returns one vector per text
 * @throws RangeError for an unknown prompt or a truncateDim beyond the vector
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

/** @throws as `embedText` */
export function createEmbedder(pretrained: Pretrained, options: VectorOptions = {}): Embedder {
  const { model, sentence } = pretrained;
  const { hiddenSize } = model.config;
  const chosen = options.pooling ?? sentence?.poolings ?? "mean";
  const poolings = typeof chosen === "string" ? [chosen] : chosen;
  if (poolings.length === 0) throw new RangeError("pooling is an empty list, at least 1 is needed");
  const dense = sentence?.dense ?? [];
  const dimension = dense.reduce((size, layer) => sizeAfter(layer, size), poolings.length * hiddenSize);
  const { truncateDim } = options;
  if (truncateDim !== undefined && requireCount("truncateDim", truncateDim) > dimension) {
    throw new RangeError(`truncateDim is ${truncateDim}, the vectors have ${dimension} dimensions`);
  }
  const normalize = options.normalize ?? sentence?.normalize ?? true;
  const prompt = promptOf(pretrained, options);
  const skipped = sentence?.includePrompt === false && prompt !== "" ? promptTokens(pretrained, prompt) : 0;
  const most = Math.min(sentence?.maxSeqLength ?? Number.POSITIVE_INFINITY, maxLength(pretrained));
  const spelt = (text: string): string => (sentence?.lowercase ? (prompt + text).toLowerCase() : prompt + text);
  const onGpu = skipped === 0 && poolings.length === 1 ? GPU_POOLINGS[poolings[0]!] : undefined;

  const pooled = ({ embedding, lastHiddenState, length }: SequenceOutput): Float64Array => {
    if (embedding) {
      const scale = poolings[0] === "mean_sqrt_len" ? Math.sqrt(length) : 1;
      return Float64Array.from(embedding, (x) => x * scale);
    }
    const parts = poolings.map((pooling) =>
      poolTokens(lastHiddenState!, hiddenSize, pooling, Math.min(skipped, length - 1)),
    );
    return parts.length === 1 ? parts[0]! : Float64Array.from(parts.flatMap((part) => [...part]));
  };
  return {
    wanted: onGpu ? { embedding: { pooling: onGpu, normalize: false } } : { lastHiddenState: true },
    encode(input) {
      const [text, pair] = typeof input === "string" ? [input] : [input.text, input.pair];
      return sequenceOf(encodeCut(pretrained, spelt(text), pair, { most, onWarning: options.onWarning }));
    },
    vector(output) {
      const whole = dense.reduce((vector, layer) => applied(layer, vector), pooled(output));
      const kept = truncateDim === undefined ? whole : whole.subarray(0, truncateDim);
      return Float32Array.from(normalize ? normalized(kept) : kept);
    },
  };
}

/** What the GPU computes for a pooling; `mean_sqrt_len` is a multiple of the mean. */
const GPU_POOLINGS: Readonly<Partial<Record<Pooling, "cls" | "max" | "mean">>> = {
  cls: "cls",
  max: "max",
  mean: "mean",
  mean_sqrt_len: "mean",
};

function promptOf({ sentence }: Pretrained, { prompt, promptName }: VectorOptions): string {
  if (prompt !== undefined) return prompt;
  const name = promptName ?? sentence?.defaultPrompt;
  if (name === undefined) return "";
  const known = sentence?.prompts ?? {};
  if (Object.hasOwn(known, name)) return known[name]!;
  const names = Object.keys(known).join(", ") || "none";
  throw new RangeError(`the model has no prompt named ${JSON.stringify(name)}; there are: ${names}`);
}

/** As sentence-transformers counts: [CLS] and the prompt, without [SEP]. */
function promptTokens({ tokenizer }: Pretrained, prompt: string): number {
  return tokenizer.encode(prompt).ids.length - 1;
}

function sizeAfter({ weight, bias }: DenseLayer, size: number): number {
  const outputs = bias?.length ?? weight.length / size;
  if (outputs * size === weight.length) return outputs;
  throw new RangeError(`a Dense module takes vectors of ${weight.length / outputs} dimensions, pooling gives ${size}`);
}

function applied({ weight, bias, activation }: DenseLayer, vector: Float64Array): Float64Array {
  const inputs = vector.length;
  return Float64Array.from({ length: weight.length / inputs }, (_, row) => {
    let sum = bias?.[row] ?? 0;
    for (let i = 0; i < inputs; i++) sum += weight[row * inputs + i]! * vector[i]!;
    return activation(sum);
  });
}
