/** Linear layers without workgroup memory: the register-tiled kernel, and the naive one that others are measured by. */
import type { Kernel, KernelLimits, KernelPlan } from "../kernel.ts";
import activation from "../shared/activation.wgsl";
import { type MatmulShape, planLinear } from "./linear.ts";
import tiled from "./matmul.wgsl";
import naive from "./matmul_naive.wgsl";
import scalarOperands from "./matmul_scalar.wgsl";
import store from "./matmul_store.wgsl";
import vec4Operands from "./matmul_vec4.wgsl";

export type { MatmulShape } from "./linear.ts";

/** Outputs of one thread along n. */
const THREAD_COLS = 8;
const NAIVE_TILE = 8;

/** Register-tiled, vec4 loads; `k` must be a multiple of 4. Bindings: x, weight, bias, residual, out. */
export const matmul: Kernel<MatmulShape> = {
  name: "matmul",
  source: /* @__PURE__ */ [vec4Operands, tiled, store, activation].join("\n"),
  plan(shape, limits) {
    const plan = planTiled("matmul", shape, limits);
    if (shape.k % 4 !== 0) {
      throw new RangeError(`matmul: k is ${shape.k}, not a multiple of 4; matmul_unaligned takes any k`);
    }
    return plan;
  },
};

/** As `matmul`, for any `k`, with scalar loads. */
export const matmulUnaligned: Kernel<MatmulShape> = {
  name: "matmul_unaligned",
  source: /* @__PURE__ */ [scalarOperands, tiled, store, activation].join("\n"),
  plan: (shape, limits) => planTiled("matmul_unaligned", shape, limits),
};

/** One thread per output: the formula as it stands, and the baseline of the benchmarks. */
export const matmulNaive: Kernel<MatmulShape> = {
  name: "matmul_naive",
  source: /* @__PURE__ */ [naive, activation].join("\n"),
  plan(shape, limits) {
    const workgroups = Math.ceil(shape.m / NAIVE_TILE) * Math.ceil(shape.n / NAIVE_TILE);
    return planLinear("matmul_naive", shape, workgroups, {}, limits);
  },
};

/** Few rows (a head on one sequence) get a flat workgroup: a square one would mostly idle. */
function planTiled(kernel: string, shape: MatmulShape, limits: KernelLimits): KernelPlan {
  const rows = shape.m === 1 ? 1 : 4;
  const rowThreads = shape.m === 1 ? 1 : shape.m <= 8 ? 2 : 16;
  const colThreads = 64 / rowThreads;
  const workgroups = Math.ceil(shape.m / (rowThreads * rows)) * Math.ceil(shape.n / (colThreads * THREAD_COLS));
  return planLinear(
    kernel,
    shape,
    workgroups,
    { ROWS: rows, ROW_THREADS: rowThreads, COL_THREADS: colThreads },
    limits,
  );
}
