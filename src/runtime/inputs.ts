/** What a program is given, held against what it was recorded for. */

import type { Ref } from "./recorder.ts";
import { sizeOf } from "./tensor.ts";

export type InputData = Float32Array | Uint32Array | Int32Array | Uint16Array;

/**
 * @param which whether inputs may be left out
 * @throws TypeError for an input that there is not or that is missing, RangeError for one of another size
 */
export function checkInputs(
  label: string,
  refs: ReadonlyMap<string, Ref>,
  inputs: Readonly<Record<string, InputData>>,
  which: "all" | "some",
): Readonly<Record<string, InputData>> {
  for (const [name, data] of Object.entries(inputs)) {
    const ref = refs.get(name);
    if (ref === undefined) throw new TypeError(`${label}: no input named ${name}`);
    if (data.length !== sizeOf(ref.shape)) {
      throw new RangeError(
        `${label}: input ${name} has ${data.length} elements, [${ref.shape}] needs ${sizeOf(ref.shape)}`,
      );
    }
  }
  for (const name of refs.keys()) {
    if (which === "all" && inputs[name] === undefined) throw new TypeError(`${label}: input ${name} is missing`);
  }
  return inputs;
}
