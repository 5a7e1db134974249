/** Softmax and log-softmax of rows. */
import { foldWorkgroups, type Kernel, type Scalar } from "./kernel.ts";
import { type RowOwner, requireIndexable, requireSizes, rowTeam } from "./shape.ts";
import orderKey from "./shared/order_key.wgsl";
import orderKeys from "./shared/order_keys.wgsl";
import reduce from "./shared/reduce.wgsl";
import wgsl from "./softmax.wgsl";

export interface SoftmaxShape {
  readonly rows: number;
  readonly cols: number;
  readonly dtype: Scalar;
  /** Whether to give the logarithm; default false. */
  readonly log?: boolean;
}

/**
 * Bindings: x [rows, cols], out [rows, cols]. A row of nothing but -Infinity gives zeros, where PyTorch gives NaN (the
 * logarithm: -Infinity); a row with NaN or +Infinity gives NaN.
 */
export function softmaxBy(owner: RowOwner): Kernel<SoftmaxShape> {
  return {
    name: "softmax",
    source: [wgsl, reduce, orderKey, orderKeys].join("\n"),
    plan({ rows, cols, dtype, log = false }, limits) {
      requireSizes("softmax", { rows, cols });
      requireIndexable("softmax", { x: rows * cols });
      const team = rowTeam(cols, limits, owner);
      const keys = team.WIDTH === 4 ? "vec4u" : "u32";
      return {
        constants: { Scalar: dtype, Keys: keys, LOG: log, ...team },
        params: { rows, cols },
        workgroups: foldWorkgroups(Math.ceil((rows * team.LANES) / team.WORKGROUP_SIZE), limits),
        label: `${rows}x${cols}`,
      };
    },
  };
}

/** A workgroup for each of the rows. */
export const softmax: Kernel<SoftmaxShape> = /* @__PURE__ */ softmaxBy("workgroup");
