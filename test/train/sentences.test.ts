/** Losses of sentence vectors: against PyTorch's in the fixtures, and batches in chunks against the whole. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../../src/runtime/engine.ts";
import { uniforms } from "../../src/train/initial.ts";
import type { SentenceLossName } from "../../src/train/sentence_losses.ts";
import type { Example } from "../../src/train/step.ts";
import { hasF16, testDevice } from "../device.ts";
import { gradientFindings, valuesOf } from "./agreement.ts";
import { readFixture } from "./fixtures.ts";
import { CONFIG, smallTraining } from "./small.ts";

const ROOT = join(import.meta.dirname, "../../../shared/fixtures/training");
const NAMES = ["mnrl", "mnrl-hard", "matryoshka-mnrl", "cosine", "cosent", "triplet"];
const fixtures = NAMES.map((name) => [name, readFixture(join(ROOT, `embed-${name}`))] as const);
const reason = existsSync(ROOT) ? "" : " (skipped: ../shared/fixtures/training is not there)";

const { device } = await testDevice();
let engine: Engine;
beforeAll(async () => {
  const { device, adapter, idle } = await testDevice();
  engine = await Engine.create({ device, adapter, idle });
});
afterAll(() => engine.dispose());

const DTYPES = [["f32"], ["f16"]] as const;

describe.each(DTYPES)("%s", (dtype) => {
  const lacks = dtype === "f16" && !hasF16(device);
  const wanting = lacks ? " (skipped: the adapter has no shader-f16)" : reason;
  test.skipIf(wanting !== "").each(fixtures)(`the loss and every gradient of %s${wanting}`, async (_, fixture) => {
    let count = 0;
    const faults: string[] = [];
    for await (const { passed, text } of gradientFindings(engine, fixture!, dtype)) {
      count++;
      if (!passed) faults.push(text);
    }
    expect(faults).toEqual([]);
    expect(count).toBeGreaterThan(20);
  });
});

/** Rows of several sequences of unlike lengths, with a number each. */
function rowsOf(count: number, columns: number, seed: number): Example[] {
  const next = uniforms(seed);
  const sequence = () => ({
    inputIds: Array.from({ length: 2 + Math.floor(next() * 9) }, () => 1 + Math.floor(next() * (CONFIG.vocabSize - 1))),
  });
  return Array.from({ length: count }, () => ({
    sequence: sequence(),
    more: Array.from({ length: columns - 1 }, sequence),
    labels: { label: next() },
  }));
}

const norm = (values: ArrayLike<number>): number => Math.sqrt(Array.from(values).reduce((sum, x) => sum + x * x, 0));

const LOSSES: readonly (readonly [SentenceLossName, number, readonly number[] | undefined])[] = [
  ["mnrl", 2, undefined],
  ["mnrl", 3, [32, 12]],
  ["cosent", 2, undefined],
  ["cosine", 2, [20, 8]],
  ["triplet", 3, undefined],
];

describe("a batch in chunks", () => {
  test.each(LOSSES)("%s of %d columns, dimensions %j: is the step of the large batch", async (loss, columns, dims) => {
    const sentence = { matryoshka: dims };
    const batch = rowsOf(7, columns, 3);
    const whole = await smallTraining(engine, [loss], { sentence });
    const parted = await smallTraining(engine, [loss], { sentence, miniBatchSize: 3 });
    for (const { steps } of [whole, parted]) await steps.gradients(batch);
    const want = await valuesOf(engine, whole.flat, "gradients");
    const got = await valuesOf(engine, parted.flat, "gradients");
    const total = Math.hypot(...[...want.values()].map(norm));
    expect(total).toBeGreaterThan(1e-3);
    for (const [name, values] of want) {
      const error = norm(values.map((x, i) => x - got.get(name)![i]!));
      expect(error, name).toBeLessThan(1e-5 * Math.max(norm(values), 1e-2 * total));
    }
    const states = await Promise.all([whole, parted].map(async ({ steps }) => (await steps.step([batch])).read()));
    const [one, other] = await Promise.all(states);
    expect(other!.loss).toBeCloseTo(one!.loss, 5);
    expect(parted.steps.drawn).toBe(6); // three chunks, twice
    for (const own of [whole, parted]) own.dispose();
  });

  // were the draws of a chunk others when it is computed again, the gradient would be of another loss
  test.each(LOSSES)(
    "%s of %d columns, dimensions %j: with dropout, a gradient of its loss",
    async (loss, columns, dims) => {
      const options = { sentence: { matryoshka: dims }, miniBatchSize: 2, dropout: 0.2, learningRate: 0, seed: 5 };
      const { steps, flat, dispose } = await smallTraining(engine, [loss], options);
      const batch = rowsOf(5, columns, 8);
      const lossOf = async (): Promise<number> => {
        steps.drawn = 9;
        return (await (await steps.step([batch])).read()).loss; // its learning rate is 0
      };
      await steps.gradients(batch);
      await lossOf();
      const whole = await lossOf();
      expect(await lossOf()).toBe(whole);
      steps.drawn = 9;
      await steps.gradients(batch);
      const gradients = await valuesOf(engine, flat, "gradients");
      const weights = await valuesOf(engine, flat, "weights");
      await lossOf();
      const length = Math.hypot(...[...gradients.values()].map(norm));
      const at = async (distance: number): Promise<number> => {
        for (const [label, { part, start }] of flat.places) {
          let from = start;
          for (const name of label.split(" + ")) {
            const [own, toward] = [weights.get(name)!, gradients.get(name)!];
            flat.parts[part]!.weights.write(
              own.map((weight, i) => weight + (distance * toward[i]!) / length),
              from,
            );
            from += own.length;
          }
        }
        return lossOf();
      };
      // long enough for f32's noise, short enough for the curvature
      const step = 0.02 / Math.sqrt(Math.max(1, length));
      const slope = ((await at(step)) - (await at(-step))) / (2 * step);
      expect(Math.abs(slope / length - 1)).toBeLessThan(0.02);
      dispose();
    },
  );

  test("draws others for every chunk", async () => {
    const { steps, dispose } = await smallTraining(engine, ["mnrl"], { miniBatchSize: 1, dropout: 0.2 });
    const [row] = rowsOf(1, 2, 4);
    // were they the same, the equal chunks would have equal vectors, and all candidates equal scores
    const batch = Array.from({ length: 4 }, () => row!);
    const { loss } = await (await steps.step([batch])).read();
    expect(Math.abs(loss - Math.log(4))).toBeGreaterThan(1e-3);
    dispose();
  });

  test("takes a smaller batch after a larger one, and memory for the largest", async () => {
    const { steps, dispose } = await smallTraining(engine, ["mnrl"], { miniBatchSize: 2 });
    const before = steps.bytes;
    await steps.runBytes(rowsOf(5, 2, 1));
    expect(steps.cacheBytes).toBeGreaterThanOrEqual(2 * 10 * CONFIG.hiddenSize * 4);
    const { cacheBytes } = steps;
    for (const count of [3, 5, 2, 4]) await (await steps.step([rowsOf(count, 2, count)])).read();
    expect([steps.cacheBytes, steps.bytes]).toEqual([cacheBytes, before]);
    await steps.step([rowsOf(9, 3, 1)]);
    expect(steps.cacheBytes).toBeGreaterThan(cacheBytes);
    dispose();
  });
});

describe("refuses", () => {
  const refused = async (loss: SentenceLossName | "label", examples: readonly Example[]): Promise<unknown> => {
    const { steps, dispose } = await smallTraining(engine, [loss]);
    try {
      return await steps.step([examples]).then(
        () => "taken",
        (error: Error) => `${error.name}: ${error.message}`,
      );
    } finally {
      dispose();
    }
  };

  test("numbers of sequences that a loss does not take, and numbers that are none", async () => {
    expect(await refused("mnrl", rowsOf(2, 1, 1))).toMatch(/^RangeError: mnrl takes an anchor, a positive/);
    expect(await refused("cosent", rowsOf(2, 3, 1))).toMatch(/^RangeError: cosent takes two sequences/);
    expect(await refused("triplet", rowsOf(2, 2, 1))).toMatch(/^RangeError: triplet takes an anchor, a positive and/);
    expect(await refused("label", rowsOf(2, 2, 1))).toBe(
      "RangeError: label takes one sequence of an example; example 0 has 1 more",
    );
    expect(await refused("mnrl", [...rowsOf(2, 3, 1), ...rowsOf(1, 2, 1)])).toBe(
      "RangeError: example 2 has 1 more sequences, example 0 has 2",
    );
    const unlabelled = rowsOf(2, 2, 1).map((example) => ({ ...example, labels: {} }));
    expect(await refused("cosine", unlabelled)).toBe(
      "RangeError: row 0: label is undefined, it must be a finite number",
    );
  });

  test("settings that make no sense, all at once", async () => {
    const sentence = { scale: 0, margin: Number.NaN, matryoshka: [64, 8, 8] };
    await expect(smallTraining(engine, ["mnrl"], { sentence })).rejects.toThrow(
      "scale is 0, it must be a number above 0; margin is NaN, it must be a number above 0; " +
        "matryoshka is [64,8,8], it must be numbers of dimensions, each once; matryoshka has 64, the vectors have 32 dimensions",
    );
  });
});
