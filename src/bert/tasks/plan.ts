/** A task as data: what the model computes, what an input becomes, what its outputs become. `stream.ts` does the rest. */

import type { Sequence } from "../batch.ts";
import type { SequenceOutput, Wanted } from "../outputs.ts";

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
  /** What stands in place of a result where outputs are not finite; left out, the error ends the stream. */
  fail?(error: Error): Result;
}
