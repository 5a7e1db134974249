/** The CPU twin of matmul_q8: weights in int8 with a scale per row, x brought to int8 in blocks of 32. */
import type { MatmulShape } from "../matmul/matmul.ts";
import { activate } from "./activation.ts";
import { type Inputs, type Outputs, outputOf, valuesOf } from "./values.ts";

const BLOCK = 32;

export function matmulQ8(shape: MatmulShape, inputs: Inputs): Outputs {
  const { m, n, k, outStride = n, outOffset = 0 } = shape;
  const words = Math.ceil(k / 4);
  const x = valuesOf(inputs, "x");
  const weight = valuesOf(inputs, "weight");
  const scales = valuesOf(inputs, "scales");
  const bias = shape.bias ? valuesOf(inputs, "bias") : undefined;
  const residual = shape.residual ? valuesOf(inputs, "residual") : undefined;
  const out = outputOf(inputs, (m - 1) * outStride + outOffset + n);
  for (let i = 0; i < m; i++) {
    const row = blockQuantized(Float64Array.from({ length: k }, (_, p) => x[i * k + p]!));
    for (let j = 0; j < n; j++) {
      let total = 0;
      for (let p = 0; p < k; p++) total += row[p]! * int8At(weight[j * words + (p >> 2)]!, p % 4);
      const y = activate(shape.activation, total * scales[j]! + (bias?.[j] ?? 0));
      out[i * outStride + outOffset + j] = y + (residual?.[i * n + j] ?? 0);
    }
  }
  return { out };
}

/** The values that int8 with one scale for each 32 elements leaves of a row of x. */
export function blockQuantized(row: Float64Array): Float64Array {
  const result = new Float64Array(row.length);
  for (let start = 0; start < row.length; start += BLOCK) {
    const block = row.subarray(start, start + BLOCK);
    const largest = block.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    if (!Number.isFinite(largest)) result.fill(Number.NaN, start, start + block.length);
    else if (largest > 1e-30) {
      const factor = toNineBits(127 / largest);
      for (const [i, value] of block.entries()) result[start + i] = roundToEven(Math.fround(value * factor)) / factor;
    }
  }
  return result;
}

function int8At(word: number, byte: number): number {
  return (word << (24 - 8 * byte)) >> 24;
}

/** An f32 rounded to nine significant bits, by its bits as the kernel does. */
function toNineBits(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  bits[0] = ((bits[0]! + 0x4000) & 0xffff8000) >>> 0;
  return new Float32Array(bits.buffer)[0]!;
}

function roundToEven(value: number): number {
  const below = Math.floor(value);
  const above = value - below;
  if (above === 0.5) return below % 2 === 0 ? below : below + 1;
  return above < 0.5 ? below : below + 1;
}
