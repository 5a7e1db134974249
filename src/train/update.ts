/** The optimizer's step on all weights, and what it says of itself. */

import { adamw, optimizerStep, partialsOf, type Schedule, sumSquares } from "../kernels/optimizer/optimizer.ts";
import type { Recorder } from "../runtime/recorder.ts";
import type { Tensor } from "../runtime/tensor.ts";
import type { FlatWeights } from "./flat.ts";

/** Numbers of AdamW and of its schedule, under the names of Hugging Face's Trainer. */
export interface OptimizerOptions {
  /** At its highest. Default 5e-5. */
  readonly learningRate?: number | undefined;
  /** How it falls after the warm-up. Default linear, to 0 at `totalSteps`. */
  readonly schedule?: Schedule | undefined;
  /** Steps in which it rises from 0. Default 0. */
  readonly warmupSteps?: number | undefined;
  readonly totalSteps: number;
  /** Of all but biases and normalisations. Default 0.01. */
  readonly weightDecay?: number | undefined;
  /** Default 1; 0: gradients are not clipped. */
  readonly maxGradNorm?: number | undefined;
  /** Default 0.9 and 0.999. */
  readonly betas?: readonly [number, number] | undefined;
  /** Default 1e-8. */
  readonly eps?: number | undefined;
}

/** What the GPU says of its last step. */
export interface StepState {
  /** Taken. */
  readonly steps: number;
  /** Left out, since the gradient was not finite. */
  readonly skipped: number;
  readonly loss: number;
  /** Of the gradient, before it was clipped. */
  readonly gradNorm: number;
  readonly learningRate: number;
  readonly lossScale: number;
}

/** Steps without an infinity after which the loss scale of f16 doubles, and where it begins: as PyTorch's GradScaler. */
const GROW_AFTER = 2000;
export const FIRST_SCALE = 65536;

export function recordUpdate(
  r: Recorder,
  { parts }: FlatWeights,
  { state, losses, partials }: Record<"state" | "losses" | "partials", Tensor>,
  options: OptimizerOptions,
  scaled: boolean,
): void {
  const { learningRate = 5e-5, schedule = "linear", warmupSteps = 0, totalSteps } = options;
  const { weightDecay = 0.01, maxGradNorm = 1, betas = [0.9, 0.999], eps = 1e-8 } = options;
  let first = 0;
  for (const { count, gradients } of parts) {
    r.dispatch(sumSquares, { count, first }, { x: gradients, partials: r.state(partials) });
    first += partialsOf(count);
  }
  r.dispatch(
    optimizerStep,
    {
      ...{ count: first, learningRate, schedule, warmupSteps, totalSteps, betas },
      ...{ maxNorm: maxGradNorm, growAfter: scaled ? GROW_AFTER : 0 },
    },
    { partials: r.state(partials), losses: r.state(losses), state: r.state(state) },
  );
  for (const { count, decayed, copies, ...part } of parts) {
    const shape = { count, betas, eps, decay: decayed ? weightDecay : 0, copies: copies !== undefined };
    r.dispatch(adamw, shape, {
      weights: r.state(part.weights),
      gradients: r.state(part.gradients),
      m: r.state(part.m),
      v: r.state(part.v),
      state: r.state(state),
      copies: copies && r.state(copies),
    });
  }
}

export function stateOf(words: Uint32Array): StepState {
  const floats = new Float32Array(words.buffer, words.byteOffset, words.length);
  return {
    steps: words[0]!,
    skipped: words[1]!,
    loss: floats[10]!,
    gradNorm: floats[5]!,
    learningRate: floats[7]!,
    lossScale: floats[4]!,
  };
}
