/** What a layer's heads say together or alone. */

import type { Values } from "bert-webgpu";

/** A head, counted from 0, or all of a layer in one. */
export type Head = number | "mean" | "max";

/** [tokens, tokens] of `attention` [heads, tokens, tokens]. Rows sum to 1, save those of the maximum. */
export function weightsOf({ shape, data }: Values, head: Head): Float32Array {
  const [heads, tokens] = shape as [number, number, number];
  const size = tokens * tokens;
  if (typeof head === "number") return data.subarray(head * size, (head + 1) * size);
  return Float32Array.from({ length: size }, (_, i) => {
    const all = Array.from({ length: heads }, (_, h) => data[h * size + i]!);
    return head === "max" ? Math.max(...all) : all.reduce((sum, weight) => sum + weight, 0) / heads;
  });
}

/** Bits, the mean over the rows: 0 where each token looks at one, log2(tokens) where at all alike. */
export function entropyOf(weights: Float32Array, tokens: number): number {
  let sum = 0;
  for (const weight of weights) if (weight > 0) sum -= weight * Math.log2(weight);
  return sum / tokens;
}
