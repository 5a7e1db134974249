/** Gradients of the kernels that work on rows. Those of weights are f32, and added to what is there. */
import {
  foldWorkgroups,
  type Kernel,
  planRows,
  type RowOwner,
  type RowReducer,
  requireEpsilon,
  requireIndexable,
  requireOffsets,
  requireSizes,
  rowKernel,
  rowVectors,
  type Scalar,
} from "../kernel.ts";
import { ACTIVATION_CODES, type Activation } from "./activation.ts";
import activationWgsl from "./activation_backward.wgsl";
import columnSumsWgsl from "./column_sums.wgsl";
import { planColumns } from "./columns.ts";
import dropoutWgsl from "./dropout.wgsl";
import type { L2NormalizeShape } from "./l2_normalize.ts";
import l2NormalizeWgsl from "./l2_normalize_backward.wgsl";
import l2NormalizeSubgroup from "./l2_normalize_backward_subgroup.wgsl";
import layernormWgsl from "./layernorm_backward.wgsl";
import layernormSubgroup from "./layernorm_backward_subgroup.wgsl";
import layernormWeightsWgsl from "./layernorm_weights_backward.wgsl";

export interface MatrixShape {
  readonly rows: number;
  readonly cols: number;
  readonly dtype: Scalar;
}

export interface ColumnSumsShape extends MatrixShape {
  /** Elements between the starts of two rows of x; default `cols`. With `offset`, a range of its columns is summed. */
  readonly stride?: number;
  /** Element of x where [0, 0] is; default 0. */
  readonly offset?: number;
}

/** Bindings: x [rows, cols], out f32 [cols], to which the sums down the columns are added. */
export function columnSumsBy(owner: RowOwner): Kernel<ColumnSumsShape> {
  return {
    name: "column_sums",
    source: columnSumsWgsl,
    plan({ rows, cols, dtype, stride = cols, offset = 0 }, limits) {
      requireMatrix("column_sums", rows, cols);
      requireSizes("column_sums", { stride });
      requireOffsets("column_sums", { offset });
      requireIndexable("column_sums", { x: rows * stride + offset });
      const vectors = [cols, stride, offset].every((size) => size % 4 === 0) ? rowVectors(4) : rowVectors(1);
      return planColumns(owner, limits, { Scalar: dtype, ...vectors }, { rows, cols, stride, offset });
    },
  };
}

/** Threads of a workgroup share the columns. */
export const columnSums: Kernel<ColumnSumsShape> = /* @__PURE__ */ columnSumsBy("workgroup");

export interface LayernormBackwardShape extends MatrixShape {
  /** Added to the variance. */
  readonly eps: number;
}

/** Bindings: x, gamma [cols], d_out, dx, all but gamma [rows, cols]; stats f32 [rows, 2]. */
export function layernormBackwardBy(reducer: RowReducer): Kernel<LayernormBackwardShape> {
  return {
    ...rowKernel(reducer, "layernorm_backward", layernormWgsl, layernormSubgroup),
    plan({ rows, cols, eps, dtype }, limits) {
      requireMatrix("layernorm_backward", rows, cols);
      requireEpsilon("layernorm_backward", eps);
      return planRows(reducer, limits, { Scalar: dtype, ...rowVectors(cols) }, { rows, cols, eps });
    },
  };
}

/** A workgroup for each of the rows. */
export const layernormBackward: Kernel<LayernormBackwardShape> = /* @__PURE__ */ layernormBackwardBy("workgroup");

export interface LayernormWeightsBackwardShape extends MatrixShape {
  /** Whether `d_bias` [cols] is wanted: the gradient of the bias of a linear layer before, out of `dx`. */
  readonly bias: boolean;
}

/**
 * Bindings: x, d_out, dx [rows, cols], stats f32 [rows, 2] of `layernormBackward`; d_gamma, d_beta, d_bias f32 [cols], to
 * which is added.
 */
export function layernormWeightsBackwardBy(owner: RowOwner): Kernel<LayernormWeightsBackwardShape> {
  return {
    name: "layernorm_weights_backward",
    source: layernormWeightsWgsl,
    optional: ["d_bias"],
    plan({ rows, cols, dtype, bias }, limits) {
      requireMatrix("layernorm_weights_backward", rows, cols);
      const constants = { Scalar: dtype, HAS_BIAS: bias, ...rowVectors(cols) };
      return planColumns(owner, limits, constants, { rows, cols });
    },
  };
}

/** Threads of a workgroup share the columns. */
export const layernormWeightsBackward: Kernel<LayernormWeightsBackwardShape> =
  /* @__PURE__ */ layernormWeightsBackwardBy("workgroup");

/** Bindings: x, d_out, dx [rows, cols]. */
export function l2NormalizeBackwardBy(reducer: RowReducer): Kernel<L2NormalizeShape> {
  return {
    ...rowKernel(reducer, "l2_normalize_backward", l2NormalizeWgsl, l2NormalizeSubgroup),
    plan({ rows, cols, dtype, eps = 1e-12 }, limits) {
      requireMatrix("l2_normalize_backward", rows, cols);
      requireEpsilon("l2_normalize_backward", eps);
      return planRows(reducer, limits, { Scalar: dtype, ...rowVectors(cols) }, { rows, cols, eps });
    },
  };
}

/** A workgroup for each of the rows. */
export const l2NormalizeBackward: Kernel<L2NormalizeShape> = /* @__PURE__ */ l2NormalizeBackwardBy("workgroup");

const WORKGROUP_SIZE = 64;

export interface ActivationBackwardShape {
  readonly count: number;
  readonly dtype: Scalar;
  /** `erf` has no gradient here. */
  readonly activation: Exclude<Activation, "erf">;
}

/** Bindings: pre, d_out, d_pre [count]. */
export const activationBackward: Kernel<ActivationBackwardShape> = {
  name: "activation_backward",
  source: activationWgsl,
  plan({ count, dtype, activation }, limits) {
    requireSizes("activation_backward", { count });
    requireIndexable("activation_backward", { pre: count });
    return {
      constants: { Scalar: dtype, WORKGROUP_SIZE, ACTIVATION: ACTIVATION_CODES[activation] },
      params: { count },
      workgroups: foldWorkgroups(Math.ceil(count / (4 * WORKGROUP_SIZE)), limits),
      label: `${activation} ${count}`,
    };
  },
};

export interface DropoutShape {
  readonly count: number;
  readonly dtype: Scalar;
  /** Of an element to be dropped: 0 to less than 1. */
  readonly probability: number;
  /** Whether `residual` [count] is added afterwards. */
  readonly residual: boolean;
  /** What is kept is multiplied by this as well; default 1. */
  readonly factor?: number;
  /** These three say which elements: the same in the backward pass. */
  readonly seed: number;
  readonly step: number;
  readonly tensor: number;
}

/** Bindings: x, residual, out [count]. A recorder sets `step` at each run. */
export const dropout: Kernel<DropoutShape> = {
  name: "dropout",
  source: dropoutWgsl,
  plan({ count, dtype, probability, residual, factor = 1, seed, step, tensor }, limits) {
    requireSizes("dropout", { count });
    requireIndexable("dropout", { x: count });
    const { threshold, scale } = dropoutParams("dropout", probability);
    return {
      constants: { Scalar: dtype, WORKGROUP_SIZE, HAS_RESIDUAL: residual },
      params: { count, tensor, step, seed, threshold, scale: scale * factor },
      workgroups: foldWorkgroups(Math.ceil(count / (4 * WORKGROUP_SIZE)), limits),
      label: `${count}`,
    };
  },
};

/** What kernels that draw compare with, and scale by. @throws RangeError unless it is from 0 to less than 1 */
export function dropoutParams(kernel: string, probability: number): { threshold: number; scale: number } {
  if (!(probability >= 0 && probability < 1)) {
    throw new RangeError(`${kernel}: probability is ${probability}, it must be from 0 to less than 1`);
  }
  return { threshold: Math.floor(probability * 2 ** 32), scale: 1 / (1 - probability) };
}

function requireMatrix(kernel: string, rows: number, cols: number): void {
  requireSizes(kernel, { rows, cols });
  requireIndexable(kernel, { x: rows * cols });
}
