/** CPU twins of the losses of sentence vectors, and of what they are made of. */

import type { CosentGradientShape, CosentShape, RowDotsShape, TripletShape } from "../losses/sentences.ts";
import type { CopyBlocksShape } from "../rows/copy_blocks.ts";
import { lossScaleOf } from "./training.ts";
import { type Inputs, type Outputs, outputOf, slice, sum, valuesOf } from "./values.ts";

/** @param elements of out */
export function copyBlocks(shape: CopyBlocksShape, inputs: Inputs, elements: number): Outputs {
  const { blocks = 1, rows, cols, given = cols, accumulate = false } = shape;
  const { xStride = given, xBlock = rows * xStride, xOffset = 0 } = shape;
  const { outStride = cols, outBlock = rows * outStride, outOffset = 0 } = shape;
  const x = valuesOf(inputs, "x");
  const out = outputOf(inputs, elements);
  for (let b = 0; b < blocks; b++) {
    for (let row = 0; row < rows; row++) {
      for (let col = 0; col < cols; col++) {
        const value = col < given ? x[b * xBlock + row * xStride + col + xOffset]! : 0;
        const place = b * outBlock + row * outStride + col + outOffset;
        out[place] = value + (accumulate ? out[place]! : 0);
      }
    }
  }
  return { out };
}

export function rowDots({ rows, cols }: RowDotsShape, inputs: Inputs): Outputs {
  const x = valuesOf(inputs, "x");
  const products = (row: number): Float64Array =>
    slice(x, row * cols, cols).map((value, i) => value * x[(rows + row) * cols + i]!);
  return { dots: Float64Array.from({ length: rows }, (_, row) => sum(products(row))) };
}

export function rowDotsBackward({ rows, cols }: RowDotsShape, inputs: Inputs): Outputs {
  const [x, dDots] = [valuesOf(inputs, "x"), valuesOf(inputs, "d_dots")];
  const half = rows * cols;
  const other = (i: number): number => (i < half ? i + half : i - half);
  const dx = Float64Array.from({ length: 2 * half }, (_, i) => x[other(i)]! * dDots[Math.floor((i % half) / cols)]!);
  return { dx };
}

export function cosent({ rows, factor }: CosentShape, inputs: Inputs): Outputs {
  const [s, labels] = [valuesOf(inputs, "similarities"), valuesOf(inputs, "labels")];
  const sums = Float64Array.from({ length: rows }, (_, i) => {
    const apart = Array.from({ length: rows }, (_, j) => factor * (s[i]! - s[j]!));
    const wrong = apart.filter((_, j) => labels[i]! < labels[j]!);
    if (wrong.length === 0) return -3.4028234e38; // the kernel's LOWEST
    const greatest = Math.max(...wrong);
    return greatest + Math.log(sum(wrong.map((value) => Math.exp(value - greatest))));
  });
  return { sums };
}

export function cosentGradient({ rows, factor, scale }: CosentGradientShape, inputs: Inputs): Outputs {
  const [s, labels, sums] = ["similarities", "labels", "sums"].map((name) => valuesOf(inputs, name)) as [
    ArrayLike<number>,
    ArrayLike<number>,
    ArrayLike<number>,
  ];
  const own = [0, ...slice(sums, 0, rows)];
  const greatest = Math.max(...own);
  const loss = greatest + Math.log(sum(own.map((value) => Math.exp(value - greatest))));
  const gradient = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < rows; j++) {
      if (!(labels[i]! < labels[j]!)) continue;
      const share = Math.exp(factor * (s[i]! - s[j]!) - loss) * factor * scale * lossScaleOf(inputs);
      gradient[i]! += share;
      gradient[j]! -= share;
    }
  }
  const losses = new Float64Array(rows);
  losses[0] = loss * scale;
  return { d_similarities: gradient, losses };
}

export function triplet({ rows, cols, margin, scale }: TripletShape, inputs: Inputs): Outputs {
  const x = valuesOf(inputs, "x");
  const block = rows * cols;
  const dx = new Float64Array(3 * block);
  const losses = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    const to = (column: number): Float64Array =>
      slice(x, row * cols, cols).map((value, i) => value - x[column * block + row * cols + i]!);
    const [near, far] = [to(1), to(2)];
    const [toPositive, toNegative] = [near, far].map((apart) => Math.sqrt(sum(apart.map((value) => value ** 2))));
    const loss = Math.max(toPositive! - toNegative! + margin, 0);
    losses[row] = loss * scale;
    if (loss === 0) continue;
    for (let col = 0; col < cols; col++) {
      const at = row * cols + col;
      const slope = (apart: number, distance: number): number =>
        distance === 0 ? 0 : (apart / distance) * scale * lossScaleOf(inputs);
      const [up, down] = [slope(near[col]!, toPositive!), slope(far[col]!, toNegative!)];
      dx[at] = up - down;
      dx[block + at] = -up;
      dx[2 * block + at] = down;
    }
  }
  return { dx, losses };
}
