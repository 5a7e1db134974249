/** Linear layers with k shared out among the threads of a workgroup: for few outputs, such as a batch of one sentence. */
import type { Kernel } from "../kernel.ts";
import activation from "../shared/activation.wgsl";
import { type MatmulShape, planLinear } from "./linear.ts";
import scalarOperands from "./matmul_scalar.wgsl";
import wgsl from "./matmul_split_k.wgsl";
import store from "./matmul_store.wgsl";
import vec4Operands from "./matmul_vec4.wgsl";

/** Threads of a workgroup: 8 KB of sums, half of what every device has. */
const THREADS = 64;
/** Outputs of a thread, before sums meet. */
const ROWS = 4;
const COLS = 8;

/**
 * Bindings: x, weight, bias, residual, out.
 * @param split threads that share one 4 x 8 block of outputs: a power of two up to 64
 */
export function matmulSplitKBy(split: number, vec4: boolean): Kernel<MatmulShape> {
  const name = `matmul_split_k${vec4 ? "" : "_unaligned"}`;
  return {
    name,
    source: [vec4 ? vec4Operands : scalarOperands, wgsl, store, activation].join("\n"),
    plan(shape, limits) {
      if (vec4 && shape.k % 4 !== 0) throw new RangeError(`${name}: k is ${shape.k}, not a multiple of 4`);
      if (!(split >= 1 && split <= THREADS && THREADS % split === 0)) {
        throw new RangeError(`${name}: split is ${split}, it must divide ${THREADS}`);
      }
      const blocks = THREADS / split;
      const rowThreads = shape.m > ROWS && blocks >= 4 ? 2 : 1;
      const colThreads = blocks / rowThreads;
      const workgroups = Math.ceil(shape.m / (ROWS * rowThreads)) * Math.ceil(shape.n / (COLS * colThreads));
      const constants = { ROW_THREADS: rowThreads, COL_THREADS: colThreads, SPLIT: split };
      return planLinear(name, shape, workgroups, constants, limits);
    },
  };
}

/** As the .wgsl stands by default, for `k` a multiple of 4. */
export const matmulSplitK: Kernel<MatmulShape> = /* @__PURE__ */ matmulSplitKBy(32, true);
