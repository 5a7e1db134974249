/** The weights of a base with an adapter merged into them, W + factor * B A, tensor by tensor as they are read. */

import type { Checkpoint, ElementRange } from "../files/checkpoint.ts";
import type { ScalarArray, TargetDType } from "../files/dtype.ts";
import { numbersToFloat16 } from "../files/float16.ts";
import type { WritableTensors } from "../files/safetensors_writer.ts";
import { type AdapterFile, unlikeBase } from "./adapter_file.ts";

type Written = WritableTensors["tensors"] extends ReadonlyMap<string, infer Tensor> ? Tensor : never;

interface LowRankValues {
  readonly a: Float32Array;
  readonly b: Float32Array;
}

/** Elements of a slice. */
const SLICE = 1_048_576;

/**
 * What is adapted is written as F32, or as F16 where the base has that; what the adapter has whole stands in place of the
 * base's, or beside it.
 * @throws ModelError for layers that the base has not, and for other shapes
 */
export function mergedTensors(base: Checkpoint, adapter: AdapterFile): WritableTensors {
  const { low, whole, factor, rank, checkpoint } = adapter;
  const ours = new Map([...base.tensors.keys()].map((own) => [own.replace(/^bert\./, ""), own]));
  const tensors = new Map<string, Written>();
  const sources = new Map<string, { whole: string } | { a: string; b: string; inputs: number }>();
  const faults: string[] = [];
  for (const [module, { a, b, inputs, outputs }] of low) {
    const found = ours.get(`${module}.weight`);
    const shape = found === undefined ? "" : base.tensors.get(found)!.shape.join(", ");
    if (shape !== `${outputs}, ${inputs}`) {
      const there = shape ? `the base has [${shape}]: is it of another base?` : "the base has no such layer";
      faults.push(`${module} is adapted as [${outputs}, ${inputs}], ${there}`);
      continue;
    }
    const stored = base.tensors.get(found!)!;
    tensors.set(found!, { ...stored, dtype: stored.dtype === "F16" ? "F16" : "F32" });
    sources.set(found!, { a, b, inputs });
  }
  for (const [own, stored] of whole) {
    const called = ours.get(own) ?? stored.replace(/^base_model\.model\./, "").replace(".modules_to_save.", ".");
    const { shape, elements } = checkpoint.tensors.get(stored)!;
    tensors.set(called, { name: called, dtype: "F32", shape, elements });
    sources.set(called, { whole: stored });
  }
  if (faults.length > 0) throw unlikeBase(adapter, faults);

  let held: readonly [string, Promise<LowRankValues>] | undefined;
  const lowOf = (called: string, a: string, b: string): Promise<LowRankValues> => {
    if (held?.[0] !== called) {
      const both = Promise.all([checkpoint.readFloats(a), checkpoint.readFloats(b)]);
      held = [called, both.then(([a, b]) => ({ a, b }))];
    }
    return held![1];
  };
  const floats = async (called: string, range: ElementRange): Promise<Float32Array<ArrayBuffer>> => {
    const source = sources.get(called)!;
    if ("whole" in source) return checkpoint.readFloats(source.whole, range);
    const values = (await base.readFloats(called, range)).slice();
    const { a, b } = await lowOf(called, source.a, source.b);
    const { offset = 0 } = range;
    for (let i = 0; i < values.length; i++) {
      const [row, col] = [Math.floor((offset + i) / source.inputs), (offset + i) % source.inputs];
      let sum = 0;
      for (let k = 0; k < rank; k++) sum += b[row * rank + k]! * a[k * source.inputs + col]!;
      values[i]! += factor * sum;
    }
    return values;
  };
  const as = (values: Float32Array<ArrayBuffer>, type: TargetDType): ScalarArray =>
    type === "f16" ? numbersToFloat16(values) : values;
  return {
    name: base.name,
    tensors: new Map<string, Written>([...base.tensors, ...tensors]),
    async read(called, range = {}) {
      const own = tensors.get(called);
      return own ? as(await floats(called, range), own.dtype === "F16" ? "f16" : "f32") : base.read(called, range);
    },
    async *chunks(called, target, maxBytes) {
      const own = tensors.get(called);
      if (!own) {
        yield* base.chunks(called, target, maxBytes);
        return;
      }
      for (let offset = 0; offset < own.elements; offset += SLICE) {
        yield as(await floats(called, { offset, count: Math.min(SLICE, own.elements - offset) }), target);
      }
    },
  };
}
