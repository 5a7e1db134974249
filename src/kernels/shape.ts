/**
 * What plans share. Checks: a shape that the GPU cannot index must fail by name, before anything is dispatched. And how
 * threads share rows.
 */

import { type DeviceTraits, foldWorkgroups, type KernelLimits, type KernelPlan } from "./kernel.ts";

/** Elements that a u32 can number. */
export const INDEXABLE: number = 4_294_967_296;

/**
 * Checks that each size is a whole number of at least 1.
 * @throws TypeError for what is not a whole number, RangeError for zero, negative or beyond a u32
 */
export function requireSizes(kernel: string, sizes: Readonly<Record<string, number>>): void {
  requireWhole(kernel, sizes, 1);
}

/** As `requireSizes`, for offsets: zero is allowed. */
export function requireOffsets(kernel: string, offsets: Readonly<Record<string, number>>): void {
  requireWhole(kernel, offsets, 0);
}

/** @throws RangeError when a tensor of so many elements cannot be indexed by the kernels' u32 arithmetic */
export function requireIndexable(kernel: string, elements: Readonly<Record<string, number>>): void {
  for (const [tensor, count] of Object.entries(elements)) {
    if (count > INDEXABLE) {
      throw new RangeError(`${kernel}: ${tensor} has ${count} elements, kernels index at most ${INDEXABLE}; split it`);
    }
  }
}

/** @throws RangeError when `value` is not a finite number of at least 0 */
export function requireEpsilon(kernel: string, value: number): void {
  if (!(Number.isFinite(value) && value >= 0)) {
    throw new RangeError(`${kernel}: eps is ${value}, it must be finite and not negative`);
  }
}

function requireWhole(kernel: string, values: Readonly<Record<string, number>>, least: number): void {
  for (const [field, value] of Object.entries(values)) {
    if (!Number.isInteger(value)) throw new TypeError(`${kernel}: ${field} is ${value}, it must be a whole number`);
    if (value < least || value >= INDEXABLE) {
      throw new RangeError(`${kernel}: ${field} is ${value}, it must be from ${least} to ${INDEXABLE - 1}`);
    }
  }
}

/** The vectors that a row is made of, as stored and in f32: constants of a kernel's source. */
export interface RowVectors {
  readonly WIDTH: number;
  readonly Vector: string;
  readonly Sum: string;
}

/** Vectors of four where rows of `cols` divide into them, else of one. */
export function rowVectors(cols: number): RowVectors {
  return cols % 4 === 0
    ? { WIDTH: 4, Vector: "vec4<Scalar>", Sum: "vec4f" }
    : { WIDTH: 1, Vector: "Scalar", Sum: "f32" };
}

/** As `rowVectors`, with the type of keys that order the elements of a vector. */
export function keyedVectors(cols: number): RowVectors & { readonly Keys: string } {
  const vectors = rowVectors(cols);
  return { ...vectors, Keys: vectors.WIDTH === 4 ? "vec4u" : "u32" };
}

/** Rows that a thread each takes, side by side in a workgroup: the width of a CPU's vectors. */
const ROWS_ABREAST = 8;

/**
 * Who takes a row. A workgroup: its threads read neighbouring places, as a GPU wants. A thread alone: no barrier, which
 * is what a CPU that plays GPU wants.
 */
export type RowOwner = "workgroup" | "thread";

export function rowOwnerFor({ software }: Pick<DeviceTraits, "software">): RowOwner {
  return software ? "thread" : "workgroup";
}

/** Vectors that one thread adds to a single running sum: more would round too often. */
const MOST_VECTORS = 1024;

/**
 * The plan of a kernel with constants LANES and WORKGROUP_SIZE whose threads share rows of vectors.
 * @param constants among them WIDTH, the elements of a vector
 * @param mostVectors a thread is not left alone with a row of more
 */
export function planRows(
  owner: RowOwner,
  limits: KernelLimits,
  constants: KernelPlan["constants"] & { readonly WIDTH: number },
  params: KernelPlan["params"] & { readonly rows: number; readonly cols: number },
  mostVectors: number = MOST_VECTORS,
): KernelPlan {
  const { rows, cols } = params;
  const vectors = cols / constants.WIDTH;
  const alone = owner === "thread" && vectors <= mostVectors;
  const size = alone ? ROWS_ABREAST : rowWorkgroupSize(vectors, limits);
  return {
    constants: { ...constants, LANES: alone ? 1 : size, WORKGROUP_SIZE: size },
    params,
    workgroups: foldWorkgroups(alone ? Math.ceil(rows / size) : rows, limits),
    label: `${rows}x${cols}`,
  };
}

/**
 * Threads of a workgroup that owns a row, a power of four as shared/reduce.wgsl wants: enough to share a long row, few
 * where barriers would cost more than the row.
 */
export function rowWorkgroupSize(items: number, limits: KernelLimits): number {
  const wanted = items <= 128 ? 16 : items <= 4096 ? 64 : 256;
  return limits.maxComputeInvocationsPerWorkgroup >= wanted ? wanted : 64;
}
