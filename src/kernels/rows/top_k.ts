/** The greatest elements of rows, so that logits over a vocabulary need not leave the GPU. k = 1 is argmax. */
import {
  foldWorkgroups,
  type Kernel,
  requireIndexable,
  requireSizes,
  rowWorkgroupSize,
  type Scalar,
} from "../kernel.ts";
import wgsl from "./top_k.wgsl";

export interface TopKShape {
  readonly rows: number;
  readonly cols: number;
  /** At most `cols`. Made for small k: the time grows with k. */
  readonly k: number;
  readonly dtype: Scalar;
  /** Whether the highest of equal elements' columns comes first, and not the lowest; default false. */
  readonly lastIndex?: boolean;
}

/**
 * Bindings: x [rows, cols], values f32 [rows, k], indices u32 [rows, k]; descending. NaN counts as greater than
 * everything, as in PyTorch.
 */
export const topK: Kernel<TopKShape> = {
  name: "top_k",
  source: wgsl,
  plan({ rows, cols, k, dtype, lastIndex = false }, limits) {
    requireSizes("top_k", { rows, cols, k });
    requireIndexable("top_k", { x: rows * cols });
    if (k > cols) throw new RangeError(`top_k: k is ${k}, a row has only ${cols} elements`);
    return {
      constants: { Scalar: dtype, WORKGROUP_SIZE: rowWorkgroupSize(cols, limits), LAST_INDEX: lastIndex },
      params: { rows, cols, k },
      workgroups: foldWorkgroups(rows, limits),
      label: `${k} of ${rows}x${cols}`,
    };
  },
};
