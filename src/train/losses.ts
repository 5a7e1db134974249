/** What objectives share: the loss of logits, added up where the step's loss is gathered. */

import { rowOwnerFor } from "../kernels/kernel.ts";
import { crossEntropyBy } from "../kernels/losses/losses.ts";
import { columnSumsBy } from "../kernels/rows/backward.ts";
import type { Ref, ScalarInput } from "../runtime/recorder.ts";
import { sizeOf } from "../runtime/tensor.ts";
import { scalarOf, type Tape } from "./operations.ts";

export interface LossContext {
  readonly tape: Tape;
  readonly inputs: Readonly<Record<string, Ref>>;
  /** 1 over each count, of all batches that make a step. */
  readonly scales: Readonly<Record<string, ScalarInput>>;
  /** Of the optimizer. */
  readonly state: Ref;
  /** Where losses are added up, f32 [1]. */
  readonly losses: Ref;
}

/**
 * Puts the logits' gradient in their place, and adds the loss up.
 * @param scale the name of the count
 * @param factor of the logits
 */
export function crossEntropy(context: LossContext, logits: Ref, labels: Ref, scale: string, factor: number = 1): void {
  const { tape, scales, state } = context;
  const { r } = tape;
  const [rows, cols] = logits.shape as [number, number];
  const losses = r.temporary("losses", [rows], "f32");
  r.dispatch(
    crossEntropyBy(rowOwnerFor(r.traits), cols),
    { rows, cols, dtype: scalarOf(logits), scale: 0, factor },
    { logits, labels, state, losses },
    { scale: scales[scale]! },
  );
  addUp(context, losses);
}

export function addUp({ tape: { r }, losses: out }: LossContext, losses: Ref): void {
  const shape = { rows: sizeOf(losses.shape), cols: 1, dtype: "f32" } as const;
  r.dispatch(columnSumsBy("workgroup"), shape, { x: losses, out });
}
