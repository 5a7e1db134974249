/** A task as data: what the model computes, what an input becomes, what its outputs become. `stream.ts` does the rest. */

import type { Sequence } from "../batch.ts";
import type { Forward, Values, Wanted } from "../outputs.ts";

export interface Plan<Input, Result> {
  /** Computed for every sequence; `predictionRows` are those of the jobs. */
  readonly wanted: Omit<Wanted, "predictionRows">;
  /**
   * Tokenises; touches no GPU.
   * @param index of the input among all, for messages
   * @throws RangeError for an input that cannot be worked on
   */
  prepare(input: Input, index: number): Job<Result>;
}

/** One input's part of the work. Its sequences may fall into several batches. */
export interface Job<Result> {
  readonly sequences: readonly Sequence[];
  /** For the masked-LM head: per sequence the tokens to predict. */
  readonly rows?: readonly (readonly number[])[] | undefined;
  /** @param outputs in the order of `sequences`; views of a batch's memory, to be copied if kept */
  finish(outputs: readonly SequenceOutput[]): Result;
}

/** What was computed of one sequence: of `Forward`, its part. */
export interface SequenceOutput {
  /** Tokens. */
  readonly length: number;
  /** [length, hidden] */
  readonly lastHiddenState?: Float32Array;
  /** Per layer [heads, length, length]. */
  readonly attentions?: readonly Values[];
  /** [labels]; of a token classifier [length, labels] */
  readonly logits?: Float32Array;
  /** [2] */
  readonly seqRelationshipLogits?: Float32Array;
  /** [length] */
  readonly startLogits?: Float32Array;
  /** [length] */
  readonly endLogits?: Float32Array;
  /** [hidden] */
  readonly embedding?: Float32Array;
  /** [rows, vocab] */
  readonly predictionProbabilities?: Float32Array;
  /** [rows, k], most probable first */
  readonly topProbabilities?: Float32Array;
  /** [rows, k] */
  readonly topIds?: Uint32Array;
}

/** @param rows which of the masked-LM head's rows are this sequence's */
export function outputOf(
  forward: Forward,
  sequence: number,
  rows: { readonly begin: number; readonly end: number },
): SequenceOutput {
  const [begin, end] = [forward.cuSeqlens[sequence]!, forward.cuSeqlens[sequence + 1]!];
  const tokens = forward.cuSeqlens.at(-1)!;
  // a row per token or per sequence; where all sequences have one token it is both
  const part = ({ shape, data }: Values): Float32Array => {
    const width = data.length / shape[0]!;
    return shape[0] === tokens
      ? data.subarray(begin * width, end * width)
      : data.subarray(sequence * width, (sequence + 1) * width);
  };
  const { lastHiddenState, attentions, logits, seqRelationshipLogits, embedding, startLogits, endLogits } = forward;
  const { predictionProbabilities: probabilities, predictionTopK: top } = forward;
  const vocab = probabilities?.shape[1] ?? 0;
  return {
    length: end - begin,
    ...(lastHiddenState && { lastHiddenState: part(lastHiddenState) }),
    ...(attentions && { attentions: attentions.map((layer) => layer[sequence]!) }),
    ...(logits && { logits: part(logits) }),
    ...(seqRelationshipLogits && { seqRelationshipLogits: part(seqRelationshipLogits) }),
    ...(embedding && { embedding: part(embedding) }),
    ...(startLogits && { startLogits: startLogits.subarray(begin, end) }),
    ...(endLogits && { endLogits: endLogits.subarray(begin, end) }),
    ...(probabilities && {
      predictionProbabilities: probabilities.data.subarray(rows.begin * vocab, rows.end * vocab),
    }),
    ...(top && {
      topProbabilities: top.probabilities.subarray(rows.begin * top.k, rows.end * top.k),
      topIds: top.ids.subarray(rows.begin * top.k, rows.end * top.k),
    }),
  };
}
