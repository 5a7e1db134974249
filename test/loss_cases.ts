/** Of backward_cases.ts: losses, whose gradients take the place of the logits. */

import type { Scalar } from "../src/kernels/kernel.ts";
import {
  binaryCrossEntropy,
  type CrossEntropyShape,
  crossEntropyBy,
  type ElementLossShape,
  IGNORED,
  NO_NUMBER,
  type SpanLossShape,
  spanLoss,
  spanLossBy,
  squaredError,
} from "../src/kernels/losses/losses.ts";
import * as training from "../src/kernels/reference/training.ts";
import { type Bound, type Case, type CaseTable, UNIT, UNITS } from "./case.ts";

type Table<Shape extends { readonly dtype: Scalar }> = Omit<CaseTable<Shape>, "typical">;

/** Of the optimizer: its loss scale is 16. */
export const STATE: readonly number[] = Array.from({ length: 16 }, (_, i) => (i === 4 ? 16 : 0));

/** Gradients are up to `scale` times `lossScale`, losses some units more than the largest logit. */
const lossBound =
  (factor: number, logit: number) =>
  (dtype: Scalar): Bound => ({
    absolute: Math.max(factor, logit) * 24 * UNIT + (dtype === "f16" ? 2 ** -25 : 0),
    relative: 24 * UNIT + 2 * UNITS[dtype],
  });

function crossEntropyCase(rows: number, cols: number, factor?: number, counted?: number): Case<CrossEntropyShape> {
  return {
    shape: {
      ...{ rows, cols, scale: 1 / rows },
      ...(factor !== undefined && { factor }),
      ...(counted !== undefined && { counted }),
    },
    inputs: (random) => ({
      logits: random.values(rows * cols, 8 / (factor ?? 1)),
      labels: Array.from({ length: rows }, (_, i) => (i % 4 === 2 ? IGNORED : random.integer(counted ?? cols))),
      state: STATE,
    }),
    outputs: { logits: rows * cols, losses: rows },
    bound: lossBound((16 * (factor ?? 1)) / rows, 8 + Math.log(cols)),
  };
}

export const crossEntropyCases: Table<CrossEntropyShape> = {
  kernels: ({ cols }) => [crossEntropyBy("workgroup", cols), crossEntropyBy("thread", cols)],
  reference: training.crossEntropy,
  cases: [
    crossEntropyCase(1, 2),
    crossEntropyCase(5, 1),
    crossEntropyCase(9, 3),
    crossEntropyCase(3, 1000),
    crossEntropyCase(5, 5002),
    crossEntropyCase(2, 4097),
    { ...crossEntropyCase(6, 12, 20), why: "cosines over a temperature" },
    crossEntropyCase(5, 7, 0.5),
    { ...crossEntropyCase(6, 12, 20, 5), why: "columns that do not count, in the middle of a vector" },
    crossEntropyCase(3, 1000, 1, 3),
    crossEntropyCase(4, 10, 1, 10),
    crossEntropyCase(4, 9, 1, 1),
  ],
};

export const spanLossCases: Table<SpanLossShape> = {
  kernels: () => [spanLoss, spanLossBy("thread")],
  reference: training.spanLoss,
  cases: [[1], [5, 1, 17], [200, 3]].map((lengths) => {
    const starts = [0];
    for (const length of lengths) starts.push(starts.at(-1)! + length);
    const tokens = starts.at(-1)!;
    const sequences = lengths.length;
    return {
      shape: { sequences, tokens, startScale: 0.5 / sequences, endScale: 0.25 },
      inputs: (random) => ({
        logits: random.values(2 * tokens, 8),
        cu_seqlens: starts,
        labels: Array.from({ length: 2 * sequences }, (_, i) => (i === 1 ? IGNORED : random.integer(lengths[i >> 1]!))),
        state: STATE,
      }),
      outputs: { logits: 2 * tokens, losses: 2 * sequences },
      bound: lossBound(8, 8 + Math.log(tokens)),
    };
  }),
};

const elements = (labelled: "0 to 1" | "any", counts: readonly number[]): Case<ElementLossShape>[] =>
  counts.map((count) => ({
    shape: { count, scale: 1 / count },
    inputs: (random) => ({
      logits: random.values(count, 8),
      labels: random.values(count).map((value, i) => {
        if (i % 8 === 5) return NO_NUMBER;
        return labelled === "any" ? 4 * value : Number(value > 0);
      }),
      state: STATE,
    }),
    outputs: { logits: count, losses: count },
    bound: lossBound(400 / count, 144),
  }));

export const binaryCrossEntropyCases: Table<ElementLossShape> = {
  kernels: () => [binaryCrossEntropy],
  reference: training.binaryCrossEntropy,
  cases: elements("0 to 1", [1, 129]),
};

export const squaredErrorCases: Table<ElementLossShape> = {
  kernels: () => [squaredError],
  reference: training.squaredError,
  cases: elements("any", [1, 129]),
};
