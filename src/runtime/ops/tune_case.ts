/** A product to tune on: operands on the GPU, and some rows of what must come out, in float64. */

import { float16ToFloat32, float32ToFloat16 } from "../../files/float16.ts";
import type { MatmulShape } from "../../kernels/matmul/matmul.ts";
import type { Engine } from "../engine.ts";
import type { OutputData } from "../program.ts";
import type { InputData, Tensor } from "../tensor.ts";

export interface TuneCase {
  /** [m, k] and [n, k] */
  readonly x: Tensor;
  readonly weight: Tensor;
  /** [m, n], nothing but NaN. */
  readonly untouched: InputData;
  /** What is wrong with an output [m, n], in words; `undefined` for a good one. */
  faultOf(out: OutputData): string | undefined;
  dispose(): void;
}

/** Odd, and less than most tiles are high: rows of nearly every tile are looked at, at changing places in it. */
const ROWS_APART = 7;
/** Multiplications on the CPU, some 20 ms. */
const MOST_WORK = 2e7;

/** NaN as the bits of an f16. */
const HALF_NAN = 0x7e00;

export function tuneCase(engine: Engine, shape: MatmulShape): TuneCase {
  const { m, n, k, dtype } = shape;
  const allocation = engine.allocate();
  const upload = (label: string, rows: number, seed: number): { tensor: Tensor; values: Float32Array } => {
    const values = pseudorandom(rows * k, seed);
    const tensor = allocation.tensor(`tuning ${label}`, [rows, k], dtype);
    if (dtype === "f32") {
      tensor.write(values);
      return { tensor, values };
    }
    const halves = float32ToFloat16(values);
    tensor.write(halves);
    return { tensor, values: float16ToFloat32(halves) };
  };
  try {
    const x = upload("x", m, 1);
    const weight = upload("weight", n, 2);
    const expected = expectedRows(x.values, weight.values, shape);
    return {
      x: x.tensor,
      weight: weight.tensor,
      untouched: dtype === "f32" ? new Float32Array(m * n).fill(Number.NaN) : new Uint16Array(m * n).fill(HALF_NAN),
      faultOf: (out) => faultIn(out, expected, shape),
      dispose: () => allocation.dispose(),
    };
  } catch (error) {
    allocation.dispose();
    throw error;
  }
}

/** By row; of a large product every few columns of each. */
interface Expected {
  readonly rows: readonly { readonly row: number; readonly values: Float64Array }[];
  readonly colsApart: number;
}

function expectedRows(x: Float32Array, weight: Float32Array, { m, n, k }: MatmulShape): Expected {
  const picked = Array.from({ length: Math.ceil(m / ROWS_APART) }, (_, i) => i * ROWS_APART);
  if (picked.at(-1) !== m - 1) picked.push(m - 1);
  const colsApart = Math.max(1, Math.ceil((picked.length * n * k) / MOST_WORK));
  const rows = picked.map((row, i) => {
    const values = new Float64Array(n).fill(Number.NaN); // what is not looked at
    for (let col = i % colsApart; col < n; col += colsApart) {
      let sum = 0;
      for (let at = 0; at < k; at++) sum += x[row * k + at]! * weight[col * k + at]!;
      values[col] = sum;
    }
    return { row, values };
  });
  return { rows, colsApart };
}

/**
 * A sum of k rounded terms of magnitude 1 at most is allowed about k units of f32, several times the error of k roundings
 * at the size that random partial sums reach; then comes the rounding to the dtype, which is relative.
 */
function faultIn(out: OutputData, { rows, colsApart }: Expected, { n, k, dtype }: MatmulShape): string | undefined {
  const absolute = (1.2 * k + 4) * 2 ** -24 + (dtype === "f16" ? 2 ** -25 : 0);
  const relative = 2 * (dtype === "f16" ? 2 ** -11 : 2 ** -24);
  for (const [i, { row, values }] of rows.entries()) {
    for (let col = i % colsApart; col < n; col += colsApart) {
      const [got, want] = [out[row * n + col]!, values[col]!];
      const allowed = absolute + relative * Math.abs(want);
      if (Math.abs(got - want) <= allowed) continue; // never of NaN
      return `[${row}, ${col}] is ${got}, not ${want}: off by ${Math.abs(got - want)}, allowed is ${allowed}`;
    }
  }
  return undefined;
}

/** From -1 to 1, with all the bits of an f32. */
function pseudorandom(length: number, seed: number): Float32Array {
  const values = new Float32Array(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    values[i] = state / 2 ** 31;
  }
  return values;
}
