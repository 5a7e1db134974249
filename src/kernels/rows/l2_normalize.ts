/** Rows scaled to length 1, as sentence embeddings are. */
import type { Kernel, Scalar } from "../kernel.ts";
import {
  keyedVectors,
  planRows,
  type RowReducer,
  requireEpsilon,
  requireIndexable,
  requireSizes,
  rowKernel,
} from "../kernel.ts";
import wgsl from "./l2_normalize.wgsl";
import subgroup from "./l2_normalize_subgroup.wgsl";

export interface L2NormalizeShape {
  readonly rows: number;
  readonly cols: number;
  readonly dtype: Scalar;
  /** A shorter row is divided by this; default 1e-12, as `torch.nn.functional.normalize`. */
  readonly eps?: number;
}

/** Bindings: x [rows, cols], out [rows, cols]. A row of zeros stays zeros. */
export function l2NormalizeBy(reducer: RowReducer): Kernel<L2NormalizeShape> {
  return {
    ...rowKernel(reducer, "l2_normalize", wgsl, subgroup),
    plan({ rows, cols, dtype, eps = 1e-12 }, limits) {
      requireSizes("l2_normalize", { rows, cols });
      requireIndexable("l2_normalize", { x: rows * cols });
      requireEpsilon("l2_normalize", eps);
      return planRows(reducer, limits, { Scalar: dtype, ...keyedVectors(cols) }, { rows, cols, eps });
    },
  };
}

/** A workgroup for each of the rows. */
export const l2Normalize: Kernel<L2NormalizeShape> = /* @__PURE__ */ l2NormalizeBy("workgroup");
