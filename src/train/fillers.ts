/**
 * Few shapes for batches of many: a program is recorded for each shape, which takes longer than a step does on a fast GPU.
 * So a batch is brought to the next of a few shapes by sequences without labels. Nothing goes back through them: the loss and
 * all gradients are those of the batch.
 */

import type { Sequence } from "../bert/batch.ts";

/** The next of eight sizes between two powers of two: at most an eighth more. */
export function ladder(size: number): number {
  const step = Math.max(1, 2 ** (Math.ceil(Math.log2(size)) - 4));
  return Math.ceil(size / step) * step;
}

/**
 * @param lengths of the batch's sequences, in tokens
 * @param longest tokens that a sequence may have
 * @returns none where the batch has such a shape as it is
 */
export function fillersFor(lengths: readonly number[], longest: number): Sequence[] {
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const sequences = lengths.length;
  if (ladder(tokens) === tokens && ladder(sequences) === sequences) return [];
  const count = ladder(sequences + 1) - sequences;
  const room = Math.min(ladder(tokens + count) - tokens, count * longest);
  return Array.from({ length: count }, (_, i) => ({ inputIds: new Uint32Array(Math.floor((room + i) / count)) }));
}
