/**
 * Few shapes for batches of many: a program is recorded for each shape, which takes longer than a step does on a fast GPU.
 * So a batch is brought to the next of a few shapes by sequences without labels. Nothing goes back through them: the loss and
 * all gradients are those of the batch.
 */

import type { Sequence } from "../bert/batch.ts";
import { roundUp } from "../runtime/program.ts";

/**
 * @param lengths of the batch's sequences, in tokens
 * @param longest tokens that a sequence may have
 * @returns none where the batch has such a shape as it is
 */
export function fillersFor(lengths: readonly number[], longest: number): Sequence[] {
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const sequences = lengths.length;
  if (roundUp(tokens, 1) === tokens && roundUp(sequences, 1) === sequences) return [];
  let [count, room] = [0, 1];
  while (room > count * longest) {
    count = roundUp(sequences + count + 1, 1) - sequences;
    room = roundUp(tokens + count, 1) - tokens;
  }
  return Array.from({ length: count }, (_, i) => ({ inputIds: new Uint32Array(Math.floor((room + i) / count)) }));
}
