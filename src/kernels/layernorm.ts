/** Layer normalisation of rows, with the residual that BERT adds before it. */
import { foldWorkgroups, type Kernel, type Scalar } from "./kernel.ts";
import wgsl from "./layernorm.wgsl";
import { requireEpsilon, requireIndexable, requireSizes, rowWorkgroupSize } from "./shape.ts";
import normalizeRow from "./shared/normalize_row.wgsl";
import reduce from "./shared/reduce.wgsl";

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
export const layernorm: Kernel<LayernormShape> = {
  name: "layernorm",
  source: [wgsl, normalizeRow, reduce].join("\n"),
  plan({ rows, cols, eps, dtype, residual }, limits) {
    requireSizes("layernorm", { rows, cols });
    requireIndexable("layernorm", { x: rows * cols });
    requireEpsilon("layernorm", eps);
    return {
      constants: { Scalar: dtype, WORKGROUP_SIZE: rowWorkgroupSize(cols, limits), HAS_RESIDUAL: residual },
      params: { rows, cols, eps },
      workgroups: foldWorkgroups(rows, limits),
      label: `${rows}x${cols}`,
    };
  },
};
