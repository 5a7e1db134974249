/** What becomes of outputs that are not finite numbers: an error, and not an answer. */

import { NON_FINITE_BLOCK } from "../runtime/ops.ts";
import type { OutputData } from "../runtime/program.ts";
import type { Ref } from "../runtime/recorder.ts";
import type { Forward, SequenceOutput } from "./outputs.ts";

/** An output holds NaN or an infinity. `checkFinite: false` gives such outputs as they are. */
export class NonFiniteError extends Error {
  override readonly name = "NonFiniteError";
  /** As in `Wanted`; one of a list as `hiddenStates.3`. */
  readonly output: string;
  /** All that was computed, of a batch. */
  readonly forward: Forward | undefined;

  /** @param place of the first such element */
  constructor(output: string, place: readonly number[], value: number, forward?: Forward) {
    super(
      `${output}[${place.join(", ")}] is ${value}: bad weights, or beyond f16; \`check\` them, load f32, or pass checkFinite: false`,
    );
    this.output = output;
    this.forward = forward;
  }
}

/** The name under which an output's blocks are read back. */
export const blocksOf = (output: string): string => `${output}?`;

/** @throws NonFiniteError for the first of `refs` that the GPU found wrong */
export function requireFinite(
  refs: ReadonlyMap<string, Ref>,
  outputs: Readonly<Record<string, OutputData>>,
  forward: Forward,
): void {
  for (const [name, { shape }] of refs) {
    const blocks = outputs[blocksOf(name)]!;
    const block = blocks.findIndex((key) => key > 0);
    if (block < 0) continue;
    const at = (block + 1) * NON_FINITE_BLOCK - blocks[block]!;
    const cols = shape[1];
    const place = cols === undefined ? [at] : [Math.floor(at / cols), at % cols];
    throw new NonFiniteError(name, place, outputs[name]![at]!, forward);
  }
}

/** Of one sequence of a batch in which something is not finite: what is wrong with it, if anything is. */
export function faultIn(output: SequenceOutput): NonFiniteError | undefined {
  for (const [name, values] of Object.entries(output)) {
    for (const list of [values].flat() as unknown[]) {
      const data = (list as { readonly data?: unknown }).data ?? list;
      if (!(data instanceof Float32Array)) continue;
      const at = data.findIndex((value) => !Number.isFinite(value));
      if (at >= 0) return new NonFiniteError(name, [at], data[at]!);
    }
  }
  return undefined;
}
