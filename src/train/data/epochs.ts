/** Rows as epochs of examples: each in an order of its own that follows from the seed. */

import type { TrainingData } from "../options.ts";
import type { Example } from "../step.ts";
import { type Draw, drawsFor, permutation, shuffled } from "./draw.ts";

/** Makes an example of a row; what is random about it is drawn, anew in every epoch. */
export type Maker<Row> = (row: Row, draw: Draw) => Example;

/** What draws are for. */
const ORDER = 1;
const ROW = 2;

/** Of rows that are held in memory: the order of an epoch is any of all orders. */
export function epochsOf<Row>(rows: readonly Row[], seed: number, make: Maker<Row>): TrainingData {
  return {
    *epoch(epoch) {
      for (const at of permutation(rows.length, drawsFor(seed, epoch, ORDER))) {
        yield make(rows[at]!, drawsFor(seed, epoch, ROW, at));
      }
    },
  };
}

/**
 * Of rows that are read anew in every epoch, for more than memory holds.
 * @param held rows that are in memory at a time: an order is drawn among so many neighbours
 */
export function streamedEpochs<Row>(
  open: () => AsyncIterable<Row> | Iterable<Row>,
  held: number,
  seed: number,
  make: Maker<Row>,
): TrainingData {
  return {
    async *epoch(epoch) {
      for await (const { row, at } of shuffled(numbered(open()), held, drawsFor(seed, epoch, ORDER))) {
        yield make(row, drawsFor(seed, epoch, ROW, at));
      }
    },
  };
}

async function* numbered<Row>(rows: AsyncIterable<Row> | Iterable<Row>): AsyncGenerator<{ row: Row; at: number }> {
  let at = 0;
  for await (const row of rows) yield { row, at: at++ };
}

/**
 * Two parts of a list, the second with a share of it, at least one item; which items, the seed says. Both keep the order.
 * @param share above 0, below 1
 * @throws RangeError when one of the parts would be empty
 */
export function split<Item>(items: readonly Item[], share: number, seed: number): readonly [Item[], Item[]] {
  const count = Math.max(1, Math.round(items.length * share));
  if (!(share > 0) || count >= items.length) {
    throw new RangeError(`${items.length} rows cannot be parted at ${share}: both parts need at least 1`);
  }
  const chosen = new Set(permutation(items.length, drawsFor(seed, 0, 3)).subarray(0, count));
  return [items.filter((_, i) => !chosen.has(i)), items.filter((_, i) => chosen.has(i))];
}
