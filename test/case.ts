/** What a row of the tables in cases.ts is: a shape, its inputs, and the error that is allowed. */
import type { DeviceTraits, Kernel, Scalar } from "../src/kernels/kernel.ts";
import type * as reference from "../src/kernels/reference/twins.ts";

/** Allowed is `|got - want| <= absolute + relative * |want|`. */
export interface Bound {
  readonly absolute: number;
  readonly relative: number;
}

export interface Case<Shape> {
  readonly shape: Omit<Shape, "dtype">;
  /** What the case is for, where its shape does not say it. */
  readonly why?: string;
  /** Values of the bindings that the kernel reads or adds to, before they are rounded to the dtype. */
  inputs(random: Random): reference.Inputs;
  /** Elements of the bindings that it writes. */
  readonly outputs: Readonly<Record<string, number>>;
  bound(dtype: Scalar): Bound;
}

export interface CaseTable<Shape extends { readonly dtype: Scalar }> {
  /** The kernels that must all compute a shape, on a device with these traits: without them, on any. */
  kernels(shape: Shape, traits?: Partial<DeviceTraits>): readonly Kernel<Shape>[];
  reference(shape: Shape, inputs: reference.Inputs): reference.Outputs;
  readonly cases: readonly Case<Shape>[];
  /** Shapes of BERT-base on 128 tokens. */
  readonly typical: readonly Case<Shape>[];
}

/** Half a unit in the last place, relative. */
export const UNIT: number = 2 ** -24;
export const UNITS: Readonly<Record<Scalar, number>> = { f32: UNIT, f16: 2 ** -11 };

/** Of an output that comes out of f32 arithmetic with an error of `units` * UNIT. */
export function absolute(units: number): (dtype: Scalar) => Bound {
  // Below 2^-14 the units of f16 stop shrinking.
  return (dtype) => ({
    absolute: units * UNIT + (dtype === "f16" ? 2 ** -25 : 0),
    relative: 2 * UNITS[dtype],
  });
}

export function relative(units: number): (dtype: Scalar) => Bound {
  return (dtype) => ({ absolute: dtype === "f16" ? 2 ** -25 : 1e-30, relative: units * UNIT + 2 * UNITS[dtype] });
}

export const exact = (): Bound => ({ absolute: 0, relative: 0 });

export interface Random {
  /** Uniform in [-magnitude, magnitude]; magnitude 1 by default. */
  values(count: number, magnitude?: number): Float64Array;
  /** Uniform in 0 .. below - 1. */
  integer(below: number): number;
}

/** The same numbers for the same seed (Marsaglia's xorshift). */
export function randomNumbers(seed: number): Random {
  let state = seed || 1;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  return {
    values: (count, magnitude = 1) => Float64Array.from({ length: count }, () => (2 * next() - 1) * magnitude),
    integer: (below) => Math.floor(next() * below),
  };
}
