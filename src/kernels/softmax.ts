/** Softmax and log-softmax of rows. */
import { foldWorkgroups, type Kernel, type Scalar } from "./kernel.ts";
import { requireIndexable, requireSizes, rowWorkgroupSize } from "./shape.ts";
import orderKey from "./shared/order_key.wgsl";
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
export const softmax: Kernel<SoftmaxShape> = {
  name: "softmax",
  source: [wgsl, reduce, orderKey].join("\n"),
  plan({ rows, cols, dtype, log = false }, limits) {
    requireSizes("softmax", { rows, cols });
    requireIndexable("softmax", { x: rows * cols });
    return {
      constants: { Scalar: dtype, WORKGROUP_SIZE: rowWorkgroupSize(cols, limits), LOG: log },
      params: { rows, cols },
      workgroups: foldWorkgroups(rows, limits),
      label: `${rows}x${cols}`,
    };
  },
};
