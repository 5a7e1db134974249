/** What sizes ask of the device, known before any data is made. */

import type { Scalar } from "../src/kernels/kernel.ts";
import { BYTES } from "../src/runtime/tensor.ts";

/** A `GPUSupportedLimits` fits. */
export interface BufferLimits {
  readonly maxStorageBufferBindingSize: number;
}

/**
 * Bytes of the largest operands of a kernel at the sizes of `--shape`, by name.
 * @param kernel its name begins with that of its operation
 */
export function bytesAt(kernel: string, sizes: readonly number[], dtype: Scalar): ReadonlyMap<string, number> {
  const elements = Object.entries(elementsAt(kernel, sizes));
  return new Map(elements.map(([name, count]) => [name, count * BYTES[dtype]]));
}

function elementsAt(kernel: string, sizes: readonly number[]): Readonly<Record<string, number>> {
  const [a, b, c] = sizes as [number, number, number];
  if (sizes.length === 2) return { x: a * b };
  if (kernel === "matmul_q8") return { x: a * c, out: a * b }; // a word of weight holds four
  if (kernel.startsWith("matmul")) return { x: a * c, weight: b * c, out: a * b };
  if (kernel.startsWith("attention_probs")) return { q: a * b * c, out: b * a * a };
  return kernel.startsWith("attention") ? { q: a * b * c } : {};
}

/** @throws RangeError naming the first operand that no binding of the device can hold */
export function requireRoom(
  what: string,
  bytes: ReadonlyMap<string, number>,
  { maxStorageBufferBindingSize: most }: BufferLimits,
): void {
  for (const [name, size] of bytes) {
    if (size <= most) continue;
    const megabytes = (value: number): string => (value / 1e6).toFixed(0);
    throw new RangeError(
      `${what}: ${name} takes ${megabytes(size)} MB, a storage binding of this device holds at most ${megabytes(most)} MB; give smaller sizes`,
    );
  }
}
