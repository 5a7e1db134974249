/** Linear layers whose rows pass through a subgroup: for adapters where a load costs more than arithmetic. */
import type { Kernel } from "../kernel.ts";
import activation from "../shared/activation.wgsl";
import addProducts from "../shared/add_products.wgsl";
import { type MatmulShape, planLinear } from "./linear.ts";
import wgsl from "./matmul_broadcast.wgsl";
import store from "./matmul_store.wgsl";
import vec4Operands from "./matmul_vec4.wgsl";

/** Rows of a workgroup, as in the .wgsl. */
const ROWS = 16;
/** Vectors of four columns that a thread takes, by the size of subgroups: 16 rows by 32 columns for either. */
const FOURS = { 4: 2, 8: 1 } as const;

/**
 * For `k` a multiple of 4 on a device all of whose subgroups have `subgroup` threads. Bindings: x, weight, bias,
 * residual, out.
 */
export function matmulBroadcastBy(subgroup: number): Kernel<MatmulShape> {
  const name = "matmul_broadcast";
  return {
    name,
    source: [wgsl, vec4Operands, store, activation, addProducts].join("\n"),
    features: ["subgroups"],
    plan(shape, limits) {
      if (shape.k % 4 !== 0) throw new RangeError(`${name}: k is ${shape.k}, not a multiple of 4`);
      if (subgroup !== 4 && subgroup !== 8) throw new RangeError(`${name}: subgroups of ${subgroup}, not of 4 or 8`);
      const fours = FOURS[subgroup];
      const workgroups = Math.ceil(shape.m / ROWS) * Math.ceil(shape.n / (4 * fours * subgroup));
      return planLinear(name, shape, workgroups, { SUBGROUP: subgroup, FOURS: fours }, limits);
    },
  };
}

/** With the subgroup that the .wgsl has by default. */
export const matmulBroadcast: Kernel<MatmulShape> = /* @__PURE__ */ matmulBroadcastBy(8);
