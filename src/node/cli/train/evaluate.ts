/** Outputs of sequences with the weights that are being trained, batch by batch. */

import type { Sequence } from "../../../bert/batch.ts";
import type { Forward, Wanted } from "../../../bert/outputs.ts";
import type { EvaluationForward } from "../../../train/index.ts";

/** Tokens of a batch. */
export const EVALUATED_TOKENS = 4096;

/** One sequence of a batch: which of all it is, and where it lies in what was computed. */
export interface Place {
  readonly index: number;
  /** Of the batch. */
  readonly sequence: number;
  /** Its tokens are from `begin` to `end`. */
  readonly begin: number;
  readonly end: number;
}

/**
 * @param rowsOf tokens of a sequence that are predicted, where `wanted` asks for predictions
 * @param use called for each sequence, in no order; of predictions, `row` is the first
 */
export async function evaluateAll<const W extends Wanted>(
  forward: EvaluationForward,
  sequences: readonly Sequence[],
  wanted: W,
  use: (output: Forward<W>, place: Place & { readonly row: number }) => void,
  { tokens = EVALUATED_TOKENS, rowsOf }: { tokens?: number; rowsOf?: (index: number) => readonly number[] } = {},
): Promise<void> {
  const order = [...sequences.keys()].sort((a, b) => sequences[a]!.inputIds.length - sequences[b]!.inputIds.length);
  for (let at = 0; at < order.length; ) {
    const batch: number[] = [];
    let size = 0;
    while (at < order.length && (size === 0 || size + sequences[order[at]!]!.inputIds.length <= tokens)) {
      size += sequences[order[at]!]!.inputIds.length;
      batch.push(order[at++]!);
    }
    const starts: number[] = [0];
    for (const index of batch) starts.push(starts.at(-1)! + sequences[index]!.inputIds.length);
    const rows = batch.map((index) => rowsOf?.(index) ?? []);
    const predictionRows = rows.flatMap((own, s) => own.map((row) => starts[s]! + row));
    const asked = { ...wanted, ...(rowsOf && { predictionRows }) };
    const output = (await forward(
      batch.map((index) => sequences[index]!),
      asked as never,
    )) as unknown as Forward<W>;
    let row = 0;
    for (const [s, index] of batch.entries()) {
      use(output, { index, sequence: s, begin: starts[s]!, end: starts[s + 1]!, row });
      row += rows[s]!.length;
    }
  }
}
