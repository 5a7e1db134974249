/** Layer normalisation of rows, with the residual that BERT adds before it. */
import type { Kernel, Scalar } from "../kernel.ts";
import { planRows, type RowOwner, requireEpsilon, requireIndexable, requireSizes, rowVectors } from "../shape.ts";
import normalizeRow from "../shared/normalize_row.wgsl";
import reduce from "../shared/reduce.wgsl";
import total from "../shared/total.wgsl";
import wgsl from "./layernorm.wgsl";

export interface LayernormShape {
  readonly rows: number;
  readonly cols: number;
  /** Added to the variance. */
  readonly eps: number;
  readonly dtype: Scalar;
  /** Whether `residual` [rows, cols] is added to x first. */
  readonly residual: boolean;
}

/** Bindings: x [rows, cols], residual [rows, cols], gamma [cols], beta [cols], out [rows, cols]. */
export function layernormBy(owner: RowOwner): Kernel<LayernormShape> {
  return {
    name: "layernorm",
    source: [wgsl, normalizeRow, reduce, total].join("\n"),
    plan({ rows, cols, eps, dtype, residual }, limits) {
      requireSizes("layernorm", { rows, cols });
      requireIndexable("layernorm", { x: rows * cols });
      requireEpsilon("layernorm", eps);
      const constants = { Scalar: dtype, HAS_RESIDUAL: residual, ...rowVectors(cols) };
      return planRows(owner, limits, constants, { rows, cols, eps });
    },
  };
}

/** A workgroup for each of the rows. */
export const layernorm: Kernel<LayernormShape> = /* @__PURE__ */ layernormBy("workgroup");
