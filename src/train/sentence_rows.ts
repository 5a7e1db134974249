/**
 * Batches of sentences in few shapes. All sequences of the batch come first, column by column, sequences that fill it up last.
 * Programs are recorded for as many rows as there is room for, and told at each run how many there are: so no loss sees a
 * filler, as a negative or otherwise.
 */

import type { Sequence } from "../bert/batch.ts";
import type { Recorder, ScalarInput } from "../runtime/recorder.ts";
import { ladder, sequencesOf, stepAt } from "./fillers.ts";

/** Rows of a batch as a program is recorded for them. */
export interface SentenceRows {
  /** Sequences of each row. */
  readonly columns: number;
  /** Rows that there may be. */
  readonly room: number;
  /** Sequences that there may be beside the first ones of all rows. */
  readonly others: number;
  /** Fields of a kernel's Params that are so many times the rows that there are; none where `room` is taken. */
  times(fields: Readonly<Record<string, number>>): Readonly<Record<string, ScalarInput>>;
}

/** As many as there is room for. */
export const fixedRows = (room: number, columns: number): SentenceRows => ({
  ...{ columns, room, others: (columns - 1) * room },
  times: () => ({}),
});

/** Room for so many rows. */
export function roomFor(rows: number, columns: number): Pick<SentenceRows, "room" | "others"> {
  const room = ladder(rows);
  return { room, others: ladder((columns - 1) * room) };
}

export interface VectorShape {
  /** Sequences of each row. */
  readonly columns: number;
  /** Of a vector. */
  readonly hidden: number;
  /** Dimensions that losses are computed of, where they are not all. */
  readonly matryoshka?: readonly number[] | undefined;
}

const nameOf = (factor: number): string => `${factor} times rows`;

/** By what the number of rows is multiplied in Params of the losses' kernels: columns and elements of their matrices. */
function factorsOf({ columns, hidden, matryoshka = [hidden] }: VectorShape): number[] {
  return [...new Set([1, columns - 1, columns * hidden, ...matryoshka])].filter((factor) => factor > 0);
}

/** As many as a run is told by `rowNumbers`; there is room for `rows`. */
export function countedRows(r: Recorder, rows: number, shape: VectorShape): SentenceRows {
  const scalars = new Map(factorsOf(shape).map((factor) => [factor, r.scalar(nameOf(factor), "u32")]));
  return {
    ...{ columns: shape.columns, ...roomFor(rows, shape.columns) },
    times(fields) {
      return Object.fromEntries(Object.entries(fields).map(([field, factor]) => [field, scalars.get(factor)!]));
    },
  };
}

/** What a program of `countedRows` is run with. */
export function rowNumbers(rows: number, shape: VectorShape): Record<string, number> {
  return Object.fromEntries(factorsOf(shape).map((factor) => [nameOf(factor), factor * rows]));
}

/**
 * Sequences behind those of a batch, which has as many as there is room for then, or as many more as its tokens need.
 * @param lengths of the batch's sequences, in tokens
 * @param longest tokens that a sequence may have
 */
export function rowFillers(lengths: readonly number[], rows: number, longest: number): Sequence[] {
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const { room, others } = roomFor(rows, lengths.length / rows);
  const lacking = room + others - lengths.length;
  const needed = Math.ceil(stepAt(tokens) / longest);
  return lacking === 0 && ladder(tokens) === tokens ? [] : sequencesOf(Math.max(lacking, needed), tokens, longest);
}
