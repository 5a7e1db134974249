/** Layer normalisation of rows, with the residual that BERT adds before it. */
import { foldWorkgroups, type Kernel, type Scalar } from "./kernel.ts";
import wgsl from "./layernorm.wgsl";
import { type RowOwner, requireEpsilon, requireIndexable, requireSizes, rowTeam } from "./shape.ts";
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
export function layernormBy(owner: RowOwner): Kernel<LayernormShape> {
  return {
    name: "layernorm",
    source: [wgsl, normalizeRow, reduce].join("\n"),
    plan({ rows, cols, eps, dtype, residual }, limits) {
      requireSizes("layernorm", { rows, cols });
      requireIndexable("layernorm", { x: rows * cols });
      requireEpsilon("layernorm", eps);
      const team = rowTeam(cols, limits, owner);
      return {
        constants: { Scalar: dtype, HAS_RESIDUAL: residual, ...team },
        params: { rows, cols, eps },
        workgroups: foldWorkgroups(Math.ceil((rows * team.LANES) / team.WORKGROUP_SIZE), limits),
        label: `${rows}x${cols}`,
      };
    },
  };
}

/** A workgroup for each of the rows. */
export const layernorm: Kernel<LayernormShape> = /* @__PURE__ */ layernormBy("workgroup");
