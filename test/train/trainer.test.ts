/** Runs of training: that they learn, stop, and go on to the bit as if they had not stopped. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../../src/runtime/engine.ts";
import { uniforms } from "../../src/train/initial.ts";
import type { TrainerOptions } from "../../src/train/options.ts";
import { memoryStore } from "../../src/train/store.ts";
import { Trainer, type TrainerEvent, type TrainerParts } from "../../src/train/trainer.ts";
import { hasF16, testDevice } from "../device.ts";
import { filesOf, type Task, tinyData, tinyFolder } from "./tiny.ts";

let engine: Engine;
let f16 = false;
beforeAll(async () => {
  const { device, adapter, idle } = await testDevice();
  f16 = hasF16(device);
  engine = await Engine.create({ device, adapter, idle });
});
afterAll(() => engine.dispose());

const OPTIONS: TrainerOptions = {
  ...{ objectives: ["label"], labels: ["LOW", "HIGH"], fromScratch: true, seed: 7, loggingSteps: 1 },
  ...{ learningRate: 3e-3, warmupSteps: 0.2, epochs: 2, batchSize: 8 },
};

const make = (options: Partial<TrainerOptions> = {}, parts: TrainerParts = {}, count = 40, task: Task = "label") =>
  Trainer.create(engine, tinyFolder(), tinyData(count, task), { ...OPTIONS, ...options }, parts);

async function eventsOf(trainer: Trainer, signal?: AbortSignal): Promise<TrainerEvent[]> {
  const events: TrainerEvent[] = [];
  for await (const event of trainer.run({ signal })) events.push(event);
  return events;
}

/** Takes steps until `at` are taken. */
async function runTo(trainer: Trainer, at: number): Promise<void> {
  const controller = new AbortController();
  for await (const event of trainer.run({ signal: controller.signal })) {
    if (event.kind === "step" && trainer.step >= at) controller.abort();
  }
}

describe("a run", () => {
  test("learns, and tells of each step", async () => {
    const trainer = await make({ epochs: 6, batchSize: undefined, batchTokens: 96, warmupSteps: 3 }, {}, 60);
    const events = await eventsOf(trainer);
    const steps = events.filter((event) => event.kind === "step");
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: trainer.totalSteps }, (_, i) => i + 1));
    expect(steps[0]!.learningRate).toBe(0);
    expect(steps[3]!.learningRate).toBeCloseTo(3e-3, 6);
    expect(steps.at(-1)).toMatchObject({ epoch: 6, skipped: 0, lossScale: 1 });
    expect(steps[0]!.loss).toBeGreaterThan(0.6);
    expect(steps.at(-1)!.loss).toBeLessThan(0.35);
    expect(trainer.finished).toBe(true);
    trainer.dispose();
  });
});

describe("an interrupted run ends with the weights of one that was not, byte for byte", () => {
  const cases: readonly (readonly [string, Task, Partial<TrainerOptions>])[] = [
    ["labels, batches of 8", "label", {}],
    ["labels, by tokens, accumulated", "label", { batchSize: undefined, batchTokens: 48, gradientAccumulation: 3 }],
    ["masked LM, accumulated", "mlm", { objectives: ["mlm"], gradientAccumulation: 2, maxSteps: 9, batchSize: 4 }],
    ["tags", "tags", { objectives: ["tags"], maxSteps: 7 }],
    ["spans in f16", "span", { objectives: ["span"], dtype: "f16", maxSteps: 7, gradientAccumulation: 2 }],
    ["labels in f16, by tokens", "label", { dtype: "f16", batchSize: undefined, batchTokens: 64 }],
  ];
  test.for(cases)("%s", async ([name, task, options], { skip }) => {
    if (options.dtype === "f16" && !f16) skip("this adapter has no f16");
    const whole = await make(options, {}, 40, task);
    await eventsOf(whole);
    const want = await filesOf(whole.snapshot());
    const steps = whole.step;
    expect(steps).toBe(whole.totalSteps);
    whole.dispose();
    const random = uniforms(name.length);
    const store = memoryStore();
    for (let stop = 1; stop < steps; stop += 1 + Math.floor(random() * 3)) {
      const trainer = await make(options, { store }, 40, task);
      await trainer.restore();
      await runTo(trainer, stop);
      await trainer.save();
      trainer.dispose();
    }
    const last = await make({ ...options }, { store }, 40, task);
    expect(await last.restore()).toMatch(/^checkpoint-\d+$/);
    await eventsOf(last);
    const got = await filesOf(last.snapshot());
    for (const file of ["model.safetensors", "optimizer.safetensors"]) {
      expect(Buffer.compare(Buffer.from(got[file]!), Buffer.from(want[file]!)), file).toBe(0);
    }
    last.dispose();
  });
});
