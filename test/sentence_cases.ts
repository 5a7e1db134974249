/** Of backward_cases.ts: the losses of sentence vectors, and what they are made of. */

import type { Scalar } from "../src/kernels/kernel.ts";
import {
  type CosentGradientShape,
  type CosentShape,
  cosent,
  cosentBy,
  cosentGradient,
  cosentGradientBy,
  type RowDotsShape,
  rowDots,
  rowDotsBackward,
  rowDotsBy,
  type TripletShape,
  triplet,
  tripletBy,
} from "../src/kernels/losses/sentences.ts";
import * as sentences from "../src/kernels/reference/sentences.ts";
import { type CopyBlocksShape, copyBlocks } from "../src/kernels/rows/copy_blocks.ts";
import { absolute, type Bound, type Case, type CaseTable, exact, type Random, UNIT } from "./case.ts";
import { STATE } from "./loss_cases.ts";

type Table<Shape extends { readonly dtype: Scalar }> = Omit<CaseTable<Shape>, "typical">;

const SIZES: readonly (readonly [rows: number, cols: number])[] = [
  [1, 1],
  [3, 5],
  [7, 64],
  [65, 33],
  [9, 260],
];

/** What comes out is f32 whatever the storage is. */
const single = (units: number) => (): Bound => ({ absolute: units * UNIT, relative: 4 * UNIT });

function copyCase(shape: Omit<CopyBlocksShape, "dtype">, x: number, out: number): Case<CopyBlocksShape> {
  return {
    shape,
    inputs: (random) => ({ x: random.values(x), ...(shape.accumulate && { out: random.values(out) }) }),
    outputs: { out },
    bound: shape.accumulate || shape.from === "f32" ? absolute(1) : exact,
  };
}

export const copyBlocksCases: Table<CopyBlocksShape> = {
  kernels: () => [copyBlocks],
  reference: (shape, inputs) => sentences.copyBlocks(shape, inputs, extentOf(shape)),
  cases: [
    copyCase({ rows: 1, cols: 1 }, 1, 1),
    { ...copyCase({ rows: 7, cols: 8, xStride: 20 }, 7 * 20, 56), why: "the first columns" },
    { ...copyCase({ rows: 7, cols: 20, given: 8 }, 56, 140), why: "and back, zeros behind them" },
    { ...copyCase({ rows: 3, cols: 5, to: "f32" }, 15, 15), why: "into f32" },
    { ...copyCase({ rows: 3, cols: 5, from: "f32" }, 15, 15), why: "out of f32" },
    copyCase({ rows: 5, cols: 3, outStride: 3, xOffset: 6 }, 21, 15),
    copyCase({ rows: 9, cols: 4, outStride: 9, outOffset: 2, from: "f32", to: "f32", accumulate: true }, 36, 81),
    {
      ...copyCase({ blocks: 3, rows: 2, cols: 6, outBlock: 30, outOffset: 12, to: "f32" }, 36, 90),
      why: "some rows of each column",
    },
    copyCase({ blocks: 3, rows: 2, cols: 6, xBlock: 30, xOffset: 12, from: "f32" }, 90, 36),
  ],
};

/** Elements of out: the last block's gap behind its rows is among them. */
function extentOf({ blocks = 1, rows, cols, outStride = cols, outBlock = rows * outStride }: CopyBlocksShape): number {
  return blocks * outBlock;
}

export const rowDotsCases: Table<RowDotsShape> = {
  kernels: () => [rowDots, rowDotsBy("thread")],
  reference: sentences.rowDots,
  cases: SIZES.map(([rows, cols]) => ({
    shape: { rows, cols },
    inputs: (random) => ({ x: random.values(2 * rows * cols) }),
    outputs: { dots: rows },
    bound: single(cols + 2),
  })),
};

export const rowDotsBackwardCases: Table<RowDotsShape> = {
  kernels: () => [rowDotsBackward],
  reference: sentences.rowDotsBackward,
  cases: SIZES.map(([rows, cols]) => ({
    shape: { rows, cols },
    inputs: (random) => ({ x: random.values(2 * rows * cols), d_dots: random.values(rows) }),
    outputs: { dx: 2 * rows * cols },
    bound: absolute(2),
  })),
};

const PAIRS = [1, 2, 7, 65, 300];
const FACTOR = 20;

/** Few different labels, so that many are equal. */
const pairsIn = (random: Random, rows: number) => ({
  similarities: random.values(rows),
  labels: Array.from({ length: rows }, () => random.integer(5) / 4),
});

export const cosentCases: Table<CosentShape> = {
  kernels: () => [cosent, cosentBy("thread")],
  reference: sentences.cosent,
  cases: PAIRS.map((rows) => ({
    shape: { rows, factor: FACTOR },
    inputs: (random) => pairsIn(random, rows),
    outputs: { sums: rows },
    // differences reach 40: rounded, multiplied, and in exp once more, each costs some 40 units
    bound: single(8 * 40 + rows),
  })),
};

export const cosentGradientCases: Table<CosentGradientShape> = {
  kernels: () => [cosentGradient, cosentGradientBy("thread")],
  reference: sentences.cosentGradient,
  cases: PAIRS.map((rows) => ({
    shape: { rows, factor: FACTOR, scale: 0.5 },
    inputs(random) {
      const given = pairsIn(random, rows);
      return { ...given, ...sentences.cosent({ rows, factor: FACTOR, dtype: "f32" }, given), state: STATE };
    },
    outputs: { d_similarities: rows, losses: rows },
    // shares of all pairs, which add up to 1, each right to the errors of an exponent of 40 and of the loss
    bound: single((12 * 40 + rows) * FACTOR * 0.5 * 16),
  })),
};

function tripletCase(rows: number, cols: number, margin: number): Case<TripletShape> {
  return {
    shape: { rows, cols, margin, scale: 1 / rows },
    inputs(random) {
      const x = random.values(3 * rows * cols);
      // the last positive is its anchor
      for (let i = (rows - 1) * cols; i < rows * cols; i++) x[rows * cols + i] = x[i]!;
      return { x, state: STATE };
    },
    outputs: { dx: 3 * rows * cols, losses: rows },
    // distances are up to 2 sqrt(cols), right to half of cols units of themselves; two of them make a gradient
    bound: absolute(((cols + 16) * Math.max(2 * 16, 2 * Math.sqrt(cols))) / rows),
  };
}

export const tripletCases: Table<TripletShape> = {
  kernels: () => [triplet, tripletBy("thread")],
  reference: sentences.triplet,
  cases: SIZES.map(([rows, cols], i) => tripletCase(rows, cols, i % 2 === 0 ? 0.25 : 5)),
};
