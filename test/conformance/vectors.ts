/** Operator vectors: one JSON object a line, with attributes, inputs, outputs and a tolerance. Their layout, and their comparison. */

import { fromFloat16, toFloat16 } from "../../src/node/index.ts";

export type Tolerance =
  | { readonly type: "exact" }
  | { readonly type: "ulp"; readonly value: number }
  | { readonly type: "allclose"; readonly atol: number; readonly rtol: number };

export interface Vector {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: string;
  /** Flat and row-major. Non-finite values are stored as strings. */
  readonly data: readonly (number | string)[];
}

export interface VectorRecord {
  readonly id: string;
  readonly op: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly inputs: readonly Vector[];
  readonly outputs: readonly Vector[];
  readonly tolerance: Tolerance;
}

/** A tensor on the CPU, as the operators rearrange it. */
export interface Dense {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

export function dense({ shape, data }: Vector): Dense {
  return { shape, data: Float64Array.from(data, Number) };
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Axis counted from the front. */
export function axisOf(axis: number, rank: number): number {
  const front = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(front) || front < 0 || front >= Math.max(rank, 1)) {
    throw new RangeError(`axis ${axis} of a tensor of rank ${rank}`);
  }
  return front;
}

/** Axes in a new order, as `transpose` of NumPy. */
export function permute({ shape, data }: Dense, order: readonly number[]): Dense {
  const strides = shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
  const target = order.map((axis) => shape[axis]!);
  const result = new Float64Array(data.length);
  const index = target.map(() => 0);
  for (let i = 0; i < data.length; i++) {
    let from = 0;
    for (let d = 0; d < order.length; d++) from += index[d]! * strides[order[d]!]!;
    result[i] = data[from]!;
    for (let d = order.length - 1; d >= 0; d--) {
      index[d]!++;
      if (index[d]! < target[d]!) break;
      index[d] = 0;
    }
  }
  return { shape: target, data: result };
}

/** `axes` moved to the end in their order, the others before them; and the permutation that undoes it. */
export function axesLast(tensor: Dense, axes: readonly number[]): { moved: Dense; undo: number[] } {
  const order = [...tensor.shape.keys()].filter((axis) => !axes.includes(axis)).concat(axes);
  return { moved: permute(tensor, order), undo: order.map((_, axis) => order.indexOf(axis)) };
}

/** Copies along axes of size 1 or missing in front, as NumPy broadcasts. */
export function broadcast({ shape, data }: Dense, target: readonly number[]): Dense {
  const padded = [...target.map(() => 1), ...shape].slice(-Math.max(target.length, shape.length));
  if (padded.length > target.length || padded.some((size, d) => size !== 1 && size !== target[d])) {
    throw new RangeError(`[${shape}] does not broadcast to [${target}]`);
  }
  const result = new Float64Array(sizeOf(target));
  for (let i = 0; i < result.length; i++) {
    let rest = i;
    let from = 0;
    let stride = 1;
    for (let d = target.length - 1; d >= 0; d--) {
      const at = rest % target[d]!;
      rest = Math.floor(rest / target[d]!);
      if (padded[d] !== 1) from += at * stride;
      stride *= padded[d]!;
    }
    result[i] = data[from]!;
  }
  return { shape: target, data: result };
}

/** What is wrong with `actual`, or undefined when every element is within the tolerance. */
export function mismatch(actual: ArrayLike<number>, expected: Vector, tolerance: Tolerance): string | undefined {
  // Decimals in the file may stand between two values of the type: what is expected is the nearest.
  const want = dense(expected).data.map((value) => {
    if (expected.dtype === "float16") return fromFloat16(toFloat16(value));
    return expected.dtype === "float32" ? Math.fround(value) : value;
  });
  if (actual.length !== want.length) return `${actual.length} elements, ${want.length} expected`;
  for (let i = 0; i < want.length; i++) {
    if (!close(actual[i]!, want[i]!, tolerance, expected.dtype)) {
      return `element ${i} is ${actual[i]}, ${want[i]} expected (${JSON.stringify(tolerance)})`;
    }
  }
  return undefined;
}

function close(got: number, want: number, tolerance: Tolerance, dtype: string): boolean {
  if (got === want || (Number.isNaN(got) && Number.isNaN(want))) return true;
  switch (tolerance.type) {
    case "exact":
      return false;
    case "allclose":
      return Math.abs(got - want) <= tolerance.atol + tolerance.rtol * Math.abs(want);
    case "ulp": {
      const order = dtype === "float16" ? orderedF16 : orderedF32;
      return Math.abs(order(got) - order(want)) <= tolerance.value;
    }
  }
}

/** Maps floats to integers so that neighbours differ by one, through zero. */
function orderedF32(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  return bits >= 0x80000000 ? 0x80000000 - bits : bits;
}

function orderedF16(value: number): number {
  const bits = toFloat16(value);
  return bits >= 0x8000 ? 0x8000 - bits : bits;
}
