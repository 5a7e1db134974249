/** Softmax and log-softmax of rows. */
import type { DeviceTraits, Kernel, Scalar } from "../kernel.ts";
import {
  keyedVectors,
  planRows,
  type RowReducer,
  requireIndexable,
  requireSizes,
  rowKernel,
  rowReducerFor,
} from "../kernel.ts";
import fours from "./softmax.wgsl";
import pairs from "./softmax_pairs.wgsl";
import pairsSubgroup from "./softmax_pairs_subgroup.wgsl";
import foursSubgroup from "./softmax_subgroup.wgsl";

export interface SoftmaxShape {
  readonly rows: number;
  readonly cols: number;
  readonly dtype: Scalar;
  /** Whether to give the logarithm; default false. */
  readonly log?: boolean;
}

/** Vectors that a thread may be left alone with: a longer row than any vocabulary's is. */
const MOST_VECTORS = 262_144;

/**
 * Bindings: x [rows, cols], out [rows, cols]. A row of nothing but -Infinity gives zeros, where PyTorch gives NaN (the
 * logarithm: -Infinity); a row with NaN or +Infinity gives NaN.
 * @param vectors what is loaded and stored at once: "vec4" takes any number of columns, one by one where they do not
 *   divide by 4; "vec2" an even number
 */
export function softmaxBy(reducer: RowReducer, vectors: "vec4" | "vec2" = "vec4"): Kernel<SoftmaxShape> {
  const name = vectors === "vec2" ? "softmax_pairs" : "softmax";
  return {
    ...(vectors === "vec2"
      ? rowKernel(reducer, name, pairs, pairsSubgroup)
      : rowKernel(reducer, name, fours, foursSubgroup)),
    plan({ rows, cols, dtype, log = false }, limits) {
      requireSizes(name, { rows, cols });
      requireIndexable(name, { x: rows * cols });
      if (vectors === "vec2" && cols % 2 !== 0) {
        throw new RangeError(`${name}: cols is ${cols}, not a multiple of 2; softmax takes any`);
      }
      const types = vectors === "vec2" ? { WIDTH: 2 } : keyedVectors(cols);
      return planRows(reducer, limits, { Scalar: dtype, LOG: log, ...types }, { rows, cols }, MOST_VECTORS);
    },
  };
}

/** A workgroup for each of the rows. */
export const softmax: Kernel<SoftmaxShape> = /* @__PURE__ */ softmaxBy("workgroup");

/** The fast kernel for this shape: in pairs where the columns divide by 2 only, as BERT's vocabulary of 30522 does. */
export function softmaxKernelFor({ cols }: Pick<SoftmaxShape, "cols">, traits: DeviceTraits): Kernel<SoftmaxShape> {
  return softmaxBy(rowReducerFor(traits), cols % 4 === 2 ? "vec2" : "vec4");
}
