/**
 * The CPU twin of every kernel: the same shape, the same bindings by name, float64 throughout. Written to be checked by
 * reading, not to be fast. An output that a kernel writes only in part starts from `inputs.out`, or from zeros.
 */

import type { MatmulShape } from "../matmul/matmul.ts";
import type { GatherRowsShape } from "../tokens/gather_rows.ts";
import type { PoolShape } from "../tokens/pool.ts";
import { activate } from "./activation.ts";
import { type Inputs, type Outputs, outputOf, slice, sum, valuesOf } from "./values.ts";

export { activate, activation, erf, erfc } from "./activation.ts";
export { attention, attentionProbs } from "./attention.ts";
export { blockQuantized, matmulQ8 } from "./matmul_q8.ts";
export { embedLayernorm, l2Normalize, layernorm, nonFinite, softmax, topK } from "./rows.ts";
export type { Inputs, Outputs } from "./values.ts";

/** Of `matmul`, `matmul_unaligned` and `matmul_naive`, and of the kernels for other operands. */
export function matmul(shape: MatmulShape, inputs: Inputs): Outputs {
  const { m, n, k, outStride = n, outOffset = 0, operands = "nt", accumulate = false } = shape;
  const [row, column] = [shape.xStride ?? (operands === "tn" ? m : k), shape.xOffset ?? 0];
  const x = valuesOf(inputs, "x");
  const weight = valuesOf(inputs, "weight");
  const bias = shape.bias ? valuesOf(inputs, "bias") : undefined;
  const residual = shape.residual ? valuesOf(inputs, "residual") : undefined;
  const out = outputOf(inputs, (m - 1) * outStride + outOffset + n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let total = bias?.[j] ?? 0;
      for (let p = 0; p < k; p++) {
        const at = column + (operands === "tn" ? p * row + i : i * row + p);
        total += x[at]! * weight[operands === "nt" ? j * k + p : p * n + j]!;
      }
      const at = i * outStride + outOffset + j;
      out[at] = activate(shape.activation, total) + (residual?.[i * n + j] ?? 0) + (accumulate ? out[at]! : 0);
    }
  }
  return { out };
}

export function gatherRows(shape: GatherRowsShape, inputs: Inputs): Outputs {
  const { count, cols, tableRows, firstRow = 0 } = shape;
  const table = valuesOf(inputs, "table");
  const indices = valuesOf(inputs, "indices");
  const out = outputOf(inputs, count * cols);
  for (let i = 0; i < count; i++) {
    const row = indices[i]! - firstRow;
    if (row >= 0 && row < tableRows) out.set(slice(table, row * cols, cols), i * cols);
  }
  return { out };
}

export function pool({ sequences, hidden, mode, mask }: PoolShape, inputs: Inputs): Outputs {
  const x = valuesOf(inputs, "x");
  const starts = valuesOf(inputs, "cu_seqlens");
  const tokens = mask ? valuesOf(inputs, "tokens") : undefined;
  const out = new Float64Array(sequences * hidden);
  for (let sequence = 0; sequence < sequences; sequence++) {
    const start = starts[sequence]!;
    const end = mode === "cls" ? Math.min(starts[sequence + 1]!, start + 1) : starts[sequence + 1]!;
    const rows = Array.from({ length: end - start }, (_, i) => start + i).filter((row) => tokens?.[4 * row + 3] !== 0);
    for (let col = 0; col < hidden && rows.length > 0; col++) {
      const values = rows.map((row) => x[row * hidden + col]!);
      out[sequence * hidden + col] = mode === "mean" ? sum(values) / rows.length : Math.max(...values);
    }
  }
  return { out };
}
