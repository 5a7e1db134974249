/** What sizes ask of the device, known before any data is made. */

import type { Scalar } from "../src/kernels/kernel.ts";
import { BYTES } from "../src/runtime/tensor.ts";

/** A `GPUSupportedLimits` fits. */
export interface BufferLimits {
  readonly maxStorageBufferBindingSize: number;
}

/**
 * @param sizes as `--shape` has them
 * @returns an error that names the first operand that no binding of the device can hold; undefined where all have room
 */
export function lackOfRoom(
  what: string,
  operation: string,
  sizes: readonly number[],
  dtype: Scalar,
  { maxStorageBufferBindingSize: most }: BufferLimits,
): RangeError | undefined {
  for (const [name, elements] of Object.entries(elementsAt(operation, sizes))) {
    const size = elements * BYTES[dtype];
    if (size <= most) continue;
    const megabytes = (value: number): string => (value / 1e6).toFixed(0);
    return new RangeError(
      `${what}: ${name} takes ${megabytes(size)} MB, a storage binding of this device holds at most ${megabytes(most)} MB; give smaller sizes`,
    );
  }
  return undefined;
}

/** Of its largest operands. */
function elementsAt(operation: string, sizes: readonly number[]): Readonly<Record<string, number>> {
  const [a, b, c] = sizes as [number, number, number];
  switch (operation) {
    case "matmul":
      return { x: a * c, weight: b * c, out: a * b };
    case "matmul_q8":
      return { x: a * c, out: a * b }; // a word of weight holds four
    case "attention":
      return { q: a * b * c };
    case "attention_probs":
      return { q: a * b * c, out: b * a * a };
    default:
      return { x: a * b };
  }
}
