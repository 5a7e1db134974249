/** Random draws that follow from a seed and from what they are for, so that any of them can be made again. */

import { uniforms } from "../initial.ts";

/** Numbers from 0 to less than 1, one after the other. */
export type Draw = () => number;

/** Draws of their own for a seed with numbers such as an epoch and a row; whole numbers of 32 bits count. */
export function drawsFor(seed: number, ...numbers: readonly number[]): Draw {
  // murmur3's mixing: neighbouring seeds have nothing in common
  const mixed = [seed, ...numbers].reduce((hash, number) => {
    let k = Math.imul(number | 0, 0xcc9e2d51);
    k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
    const h = hash ^ k;
    return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
  }, 0x9747b28c);
  let h = mixed ^ (mixed >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return uniforms(h ^ (h >>> 16));
}

/** A whole number from 0 to less than `end`. */
export const below = (draw: Draw, end: number): number => Math.floor(draw() * end);

/** Puts a list in an order that is drawn (Fisher and Yates). @returns the list itself */
export function shuffle<List extends { length: number; [index: number]: unknown }>(list: List, draw: Draw): List {
  for (let i = list.length - 1; i > 0; i--) {
    const j = below(draw, i + 1);
    [list[i], list[j]] = [list[j], list[i]];
  }
  return list;
}

/** The numbers from 0 to less than `count` in an order that is drawn. */
export const permutation = (count: number, draw: Draw): Uint32Array =>
  shuffle(
    Uint32Array.from({ length: count }, (_, i) => i),
    draw,
  );

/**
 * What comes, in an order that is drawn as far as `size` items reach: one of those held is given as the next one comes.
 * It holds no more than these.
 */
export async function* shuffled<Item>(
  items: AsyncIterable<Item> | Iterable<Item>,
  size: number,
  draw: Draw,
): AsyncGenerator<Item> {
  const held: Item[] = [];
  for await (const item of items) {
    if (held.length < size) {
      held.push(item);
      continue;
    }
    const at = below(draw, size);
    const given = held[at]!;
    held[at] = item;
    yield given;
  }
  yield* shuffle(held, draw);
}
