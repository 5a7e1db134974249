/**
 * Few shapes for batches of many: a program is recorded for each shape, which takes longer than a step does on a fast GPU.
 * So a batch is brought to the next of a few shapes by sequences without labels. Nothing goes back through them: the loss and
 * all gradients are those of the batch.
 */

import type { Sequence } from "../bert/batch.ts";

/** The next of eight sizes between two powers of two: at most an eighth more. */
export const ladder = (size: number): number => Math.ceil(size / stepAt(size)) * stepAt(size);

/** From one of these sizes to the next. */
export const stepAt = (size: number): number => Math.max(1, 2 ** (Math.ceil(Math.log2(size)) - 4));

/**
 * @param lengths of the batch's sequences, in tokens
 * @param longest tokens that a sequence may have
 * @returns none where the batch has such a shape as it is
 */
export function fillersFor(lengths: readonly number[], longest: number): Sequence[] {
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const sequences = lengths.length;
  if (ladder(tokens) === tokens && ladder(sequences) === sequences) return [];
  return sequencesOf(ladder(sequences + 1) - sequences, tokens, longest);
}

/** So many sequences that bring `tokens` to one of the few numbers, as far as they may be `longest` tokens long. */
export function sequencesOf(count: number, tokens: number, longest: number): Sequence[] {
  const room = Math.min(ladder(tokens + count) - tokens, count * longest);
  return Array.from({ length: count }, (_, i) => ({ inputIds: new Uint32Array(Math.floor((room + i) / count)) }));
}
