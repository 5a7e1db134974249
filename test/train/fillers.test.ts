/** Batches of many shapes share programs, and what fills them up is not learnt. */

import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { Engine } from "../../src/runtime/engine.ts";
import { fillersFor } from "../../src/train/fillers.ts";
import { uniforms } from "../../src/train/initial.ts";
import type { ObjectiveName } from "../../src/train/objectives.ts";
import { readTensor } from "../../src/train/read.ts";
import { rowFillers } from "../../src/train/sentence_rows.ts";
import type { Example } from "../../src/train/step.ts";
import { testDevice } from "../device.ts";
import { valuesOf } from "./agreement.ts";
import { smallTraining } from "./small.ts";

let engine: Engine;
beforeAll(async () => {
  const { device, adapter, idle } = await testDevice();
  engine = await Engine.create({ device, adapter, idle });
});
afterAll(() => engine.dispose());

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const lengthsOf = (lengths: readonly number[], longest: number): number[] =>
  fillersFor(lengths, longest).map(({ inputIds }) => inputIds.length);

describe("fillers", () => {
  test("bring batches of 8 to few shapes, of at most an eighth more tokens", () => {
    const shapes = new Set<string>();
    const next = uniforms(1);
    for (let i = 0; i < 1000; i++) {
      const lengths = Array.from({ length: 8 }, () => 8 + Math.floor(next() * 120));
      const fill = lengthsOf(lengths, 128);
      const [before, after] = [sum(lengths), sum(lengths) + sum(fill)];
      expect(after).toBeLessThanOrEqual(Math.ceil((before * 9) / 8) + 1);
      expect(fill.length).toBeLessThanOrEqual(2);
      expect(Math.min(1, ...fill)).toBe(1);
      shapes.add(`${after} ${8 + fill.length}`);
    }
    expect(shapes.size).toBeLessThan(32);
  });

  test("are none where the shape is one of the few, and none is longer than the model takes", () => {
    expect(lengthsOf(Array(8).fill(128), 512)).toEqual([]);
    expect(lengthsOf([1], 512)).toEqual([]);
    const next = uniforms(2);
    for (let i = 0; i < 1000; i++) {
      const longest = 1 + Math.floor(next() * 100);
      const lengths = Array.from({ length: 1 + Math.floor(next() * 40) }, () => 1 + Math.floor(next() * longest));
      const fill = lengthsOf(lengths, longest);
      expect(Math.max(1, ...fill)).toBeLessThanOrEqual(longest);
      expect(Math.min(1, ...fill)).toBe(1);
    }
  });
});

/** 128 tokens in 8 sequences, a shape that needs no fillers; the first alone, and the others, do. */
const LENGTHS = [17, 19, 16, 16, 15, 13, 20, 12];

function examples(numbers: boolean): Example[] {
  return LENGTHS.map((length, s) => {
    const inputIds = Array.from({ length }, (_, i) => (s * 31 + i * 7) % 300);
    const [words, tags] = [inputIds.map((id, i) => (i % 3 === 0 ? id : -100)), inputIds.map((id) => id % 3)];
    const label = numbers ? [0, 1, s % 2] : s % 3;
    return { sequence: { inputIds }, labels: { words, tags, next: s % 2, start: s % 5, end: 5, label } };
  });
}

test.each<[ObjectiveName[]]>([[["mlm", "next"]], [["label"]], [["labels"]], [["number"]], [["tags"]], [["span"]]])(
  "nothing of them is learnt with %s",
  async (objectives) => {
    const batch = examples(objectives.includes("labels") || objectives.includes("number"));
    const [first, ...others] = batch;
    const filled = (batch: readonly Example[]): number =>
      fillersFor(
        batch.map(({ sequence }) => sequence.inputIds.length),
        24,
      ).length;
    expect([batch, [first!], others].map(filled)).toEqual([0, 1, 1]);
    const after: { loss: number; gradNorm: number; weights: Float32Array }[] = [];
    for (const batches of [[batch], [[first!], others]]) {
      const { steps, flat, dispose } = await smallTraining(engine, objectives, { learningRate: 1e-3 });
      const { loss, gradNorm } = await (await steps.step(batches)).read();
      after.push({ loss, gradNorm, weights: (await readTensor(engine, flat.parts[0]!.m)) as Float32Array });
      dispose();
    }
    const [whole, parted] = after as [(typeof after)[0], (typeof after)[0]];
    expect(Math.abs(parted.loss - whole.loss)).toBeLessThan(1e-5 * whole.loss);
    expect(Math.abs(parted.gradNorm - whole.gradNorm)).toBeLessThan(1e-5 * whole.gradNorm);
    const apart = parted.weights.map((value, i) => Math.abs(value - whole.weights[i]!));
    expect(Math.max(...apart)).toBeLessThan(1e-5 * Math.max(...whole.weights.map(Math.abs)));
  },
);

describe("of sentences", () => {
  const next = uniforms(5);
  const sequence = (length = 2 + Math.floor(next() * 9)) => ({
    inputIds: Array.from({ length }, () => 1 + Math.floor(next() * 299)),
  });
  const rowsOf = (rows: number, columns: number): Example[] =>
    Array.from({ length: rows }, () => ({
      sequence: sequence(),
      more: Array.from({ length: columns - 1 }, () => sequence()),
      labels: { label: next() },
    }));
  const LOSSES = [
    ["mnrl", 2, {}],
    ["mnrl", 3, { matryoshka: [32, 12] }],
    ["cosent", 2, {}],
    ["cosine", 2, { pooling: "max" }],
    ["triplet", 3, { pooling: "cls" }],
  ] as const;

  // chunks are of other shapes, and the loss of their vectors is recorded for the rows that there are
  test.each(LOSSES)("17 rows: nothing of them is learnt with %s of %d columns, %j", async (loss, columns, sentence) => {
    const [batch, before] = [rowsOf(17, columns), rowsOf(18, columns)];
    const lengths = batch.flatMap(({ sequence, more }) => [sequence, ...more!].map(({ inputIds }) => inputIds.length));
    const fill = rowFillers(lengths, 17, 24);
    expect(fill.length).toBeGreaterThanOrEqual(columns);
    const found: { loss: number; gradients: Map<string, Float32Array> }[] = [];
    for (const miniBatchSize of [undefined, 16]) {
      const { steps, flat, dispose } = await smallTraining(engine, [loss], { sentence, miniBatchSize });
      await steps.step([before]); // what it leaves behind is not to be seen
      await steps.gradients(batch);
      const gradients = await valuesOf(engine, flat, "gradients");
      found.push({ loss: (await (await steps.step([batch])).read()).loss, gradients });
      dispose();
    }
    const [one, other] = found as [(typeof found)[0], (typeof found)[0]];
    expect(Math.abs(other.loss - one.loss)).toBeLessThan(1e-5 * one.loss);
    const norm = (values: ArrayLike<number>): number => Math.hypot(...Array.from(values));
    const total = Math.hypot(...[...one.gradients.values()].map(norm));
    for (const [name, values] of one.gradients) {
      const error = norm(values.map((value, i) => value - other.gradients.get(name)![i]!));
      expect(error, name).toBeLessThan(1e-5 * Math.max(norm(values), 1e-2 * total));
    }
  });

  test.each(LOSSES)("ragged batches record few programs, %s of %d columns, %j", async (loss, columns, sentence) => {
    const record = vi.spyOn(engine, "record");
    const recorded: number[] = [];
    for (const miniBatchSize of [undefined, 16]) {
      const { steps, dispose } = await smallTraining(engine, [loss], { sentence, miniBatchSize });
      record.mockClear();
      for (let step = 0; step < 24; step++) await steps.step([rowsOf(miniBatchSize ? 32 : 33 + (step % 4), columns)]);
      recorded.push(record.mock.calls.length);
      dispose();
    }
    record.mockRestore();
    expect(recorded[0]).toBeLessThan(12); // of 24
    expect(recorded[1]).toBeLessThan(24); // of 97: two for each chunk
  });
});

test("a run over batches of many shapes records few programs", async () => {
  const { steps, dispose } = await smallTraining(engine, ["label"]);
  const record = vi.spyOn(engine, "record");
  const next = uniforms(3);
  for (let step = 0; step < 40; step++) {
    const batch = Array.from({ length: 4 }, () => ({
      sequence: { inputIds: new Uint32Array(12 + Math.floor(next() * 12)).fill(5) },
      labels: { label: 1 },
    }));
    await steps.step([batch]);
  }
  expect(record.mock.calls.length).toBeLessThan(10);
  record.mockRestore();
  dispose();
});
