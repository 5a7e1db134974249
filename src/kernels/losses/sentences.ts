/** What the losses of sentence vectors are made of. `scale` and `state` are as those of losses.ts. */
import {
  foldWorkgroups,
  type Kernel,
  type KernelLimits,
  type KernelPlan,
  planRows,
  type RowOwner,
  requireIndexable,
  requireSizes,
  rowVectors,
  type Scalar,
} from "../kernel.ts";
import cosentWgsl from "./cosent.wgsl";
import cosentGradientWgsl from "./cosent_gradient.wgsl";
import rowDotsWgsl from "./row_dots.wgsl";
import rowDotsBackwardWgsl from "./row_dots_backward.wgsl";
import tripletWgsl from "./triplet.wgsl";

export interface RowDotsShape {
  /** Of one half. */
  readonly rows: number;
  readonly cols: number;
  readonly dtype: Scalar;
}

/** Bindings: x [2 * rows, cols]; dots f32 [rows], of each row of the first half with that of the second. */
export function rowDotsBy(owner: RowOwner): Kernel<RowDotsShape> {
  return {
    name: "row_dots",
    source: rowDotsWgsl,
    plan({ rows, cols, dtype }, limits) {
      requireBlocks("row_dots", 2, rows, cols);
      return planRows(owner, limits, { Scalar: dtype, ...rowVectors(cols) }, { rows, cols });
    },
  };
}

/** A workgroup for each of the rows. */
export const rowDots: Kernel<RowDotsShape> = /* @__PURE__ */ rowDotsBy("workgroup");

const WORKGROUP_SIZE = 64;

/** Bindings: x, dx [2 * rows, cols]; d_dots f32 [rows]. */
export const rowDotsBackward: Kernel<RowDotsShape> = {
  name: "row_dots_backward",
  source: rowDotsBackwardWgsl,
  plan({ rows, cols, dtype }, limits) {
    requireBlocks("row_dots_backward", 2, rows, cols);
    const vectors = rowVectors(cols);
    return {
      constants: { Scalar: dtype, WORKGROUP_SIZE, ...vectors },
      params: { rows, cols },
      workgroups: foldWorkgroups(Math.ceil((2 * rows * cols) / vectors.WIDTH / WORKGROUP_SIZE), limits),
      label: `${rows}x${cols}`,
    };
  },
};

export interface CosentShape {
  /** Pairs of sentences. */
  readonly rows: number;
  /** Of nothing: all is f32. */
  readonly dtype: Scalar;
  /** Of the similarities. */
  readonly factor: number;
}

/** Bindings: similarities, labels, sums f32 [rows]. */
export function cosentBy(owner: RowOwner): Kernel<CosentShape> {
  return {
    name: "cosent",
    source: cosentWgsl,
    plan: ({ rows, factor }, limits) => planPairs("cosent", owner, rows, { factor }, limits),
  };
}

/** A workgroup for each of the rows. */
export const cosent: Kernel<CosentShape> = /* @__PURE__ */ cosentBy("workgroup");

export interface CosentGradientShape extends CosentShape {
  /** 1 over the number of batches that make a step. */
  readonly scale: number;
}

/** Bindings: similarities, labels, sums of `cosent`, d_similarities, losses f32 [rows]; state. */
export function cosentGradientBy(owner: RowOwner): Kernel<CosentGradientShape> {
  return {
    name: "cosent_gradient",
    source: cosentGradientWgsl,
    plan: ({ rows, factor, scale }, limits) => planPairs("cosent_gradient", owner, rows, { factor, scale }, limits),
  };
}

/** A workgroup for each of the rows. */
export const cosentGradient: Kernel<CosentGradientShape> = /* @__PURE__ */ cosentGradientBy("workgroup");

/** Each row is held against all of them. */
function planPairs(
  name: string,
  owner: RowOwner,
  rows: number,
  numbers: Readonly<Record<string, number>>,
  limits: KernelLimits,
): KernelPlan {
  requireSizes(name, { rows });
  const { constants, params, ...plan } = planRows(owner, limits, { WIDTH: 1 }, { rows, cols: rows });
  const { LANES, WORKGROUP_SIZE } = constants as Record<"LANES" | "WORKGROUP_SIZE", number>;
  return {
    ...plan,
    constants: { LANES, WORKGROUP_SIZE },
    params: { rows: params.rows!, ...numbers },
    label: `${rows}`,
  };
}

export interface TripletShape {
  /** Triplets. */
  readonly rows: number;
  readonly cols: number;
  readonly dtype: Scalar;
  /** By which a negative is to be farther than a positive. */
  readonly margin: number;
  /** 1 over the number of triplets. */
  readonly scale: number;
}

/** Bindings: x, dx [3 * rows, cols]: anchors, positives, negatives; state; losses f32 [rows]. */
export function tripletBy(owner: RowOwner): Kernel<TripletShape> {
  return {
    name: "triplet",
    source: tripletWgsl,
    plan({ rows, cols, dtype, margin, scale }, limits) {
      requireBlocks("triplet", 3, rows, cols);
      return planRows(owner, limits, { Scalar: dtype, ...rowVectors(cols) }, { rows, cols, margin, scale });
    },
  };
}

/** A workgroup for each of the rows. */
export const triplet: Kernel<TripletShape> = /* @__PURE__ */ tripletBy("workgroup");

function requireBlocks(kernel: string, blocks: number, rows: number, cols: number): void {
  requireSizes(kernel, { rows, cols });
  requireIndexable(kernel, { x: blocks * rows * cols });
}
