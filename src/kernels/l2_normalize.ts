/** Rows scaled to length 1, as sentence embeddings are. */
import { foldWorkgroups, type Kernel, type Scalar } from "./kernel.ts";
import wgsl from "./l2_normalize.wgsl";
import { requireEpsilon, requireIndexable, requireSizes, rowWorkgroupSize } from "./shape.ts";
import orderKey from "./shared/order_key.wgsl";
import reduce from "./shared/reduce.wgsl";

export interface L2NormalizeShape {
  readonly rows: number;
  readonly cols: number;
  readonly dtype: Scalar;
  /** A shorter row is divided by this; default 1e-12, as `torch.nn.functional.normalize`. */
  readonly eps?: number;
}

/** Bindings: x [rows, cols], out [rows, cols]. A row of zeros stays zeros. */
export const l2Normalize: Kernel<L2NormalizeShape> = {
  name: "l2_normalize",
  source: /* @__PURE__ */ [wgsl, reduce, orderKey].join("\n"),
  plan({ rows, cols, dtype, eps = 1e-12 }, limits) {
    requireSizes("l2_normalize", { rows, cols });
    requireIndexable("l2_normalize", { x: rows * cols });
    requireEpsilon("l2_normalize", eps);
    return {
      constants: { Scalar: dtype, WORKGROUP_SIZE: rowWorkgroupSize(cols, limits) },
      params: { rows, cols, eps },
      workgroups: foldWorkgroups(rows, limits),
      label: `${rows}x${cols}`,
    };
  },
};
