/** A small model as a whole: dropout, the same bytes at every run, f16 that overflows, tables that are split. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../../src/runtime/engine.ts";
import { sizeOf } from "../../src/runtime/tensor.ts";
import type { FlatKind } from "../../src/train/flat.ts";
import { readStored, readTensor } from "../../src/train/read.ts";
import { testDevice } from "../device.ts";
import { limitedDevice } from "../runtime/counting.ts";
import { type Small, smallBatch, smallTraining } from "./small.ts";

let engine: Engine;
let f16: boolean;
beforeAll(async () => {
  const { device, adapter, idle } = await testDevice();
  engine = await Engine.create({ device, adapter, idle });
  f16 = device.features.has("shader-f16");
});
afterAll(() => engine.dispose());

/** The parts of one kind, one after the other. */
async function partsOf(own: Engine, { flat }: Small, kind: FlatKind): Promise<Float32Array[]> {
  const all: Float32Array[] = [];
  for (const part of flat.parts) all.push(((await readTensor(own, part[kind]!)) as Float32Array).slice());
  return all;
}

/** By label, tables that are split whole again. */
async function tensorsOf(own: Engine, small: Small, kind: FlatKind): Promise<Map<string, number[]>> {
  const parts = await partsOf(own, small, kind);
  const tensors = new Map<string, number[]>();
  for (const [label, { part, start, shape }] of small.flat.places) {
    const name = label.replace(/ rows \d+\.\.$/, "");
    tensors.set(name, [...(tensors.get(name) ?? []), ...parts[part]!.subarray(start, start + sizeOf(shape))]);
  }
  return tensors;
}

/** The weights by the names of a checkpoint. */
async function storedOf(own: Engine, flat: Small["flat"]): Promise<Map<string, Float32Array>> {
  const tensors = new Map<string, Float32Array>();
  for await (const [name, values] of readStored(own, flat, "weights")) tensors.set(name, values.slice());
  return tensors;
}

const norm = (values: ArrayLike<number>): number => Math.sqrt(Array.from(values).reduce((sum, x) => sum + x * x, 0));
const apart = (a: ArrayLike<number>, b: ArrayLike<number>): number => norm(Array.from(a, (x, i) => x - b[i]!));
const bytesOf = (parts: readonly Float32Array[]): string =>
  parts.map((part) => Buffer.from(part.buffer, part.byteOffset, part.byteLength).toString("base64")).join();

describe.each([[["mlm", "next"]], [["label"]]] as const)("dropout before the loss of %s", (objectives) => {
  test("its gradient is the derivative of the loss with the same draws", async () => {
    const small = await smallTraining(engine, objectives, { dropout: 0.2, learningRate: 0, seed: 11 });
    const { steps, flat } = small;
    const batch = smallBatch(3);
    const draw = 5;
    steps.drawn = draw;
    await steps.gradients(batch);
    const gradients = await partsOf(engine, small, "gradients");
    const weights = await partsOf(engine, small, "weights");
    const lossOf = async (): Promise<number> => {
      steps.drawn = draw;
      return (await (await steps.step([batch])).read()).loss; // its learning rate is 0
    };
    await lossOf(); // the loss of the gradients above is in it
    const whole = await lossOf();
    steps.drawn = draw + 1;
    expect(Math.abs((await (await steps.step([batch])).read()).loss - whole)).toBeGreaterThan(1e-3); // other draws
    const total = Math.hypot(...gradients.map(norm));
    const faults: string[] = [];
    // along each tensor's own gradient the loss rises by the gradient's length
    for (const [label, { part, start, shape }] of flat.places) {
      const own = gradients[part]!.subarray(start, start + sizeOf(shape));
      const length = norm(own);
      if (length < 1e-4 * total) continue; // of attention's keys the bias makes no difference
      const [above, below] = [STEP, -STEP].map((h) => own.map((g, i) => weights[part]![start + i]! + (h * g) / length));
      flat.parts[part]!.weights.write(above!, start);
      const up = await lossOf();
      flat.parts[part]!.weights.write(below!, start);
      const down = await lossOf();
      flat.parts[part]!.weights.write(weights[part]!.slice(start, start + own.length), start);
      const slope = (up - down) / (2 * STEP);
      if (!(Math.abs(slope - length) < 1e-2 * length + NOISE)) faults.push(`${label}: ${slope}, gradient ${length}`);
    }
    expect(faults).toEqual([]);
    expect(await lossOf()).toBe(whole);
    small.dispose();
  });
});

/** Of a weight's norm; a loss of f32 around 6 is off by some 1e-6, and a difference of two over 2 * STEP by `NOISE`. */
const STEP = 0.01;
const NOISE = 2e-4;

test("steps with dropout give the same bytes at every run, and others from another seed", async () => {
  const bytes: string[] = [];
  for (const seed of [1, 1, 2]) {
    const small = await smallTraining(engine, ["mlm", "next", "label"], { dropout: 0.1, learningRate: 1e-3, seed });
    for (let step = 0; step < 5; step++) await small.steps.step([smallBatch(step), smallBatch(step + 50)]);
    const kinds = ["weights", "m", "v"] as const;
    bytes.push((await Promise.all(kinds.map((kind) => partsOf(engine, small, kind)))).map(bytesOf).join());
    small.dispose();
  }
  expect(bytes[0] === bytes[1]).toBe(true);
  expect(bytes[0] === bytes[2]).toBe(false);
});

describe("in f16", () => {
  const objectives = ["mlm", "next"] as const;

  test("a loss scale that overflows halves, step by step, and nothing else moves", async ({ skip }) => {
    if (!f16) skip("no shader-f16");
    const small = await smallTraining(engine, objectives, { dtype: "f16", learningRate: 1e-3, warmupSteps: 2 });
    const kinds = ["weights", "m", "v", "copies"] as const;
    const all = async () => (await Promise.all(kinds.map((kind) => partsOf(engine, small, kind)))).map(bytesOf).join();
    const before = await all();
    small.steps.state.write(new Uint32Array(Float32Array.of(2 ** 22).buffer), 4);
    const batch = smallBatch(1);
    let skipped = 0;
    for (;;) {
      const state = await (await small.steps.step([batch])).read();
      if (state.steps === 1) {
        expect(state).toMatchObject({ skipped, learningRate: 0, lossScale: 2 ** (22 - skipped) });
        expect(Number.isFinite(state.gradNorm)).toBe(true);
        break;
      }
      skipped++;
      expect(state).toMatchObject({ steps: 0, skipped, lossScale: 2 ** (22 - skipped) });
      expect(Number.isFinite(state.loss)).toBe(true);
      expect((await all()) === before).toBe(true);
    }
    expect(skipped).toBeGreaterThan(0);
    expect(await (await small.steps.step([batch])).read()).toMatchObject({ steps: 2, skipped });
    small.dispose();
  });

  test("gradients are those of f32 but for the rounding of what is stored", async ({ skip }) => {
    if (!f16) skip("no shader-f16");
    const scale = 1024;
    const [exact, half] = [
      await smallTraining(engine, objectives, { dropout: 0.1 }),
      await smallTraining(engine, objectives, { dropout: 0.1, dtype: "f16" }),
    ];
    half.steps.state.write(new Uint32Array(Float32Array.of(scale).buffer), 4);
    for (const { steps } of [exact, half]) await steps.gradients(smallBatch(1));
    const [want, got] = [await tensorsOf(engine, exact, "gradients"), await tensorsOf(engine, half, "gradients")];
    const total = Math.hypot(...[...want.values()].map(norm));
    // numbers are stored some forty times between a weight and its gradient, each off by up to 2^-11
    const share = 40 * 2 ** -11;
    for (const [name, values] of want) {
      const own = got.get(name)!.map((x) => x / scale);
      expect(apart(values, own), name).toBeLessThan(share * Math.max(norm(values), share * total));
    }
    exact.dispose();
    half.dispose();
  });
});

describe("tables that one binding does not hold", () => {
  test.each([[["label"]], [["mlm", "next"]]] as const)("are trained alike, for %s", async (objectives) => {
    const { device, adapter, idle } = await testDevice();
    // the word table has 38,400 bytes, queries, keys and values of all tokens 18,048
    const limited = limitedDevice(device, { maxStorageBufferBindingSize: 18432 });
    const narrow = await Engine.create({ device: limited, adapter, idle });
    const engines = [engine, narrow];
    const small = await Promise.all(engines.map((own) => smallTraining(own, objectives, { learningRate: 1e-3 })));
    expect(small.map(({ flat }) => flat.weights.embeddings.word.parts.length)).toEqual([1, 3]);
    const both = (kind: FlatKind) => Promise.all(small.map((own, i) => tensorsOf(engines[i]!, own, kind)));
    const batch = smallBatch(2);
    for (const { steps } of small) await steps.gradients(batch);
    const [want, got] = await both("gradients");
    expect([...got!.keys()].sort()).toEqual([...want!.keys()].sort());
    const total = Math.hypot(...[...want!.values()].map(norm));
    for (const [name, values] of want!) {
      expect(apart(values, got!.get(name)!), name).toBeLessThan(1e-5 * Math.max(norm(values), 1e-2 * total));
    }
    for (let step = 0; step < 3; step++) for (const { steps } of small) await steps.step([batch]);
    const [whole, split] = await both("weights");
    const named = await Promise.all(small.map(({ flat }, i) => storedOf(engines[i]!, flat)));
    expect([...named[1]!.keys()].sort()).toEqual([...named[0]!.keys()].sort());
    for (const [name, values] of named[0]!) {
      if (name.includes("self.key.bias")) continue; // its gradient is noise
      expect(apart(values, named[1]!.get(name)!), name).toBeLessThan(1e-3 * norm(values));
    }
    for (const [name, values] of whole!) {
      if (name.includes("qkv") || name.includes("self.query.bias")) continue; // keys' biases: their gradient is noise
      expect(apart(values, split!.get(name)!), name).toBeLessThan(1e-3 * norm(values));
    }
    for (const own of small) own.dispose();
    narrow.dispose();
  });

  test("are trained alike in f16, which more of a table fits in", async ({ skip }) => {
    if (!f16) skip("no shader-f16");
    const { device, adapter, idle } = await testDevice();
    const limited = limitedDevice(device, { maxStorageBufferBindingSize: 18432 });
    const narrow = await Engine.create({ device: limited, adapter, idle });
    const engines = [engine, narrow];
    const options = { dtype: "f16", learningRate: 1e-3 } as const;
    const small = await Promise.all(engines.map((own) => smallTraining(own, ["mlm", "next"], options)));
    expect(small.map(({ flat }) => flat.weights.embeddings.word.parts.length)).toEqual([1, 3]);
    const batch = smallBatch(2);
    for (const { steps } of small) await steps.gradients(batch);
    const [want, got] = await Promise.all(small.map((own, i) => tensorsOf(engines[i]!, own, "gradients")));
    const total = Math.hypot(...[...want!.values()].map(norm));
    for (const [name, values] of want!) {
      expect(apart(values, got!.get(name)!), name).toBeLessThan(40 * 2 ** -11 * Math.max(norm(values), 1e-2 * total));
    }
    for (const own of small) own.dispose();
    narrow.dispose();
  });
});
