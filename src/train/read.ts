/** What is on the GPU, back on the CPU: weights and what belongs to them, by the names that checkpoints have. */

import type { Engine } from "../runtime/engine.ts";
import { sizeOf, type Tensor } from "../runtime/tensor.ts";
import type { FlatKind, FlatWeights } from "./flat.ts";

/** A tensor's values, in f32. */
export async function readTensor(engine: Engine, tensor: Tensor): Promise<Float32Array | Uint32Array> {
  const program = await engine.record("read back", (r) => r.output("values", r.state(tensor)));
  return (await program.run({})).values!;
}

/** All tensors of one kind, by stored names and one after the other: a part of the flat buffers is held at a time. */
export async function* readStored(
  engine: Engine,
  flat: FlatWeights,
  kind: Exclude<FlatKind, "copies">,
): AsyncGenerator<readonly [name: string, values: Float32Array]> {
  for (const [index, part] of flat.parts.entries()) {
    const values = (await readTensor(engine, part[kind])) as Float32Array;
    for (const [label, { part: own, start, shape }] of flat.places) {
      if (own !== index) continue;
      const names = label.split(" + ");
      const size = sizeOf(shape) / names.length;
      for (const [i, name] of names.entries()) yield [name, values.subarray(start + i * size, start + (i + 1) * size)];
    }
  }
}
