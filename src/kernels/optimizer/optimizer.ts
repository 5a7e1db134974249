/** AdamW over flat buffers, in one launch for each: the numbers that all share are made on the GPU, none is read back. */
import { foldWorkgroups, type Kernel, requireIndexable, requireSizes } from "../kernel.ts";
import adamwWgsl from "./adamw.wgsl";
import stepWgsl from "./optimizer_step.wgsl";
import sumSquaresWgsl from "./sum_squares.wgsl";

const WORKGROUP_SIZE = 64;
/** Workgroups that share a sum of squares, at most. */
const MOST_WORKGROUPS = 256;

/** Bytes of `State`. */
export const STATE_BYTES = 64;

export interface SumSquaresShape {
  /** A multiple of 4. */
  readonly count: number;
  /** Where its partial sums begin in the list of all. */
  readonly first: number;
}

/** How many partial sums there are of so many elements. */
export function partialsOf(count: number): number {
  return Math.min(MOST_WORKGROUPS, Math.ceil(count / (4 * WORKGROUP_SIZE)));
}

/** Bindings: x f32 [count], partials f32. */
export const sumSquares: Kernel<SumSquaresShape> = {
  name: "sum_squares",
  source: sumSquaresWgsl,
  plan({ count, first }) {
    requireFlat("sum_squares", count);
    const workgroups = partialsOf(count);
    return {
      constants: { WORKGROUP_SIZE },
      params: { count, workgroups, first },
      workgroups: [workgroups, 1, 1],
      label: `${count}`,
    };
  },
};

/** How the learning rate falls after the warm-up, as transformers' schedules of these names. */
export type Schedule = "constant" | "linear" | "cosine";

const SCHEDULES: Readonly<Record<Schedule, number>> = { constant: 0, linear: 1, cosine: 2 };

export interface OptimizerStepShape {
  /** Partial sums. */
  readonly count: number;
  /** At its highest. */
  readonly learningRate: number;
  readonly schedule: Schedule;
  /** Steps in which the learning rate rises from 0. */
  readonly warmupSteps: number;
  readonly totalSteps: number;
  readonly betas: readonly [number, number];
  /** 0: the gradient is not clipped. */
  readonly maxNorm: number;
  /** Steps after which the loss scale doubles; 0: it stays what it is. */
  readonly growAfter: number;
}

/** Bindings: partials f32 [count], losses f32 [1], state (`STATE_BYTES`). */
export const optimizerStep: Kernel<OptimizerStepShape> = {
  name: "optimizer_step",
  source: stepWgsl,
  plan(shape) {
    const { count, learningRate, schedule, warmupSteps, totalSteps, betas, maxNorm, growAfter } = shape;
    requireSizes("optimizer_step", { count });
    return {
      constants: { WORKGROUP_SIZE },
      params: {
        count,
        learning_rate: learningRate,
        schedule: SCHEDULES[schedule],
        warmup: warmupSteps,
        total: totalSteps,
        log_beta1: Math.log(betas[0]),
        log_beta2: Math.log(betas[1]),
        max_norm: maxNorm,
        grow_after: growAfter,
      },
      workgroups: [1, 1, 1],
      label: `${count}`,
    };
  },
};

export interface AdamWShape {
  /** A multiple of 4. */
  readonly count: number;
  readonly betas: readonly [number, number];
  readonly eps: number;
  /** What a weight loses of itself in a step, times the learning rate. */
  readonly decay: number;
  /** Whether the weights are also wanted in f16. */
  readonly copies: boolean;
}

/** Bindings: weights, gradients, m, v f32 [count], state, copies f16 [count]. */
export const adamw: Kernel<AdamWShape> = {
  name: "adamw",
  source: adamwWgsl,
  optional: ["copies"],
  plan({ count, betas: [beta1, beta2], eps, decay, copies }, limits) {
    requireFlat("adamw", count);
    return {
      constants: { WORKGROUP_SIZE, HAS_COPIES: copies, Copy: copies ? "f16" : "f32" },
      params: { count, beta1, beta2, rest1: 1 - beta1, rest2: 1 - beta2, eps, decay },
      workgroups: foldWorkgroups(Math.ceil(count / (4 * WORKGROUP_SIZE)), limits),
      label: `${count}`,
    };
  },
};

function requireFlat(kernel: string, count: number): void {
  requireSizes(kernel, { count });
  requireIndexable(kernel, { count });
  if (count % 4 !== 0) throw new RangeError(`${kernel}: count is ${count}, not a multiple of 4`);
}
