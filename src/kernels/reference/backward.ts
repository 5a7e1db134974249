/** CPU twins of the gradients. What is added to begins with what is given of it, else with zeros. */

import type { Activation } from "../rows/activation.ts";
import type {
  ActivationBackwardShape,
  ColumnSumsShape,
  DropoutShape,
  LayernormBackwardShape,
  LayernormWeightsBackwardShape,
} from "../rows/backward.ts";
import type { KeepBlocksShape } from "../rows/keep_blocks.ts";
import type { L2NormalizeShape } from "../rows/l2_normalize.ts";
import { type EmbeddingSumsShape, NO_ROW, type SegmentSumsShape, type SpreadRowsShape } from "../tokens/backward.ts";
import type { PoolShape } from "../tokens/pool.ts";
import { activate } from "./activation.ts";
import { type Inputs, type Outputs, outputOf, slice, sum, valuesOf } from "./values.ts";

export function columnSums({ rows, cols, stride = cols, offset = 0 }: ColumnSumsShape, inputs: Inputs): Outputs {
  const out = outputOf(inputs, cols);
  const x = valuesOf(inputs, "x");
  for (let row = 0; row < rows; row++) addRows(out, slice(x, row * stride + offset, cols), 1, cols);
  return { out };
}

function addRows(out: Float64Array, x: ArrayLike<number>, rows: number, cols: number): void {
  for (let i = 0; i < rows * cols; i++) out[i % cols]! += x[i]!;
}

/** Mean, and 1 over the deviation. */
function momentsOf(values: Float64Array, eps: number): [mean: number, scale: number] {
  const mean = sum(values) / values.length;
  return [mean, 1 / Math.sqrt(sum(values.map((value) => (value - mean) ** 2)) / values.length + eps)];
}

export function layernormBackward({ rows, cols, eps }: LayernormBackwardShape, inputs: Inputs): Outputs {
  const [x, gamma, dOut] = ["x", "gamma", "d_out"].map((name) => valuesOf(inputs, name)) as [
    ArrayLike<number>,
    ArrayLike<number>,
    ArrayLike<number>,
  ];
  const dx = new Float64Array(rows * cols);
  const stats = new Float64Array(2 * rows);
  for (let row = 0; row < rows; row++) {
    const values = slice(x, row * cols, cols);
    const [mean, scale] = momentsOf(values, eps);
    const normal = values.map((value) => (value - mean) * scale);
    const g = slice(dOut, row * cols, cols).map((d, col) => d * gamma[col]!);
    const mean1 = sum(g) / cols;
    const mean2 = sum(g.map((value, col) => value * normal[col]!)) / cols;
    dx.set(
      g.map((value, col) => (value - mean1 - normal[col]! * mean2) * scale),
      row * cols,
    );
    stats.set([mean, scale], 2 * row);
  }
  return { dx, stats };
}

export function layernormWeightsBackward(shape: LayernormWeightsBackwardShape, inputs: Inputs): Outputs {
  const { rows, cols, bias } = shape;
  const x = valuesOf(inputs, "x");
  const stats = valuesOf(inputs, "stats");
  const dOut = valuesOf(inputs, "d_out");
  const [gamma, beta] = ["d_gamma", "d_beta"].map((name) => outputOf(inputs, cols, name)) as [
    Float64Array,
    Float64Array,
  ];
  for (let i = 0; i < rows * cols; i++) {
    const row = Math.floor(i / cols);
    gamma[i % cols]! += dOut[i]! * (x[i]! - stats[2 * row]!) * stats[2 * row + 1]!;
  }
  addRows(beta, dOut, rows, cols);
  if (!bias) return { d_gamma: gamma, d_beta: beta };
  const before = outputOf(inputs, cols, "d_bias");
  addRows(before, valuesOf(inputs, "dx"), rows, cols);
  return { d_gamma: gamma, d_beta: beta, d_bias: before };
}

export function l2NormalizeBackward({ rows, cols, eps = 1e-12 }: L2NormalizeShape, inputs: Inputs): Outputs {
  const x = valuesOf(inputs, "x");
  const dOut = valuesOf(inputs, "d_out");
  const dx = new Float64Array(rows * cols);
  for (let row = 0; row < rows; row++) {
    const values = slice(x, row * cols, cols);
    const d = slice(dOut, row * cols, cols);
    const norm = Math.sqrt(sum(values.map((value) => value ** 2)));
    const along = norm <= eps ? 0 : sum(values.map((value, col) => value * d[col]!)) / norm ** 2;
    dx.set(
      d.map((value, col) => (value - values[col]! * along) / Math.max(norm, eps)),
      row * cols,
    );
  }
  return { dx };
}

export function activationBackward({ count, activation }: ActivationBackwardShape, inputs: Inputs): Outputs {
  const pre = valuesOf(inputs, "pre");
  const dOut = valuesOf(inputs, "d_out");
  return { d_pre: Float64Array.from({ length: count }, (_, i) => dOut[i]! * activationGradient(activation, pre[i]!)) };
}

/** The derivative. */
export function activationGradient(name: Exclude<Activation, "erf">, x: number): number {
  const sigmoid = (y: number): number => 1 / (1 + Math.exp(-y));
  switch (name) {
    case "none":
      return 1;
    case "gelu":
      return (1 + activate("erf", x * Math.SQRT1_2)) / 2 + (x * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
    case "gelu_tanh": {
      const c = Math.sqrt(8 / Math.PI);
      const s = sigmoid(c * (x + 0.044715 * x ** 3));
      return s + x * s * (1 - s) * c * (1 + 3 * 0.044715 * x * x);
    }
    case "relu":
      return x > 0 ? 1 : 0;
    case "tanh":
      return 1 / Math.cosh(x) ** 2;
    case "silu":
      return sigmoid(x) * (1 + x * (1 - sigmoid(x)));
  }
}

export function embeddingSums({ count, cols, gathered }: EmbeddingSumsShape, inputs: Inputs): Outputs {
  const tokens = valuesOf(inputs, "tokens");
  const [word, position, types] = ["word", "position", "token_type"].map((name) => valuesOf(inputs, name));
  const out = Float64Array.from({ length: count * cols }, (_, i) => {
    const [row, col] = [Math.floor(i / cols), i % cols];
    const [id, type, place] = [tokens[4 * row]!, tokens[4 * row + 1]!, tokens[4 * row + 2]!];
    return word![(gathered ? row : id) * cols + col]! + position![place * cols + col]! + types![type * cols + col]!;
  });
  return { out };
}

export function segmentSums(shape: SegmentSumsShape, inputs: Inputs): Outputs {
  const { segments, cols, tableRows, firstRow = 0, accumulate } = shape;
  const x = valuesOf(inputs, "x");
  const order = valuesOf(inputs, "order");
  const starts = valuesOf(inputs, "starts");
  const targets = valuesOf(inputs, "targets");
  const out = Float64Array.from(valuesOf(inputs, "out"));
  for (let segment = 0; segment < segments; segment++) {
    const target = targets[segment]! - firstRow;
    if (target < 0 || target >= tableRows) continue;
    for (let col = 0; col < cols; col++) {
      let total = accumulate ? out[target * cols + col]! : 0;
      for (let at = starts[segment]!; at < starts[segment + 1]!; at++) total += x[order[at]! * cols + col]!;
      out[target * cols + col] = total;
    }
  }
  return { out };
}

export function spreadRows({ count, cols }: SpreadRowsShape, inputs: Inputs): Outputs {
  const x = valuesOf(inputs, "x");
  const places = valuesOf(inputs, "places");
  const out = new Float64Array(count * cols);
  for (let row = 0; row < count; row++) {
    if (places[row] !== NO_ROW) out.set(slice(x, places[row]! * cols, cols), row * cols);
  }
  return { out };
}

export function poolBackward({ sequences, hidden, mode, mask }: PoolShape, inputs: Inputs): Outputs {
  const starts = valuesOf(inputs, "cu_seqlens");
  const dOut = valuesOf(inputs, "d_out");
  const x = mode === "max" ? valuesOf(inputs, "x") : undefined;
  const tokens = mask ? valuesOf(inputs, "tokens") : undefined;
  const dx = new Float64Array(starts[sequences]! * hidden);
  for (let sequence = 0; sequence < sequences; sequence++) {
    const [start, end] = [starts[sequence]!, starts[sequence + 1]!];
    const rows = Array.from({ length: end - start }, (_, i) => start + i).filter((row) => tokens?.[4 * row + 3] !== 0);
    for (let col = 0; col < hidden; col++) {
      const d = dOut[sequence * hidden + col]!;
      if (mode === "cls" && end > start) dx[start * hidden + col] = d;
      if (mode === "mean") for (const row of rows) dx[row * hidden + col] = d / rows.length;
      if (mode === "max" && rows.length > 0) {
        const best = rows.reduce((a, b) => (x![b * hidden + col]! > x![a * hidden + col]! ? b : a));
        dx[best * hidden + col] = d;
      }
    }
  }
  return { dx };
}

export function dropout(shape: DropoutShape, inputs: Inputs): Outputs {
  const { count, probability, residual, factor = 1, seed, step, tensor } = shape;
  const x = valuesOf(inputs, "x");
  const added = residual ? valuesOf(inputs, "residual") : undefined;
  const threshold = Math.floor(probability * 2 ** 32);
  const out = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const drawn = philox([Math.floor(i / 4), tensor, step, 0], [seed, 0])[i % 4]!;
    out[i] = (drawn >= threshold ? (x[i]! * factor) / (1 - probability) : 0) + (added?.[i] ?? 0);
  }
  return { out };
}

export function keepBlocks({ rows, width, height, blocks }: KeepBlocksShape, inputs: Inputs): Outputs {
  const cols = width * blocks.length;
  const x = valuesOf(inputs, "x");
  const stays = (i: number): boolean =>
    Math.floor(Math.floor(i / cols) / height) === blocks[Math.floor((i % cols) / width)];
  return { x: Float64Array.from({ length: rows * cols }, (_, i) => (stays(i) ? x[i]! : 0)) };
}

/** Philox 4x32-10 (Salmon et al. 2011): four u32 from a counter of four and a key of two. */
export function philox(counter: readonly number[], key: readonly [number, number]): Uint32Array {
  const [c, k] = [Uint32Array.from(counter), Uint32Array.from(key)];
  for (let round = 0; round < 10; round++) {
    const a = BigInt(c[0]!) * 0xd2511f53n;
    const b = BigInt(c[2]!) * 0xcd9e8d57n;
    const high = (x: bigint): number => Number(x >> 32n);
    const low = (x: bigint): number => Number(x & 0xffffffffn);
    c.set([high(b) ^ c[1]! ^ k[0]!, low(b), high(a) ^ c[3]! ^ k[1]!, low(a)]);
    k.set([k[0]! + 0x9e3779b9, k[1]! + 0xbb67ae85]);
  }
  return c;
}
