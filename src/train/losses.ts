/** What objectives share: labels, and the loss of logits, added up where the step's loss is gathered. */

import { rowOwnerFor } from "../kernels/kernel.ts";
import { crossEntropyBy } from "../kernels/losses/losses.ts";
import { columnSumsBy } from "../kernels/rows/backward.ts";
import type { Ref, ScalarInput } from "../runtime/recorder.ts";
import { sizeOf } from "../runtime/tensor.ts";
import { scalarOf, type Tape } from "./operations.ts";

/** Labels of one sequence, as far as an objective reads them. */
export interface Labels {
  /** Masked LM: the word piece of each token, -100 where none is to be predicted. */
  readonly words?: ArrayLike<number> | undefined;
  /** Next sentence: 0, B follows A, or 1. */
  readonly next?: number | undefined;
  /** A class, or a number of a regression, or how similar two sequences are; of several labels at once 0 or 1 for each, and several numbers of a regression. */
  readonly label?: number | readonly number[] | undefined;
  /** Of each token a class, or -100. */
  readonly tags?: ArrayLike<number> | undefined;
  /** The tokens where the answer starts and ends; at or beyond the sequence's length: ignored. */
  readonly start?: number | undefined;
  readonly end?: number | undefined;
}

/** What a batch is run with for one objective. */
export interface LabelInputs {
  readonly inputs: Readonly<Record<string, Uint32Array | Float32Array>>;
  /** Of each of its means: how many labels count. */
  readonly counts: Readonly<Record<string, number>>;
}

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
 * @param counted how many columns count, where it is told at each run
 */
export function crossEntropy(
  context: LossContext,
  logits: Ref,
  labels: Ref,
  scale: string,
  factor: number = 1,
  counted?: ScalarInput,
): void {
  const { tape, scales, state } = context;
  const { r } = tape;
  const [rows, cols] = logits.shape as [number, number];
  const losses = r.temporary("losses", [rows], "f32");
  r.dispatch(
    crossEntropyBy(rowOwnerFor(r.traits), cols),
    { rows, cols, dtype: scalarOf(logits), scale: 0, factor, ...(counted && { counted: cols }) },
    { logits, labels, state, losses },
    { scale: scales[scale]!, ...(counted && { counted }) },
  );
  addUp(context, losses);
}

/** @param counted `rows`: how many there are, where that is told at each run */
export function addUp(
  { tape: { r }, losses: out }: LossContext,
  losses: Ref,
  counted: Readonly<Record<string, ScalarInput>> = {},
): void {
  const shape = { rows: sizeOf(losses.shape), cols: 1, dtype: "f32" } as const;
  r.dispatch(columnSumsBy("workgroup"), shape, { x: losses, out }, counted);
}

/** By which losses are multiplied to be means over `counts` labels. */
export function scalesOf(counts: Readonly<Record<string, number>>): Record<string, number> {
  const scales = Object.entries(counts).map(([name, count]) => {
    const halves = name === "starts" || name === "ends" ? 2 : 1; // the loss is the mean of both
    return [`scale of ${name}`, count > 0 ? 1 / (halves * count) : 0];
  });
  return Object.fromEntries(scales);
}
