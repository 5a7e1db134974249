/** What is on the GPU, back on the CPU: weights and what belongs to them, by the names that checkpoints have. */

import type { Engine } from "../runtime/engine.ts";
import { sizeOf, type Tensor } from "../runtime/tensor.ts";
import type { FlatKind, FlatWeights } from "./flat.ts";

/** A tensor's values, in f32. */
export async function readTensor(engine: Engine, tensor: Tensor): Promise<Float32Array | Uint32Array> {
  const program = await engine.record("read back", (r) => r.output("values", r.state(tensor)));
  return (await program.run({})).values!;
}

/** All tensors of one kind, by stored names: a part of the flat buffers is held at a time, and tables that are split. */
export async function* readStored(
  engine: Engine,
  flat: FlatWeights,
  kind: Exclude<FlatKind, "copies">,
): AsyncGenerator<readonly [name: string, values: Float32Array]> {
  const labels = new Map<string, string[]>(); // of the parts of each table, in the order of their rows
  for (const label of flat.places.keys()) {
    const table = label.replace(/ rows \d+\.\.$/, "");
    labels.set(table, [...(labels.get(table) ?? []), label]);
  }
  const read = new Map<string, Float32Array>();
  for (const [index, part] of flat.parts.entries()) {
    const values = (await readTensor(engine, part[kind])) as Float32Array;
    for (const [label, { part: own, start, shape }] of flat.places) {
      if (own === index) read.set(label, values.subarray(start, start + sizeOf(shape)));
    }
    for (const [table, parts] of labels) {
      if (!parts.every((label) => read.has(label))) continue;
      const whole = joined(parts.map((label) => read.get(label)!));
      const names = table.split(" + ");
      const size = whole.length / names.length;
      for (const [i, name] of names.entries()) yield [name, whole.subarray(i * size, (i + 1) * size)];
      for (const label of parts) read.delete(label);
      labels.delete(table);
    }
  }
}

function joined(parts: readonly Float32Array[]): Float32Array {
  if (parts.length === 1) return parts[0]!;
  const whole = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
