/** CPU twins of the kernels that own a row at a time. */

import type { L2NormalizeShape } from "../rows/l2_normalize.ts";
import type { EmbedLayernormShape, LayernormShape } from "../rows/layernorm.ts";
import type { NonFiniteShape } from "../rows/non_finite.ts";
import type { SoftmaxShape } from "../rows/softmax.ts";
import type { TopKShape } from "../rows/top_k.ts";
import { type Inputs, type Outputs, slice, sum, valuesOf } from "./values.ts";

export function softmax({ rows, cols, log = false }: SoftmaxShape, inputs: Inputs): Outputs {
  const x = valuesOf(inputs, "x");
  return eachRow(rows, cols, (row) => {
    const probabilities = softmaxOf(slice(x, row * cols, cols));
    if (!log) return probabilities;
    const values = slice(x, row * cols, cols);
    const greatest = values.reduce((a, b) => Math.max(a, b));
    if (greatest === Number.NEGATIVE_INFINITY) return values;
    const scale = Math.log(sum(values.map((value) => Math.exp(value - greatest))));
    return values.map((value) => value - greatest - scale);
  });
}

/** Zeros where every value is -Infinity; NaN throughout where one is NaN or Infinity. */
export function softmaxOf(values: Float64Array): Float64Array {
  const greatest = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  if (greatest === Number.NEGATIVE_INFINITY) return new Float64Array(values.length);
  if (greatest === Number.POSITIVE_INFINITY) return new Float64Array(values.length).fill(Number.NaN);
  const exps = values.map((value) => Math.exp(value - greatest));
  const total = sum(exps);
  return exps.map((value) => value / total);
}

export function layernorm({ rows, cols, eps, residual }: LayernormShape, inputs: Inputs): Outputs {
  const x = valuesOf(inputs, "x");
  const added = residual ? valuesOf(inputs, "residual") : undefined;
  return eachRow(rows, cols, (row) => {
    const values = slice(x, row * cols, cols).map((value, col) => value + (added?.[row * cols + col] ?? 0));
    return normalize(values, eps, inputs);
  });
}

export function embedLayernorm(shape: EmbedLayernormShape, inputs: Inputs): Outputs {
  const { tokens: count, hidden, eps, gathered = false, tokenTypes = true } = shape;
  const tokens = valuesOf(inputs, "tokens");
  const word = valuesOf(inputs, "word");
  const position = valuesOf(inputs, "position");
  const tokenType = tokenTypes ? valuesOf(inputs, "token_type") : undefined;
  return eachRow(count, hidden, (row) => {
    const [id, type, place] = slice(tokens, 4 * row, 3) as unknown as [number, number, number];
    const words = slice(word, (gathered ? row : id) * hidden, hidden);
    const values = words.map(
      (value, col) => value + (tokenType?.[type * hidden + col] ?? 0) + position[place * hidden + col]!,
    );
    return normalize(values, eps, inputs);
  });
}

function normalize(values: Float64Array, eps: number, inputs: Inputs): Float64Array {
  const gamma = valuesOf(inputs, "gamma");
  const beta = valuesOf(inputs, "beta");
  const mean = sum(values) / values.length;
  const variance = sum(values.map((value) => (value - mean) ** 2)) / values.length;
  return values.map((value, col) => ((value - mean) / Math.sqrt(variance + eps)) * gamma[col]! + beta[col]!);
}

export function l2Normalize({ rows, cols, eps = 1e-12 }: L2NormalizeShape, inputs: Inputs): Outputs {
  const x = valuesOf(inputs, "x");
  return eachRow(rows, cols, (row) => {
    const values = slice(x, row * cols, cols);
    const norm = Math.max(Math.hypot(...values), eps);
    return values.map((value) => value / norm);
  });
}

export function topK({ rows, cols, k, lastIndex = false }: TopKShape, inputs: Inputs): Outputs {
  const x = valuesOf(inputs, "x");
  const values = new Float64Array(rows * k);
  const indices = new Float64Array(rows * k);
  for (let row = 0; row < rows; row++) {
    const at = (col: number): number => x[row * cols + col]!;
    const order = Array.from({ length: cols }, (_, col) => col).sort((a, b) => {
      if (at(a) === at(b) || (Number.isNaN(at(a)) && Number.isNaN(at(b)))) return lastIndex ? b - a : a - b;
      return at(a) > at(b) || Number.isNaN(at(a)) ? -1 : 1;
    });
    order.slice(0, k).forEach((col, i) => {
      values[row * k + i] = at(col);
      indices[row * k + i] = col;
    });
  }
  return { values, indices };
}

export function nonFinite({ count }: NonFiniteShape, inputs: Inputs): Outputs {
  const x = valuesOf(inputs, "x");
  const out = new Float64Array(Math.ceil(count / 1024));
  for (let i = 0; i < count; i++) {
    const block = Math.floor(i / 1024);
    if (!Number.isFinite(x[i]!) && out[block] === 0) out[block] = 1024 - (i % 1024);
  }
  return { out };
}

function eachRow(rows: number, cols: number, make: (row: number) => Float64Array): Outputs {
  const out = new Float64Array(rows * cols);
  for (let row = 0; row < rows; row++) out.set(make(row), row * cols);
  return { out };
}
