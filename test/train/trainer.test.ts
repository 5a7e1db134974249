/** Runs of training: that they learn, stop, and go on to the bit as if they had not stopped. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { requestDevice } from "../../src/node/device.ts";
import { Engine } from "../../src/runtime/engine.ts";
import type { Evaluation } from "../../src/train/evaluation.ts";
import { type TrainerEvent, TrainingError } from "../../src/train/events.ts";
import { uniforms } from "../../src/train/initial.ts";
import type { TrainerOptions, TrainingData } from "../../src/train/options.ts";
import type { Example } from "../../src/train/step.ts";
import { memoryStore } from "../../src/train/store.ts";
import { Trainer, type TrainerParts } from "../../src/train/trainer.ts";
import { hasF16, testDevice } from "../device.ts";
import { filesOf, folderOf, type Task, textIn, tinyData, tinyFolder } from "./tiny.ts";

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

function expectSame(got: Record<string, Uint8Array>, want: Record<string, Uint8Array>): void {
  expect(Object.keys(got)).toEqual(Object.keys(want));
  const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);
  expect(text(got["trainer_state.json"])).toBe(text(want["trainer_state.json"])); // shows in what they differ
  for (const [file, bytes] of Object.entries(got)) expect(Buffer.compare(bytes, want[file]!), file).toBe(0);
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
    ["tags, told over checkpoints", "tags", { objectives: ["tags"], maxSteps: 8, loggingSteps: 4 }],
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
    expectSame(got, want);
    last.dispose();
  });
});

describe("a checkpoint", () => {
  test("is refused for another run, with all that is different, and when it is damaged", async () => {
    const store = memoryStore();
    const trainer = await make({ maxSteps: 2 }, { store });
    expect(await trainer.restore()).toBeUndefined();
    await runTo(trainer, 1);
    const files = await filesOf(trainer.snapshot());
    const other = await make({ maxSteps: 2, learningRate: 1e-3, seed: 8 }, { store });
    await trainer.save();
    await expect(other.restore()).rejects.toThrow(
      /memory\/checkpoint-\d is of another run; go on with what that began with: seed was 7, it is 8; learningRate was 0.003, it is 0.001/,
    );
    expect(other.step).toBe(0);
    const { "optimizer.safetensors": _, ...less } = files;
    await expect(trainer.restore(folderOf(less, "less"))).rejects.toThrow("less: optimizer.safetensors is not there");
    const state = JSON.parse(new TextDecoder().decode(files["trainer_state.json"]));
    const kernels = { ...state.bert_webgpu.decisions.kernels, tuning: { wide: {} } };
    const tuned = {
      ...state,
      bert_webgpu: { ...state.bert_webgpu, decisions: { ...state.bert_webgpu.decisions, kernels } },
    };
    const altered = folderOf({ ...files, "trainer_state.json": JSON.stringify(tuned) });
    await expect(trainer.restore(altered)).rejects.toThrow(
      "tiny is of another run; go on with what that began with: kernels was",
    );
    trainer.dispose();
    other.dispose();
  });

  test("is refused with another evaluation or metric, by which steps were judged", async () => {
    const evaluation = async () => ({ accuracy: 0.5, loss: 1 });
    const store = memoryStore();
    const trainer = await make(
      { maxSteps: 2, metric: "accuracy" },
      { store, evaluation, evaluationFingerprint: "dev" },
    );
    await runTo(trainer, 1);
    await trainer.save();
    const other = await make({ maxSteps: 2, metric: "loss" }, { store, evaluation, evaluationFingerprint: "test" });
    await expect(other.restore()).rejects.toThrow(
      /is of another run; go on with what that began with: evaluation was "dev", it is "test"; metric was "accuracy", it is "loss"$/,
    );
    trainer.dispose();
    other.dispose();
  });

  test("has Hugging Face's fields", async () => {
    const store = memoryStore();
    const evaluation = async () => ({ accuracy: 0.5 });
    const trainer = await make({ saveSteps: 3 }, { store, evaluation });
    await eventsOf(trainer);
    expect((await store.list()).toSorted()).toEqual(["checkpoint-10", "checkpoint-3", "checkpoint-6", "checkpoint-9"]);
    const state = JSON.parse(await textIn(store, "checkpoint-6", "trainer_state.json"));
    expect(state).toMatchObject({ global_step: 6, epoch: 1.2, max_steps: 10, num_train_epochs: 2, save_steps: 3 });
    expect(state).toMatchObject({
      train_batch_size: 8,
      logging_steps: 1,
      best_metric: null,
      is_world_process_zero: true,
    });
    expect(state.log_history.map((row: object) => Object.keys(row).join())).toEqual([
      ...Array(5).fill("epoch,grad_norm,learning_rate,loss,step"),
      "epoch,step,eval_accuracy",
      "epoch,grad_norm,learning_rate,loss,step",
    ]);
    trainer.dispose();
  });
});

describe("evaluations", () => {
  test("see the weights as they are; the best is kept, and none better ends the run", async () => {
    const store = memoryStore();
    const values = [0.5, 0.7, 0.7, 0.6, 0.9];
    const logits: number[] = [];
    const evaluation: Evaluation = async (forward) => {
      const { logits: out } = await forward([{ inputIds: [1, 5, 9] }], { logits: true });
      logits.push(out.data[0]!);
      await expect(forward([{ inputIds: [1] }], { spanLogits: true })).rejects.toThrow("trained are classifier");
      return { accuracy: values[logits.length - 1]! };
    };
    const options = { metric: "accuracy", earlyStopping: 2, saveLimit: 1, saveSteps: 1, evalSteps: 1 };
    const trainer = await make(options, { store, evaluation });
    const events = await eventsOf(trainer);
    expect(events.flatMap((event) => (event.kind === "evaluation" ? event.best : []))).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(trainer.step).toBe(4);
    expect(new Set(logits).size).toBeGreaterThan(2);
    expect(trainer.best).toEqual({ step: 2, metric: 0.7, checkpoint: "checkpoint-2" });
    expect((await store.list()).toSorted()).toEqual(["checkpoint-2", "checkpoint-4"]);
    await trainer.restore("checkpoint-2");
    expect(trainer.step).toBe(2);
    trainer.dispose();
  });
});

describe("gone on with", () => {
  test("from any of its checkpoints, a run ends with the same evaluations, the same best and the same weights", async () => {
    const store = memoryStore();
    const evaluation: Evaluation = async (forward) => {
      const { logits } = await forward([{ inputIds: [1, 5, 9] }, { inputIds: [2, 7] }], { logits: true });
      return { difference: logits.data[0]! - logits.data[1]! };
    };
    const options = { saveSteps: 1, metric: "difference" }; // evaluated after each epoch: after the last step as well
    const whole = await make(options, { store, evaluation }, 16);
    const events = await eventsOf(whole);
    const kinds = events.flatMap(({ kind, step }) => (kind === "step" ? [] : `${kind} ${step}`));
    expect(kinds.slice(-3)).toEqual(["saved 3", "evaluation 4", "saved 4"]);
    const want = await filesOf(whole.snapshot());
    whole.dispose();
    for (const name of await store.list()) {
      const trainer = await make(options, { store, evaluation }, 16);
      await trainer.restore(name);
      await eventsOf(trainer);
      expectSame(await filesOf(trainer.snapshot()), want);
      trainer.dispose();
    }
  });

  test("a run removes the checkpoints that it had no time to remove, not the one that it went on from", async () => {
    const store = memoryStore();
    const first = await make({ saveSteps: 1, maxSteps: 4 }, { store });
    await eventsOf(first);
    first.dispose();
    const second = await make({ saveSteps: 1, saveLimit: 2, maxSteps: 4 }, { store });
    expect(await second.restore()).toBe("checkpoint-4");
    await eventsOf(second);
    expect((await store.list()).toSorted()).toEqual(["checkpoint-3", "checkpoint-4"]);
    await second.restore("checkpoint-3");
    await second.save();
    expect((await store.list()).toSorted()).toEqual(["checkpoint-3", "checkpoint-4"]);
    second.dispose();
    const third = await make({ saveSteps: 1, saveLimit: 1, maxSteps: 4 }, { store });
    await third.restore("checkpoint-3");
    expect(await third.save()).toBe("checkpoint-3"); // though another one has a higher number
    expect((await store.list()).toSorted()).toEqual(["checkpoint-3", "checkpoint-4"]);
    third.dispose();
  });
});

describe("a run that fails", () => {
  test("for a loss that is not finite says so, and leaves the last checkpoint", async () => {
    const store = memoryStore();
    const { epoch } = tinyData(40);
    let poisoned = false;
    const evaluation: Evaluation = async () => {
      poisoned = true;
      return {};
    };
    // a learning rate without bounds makes weights that overflow
    const data = { epoch };
    const folder = tinyFolder();
    const wild = { ...OPTIONS, objectives: ["label"] as const, learningRate: 1e30, warmupSteps: 1, maxGradNorm: 0 };
    const trainer = await Trainer.create(
      engine,
      folder,
      data,
      { ...wild, saveSteps: 1, evalSteps: 1 },
      { store, evaluation },
    );
    const error = await eventsOf(trainer).catch((error) => error);
    expect(poisoned).toBe(true);
    expect(error).toBeInstanceOf(TrainingError);
    expect(error.message).toMatch(/^step \d+: the (loss|gradient) is .*; go on from checkpoint-\d+$/);
    expect(await store.list()).toContain(error.checkpoint);
    expect(Number(error.checkpoint.slice(11))).toBe(error.step - 1);
    await expect(eventsOf(trainer)).rejects.toBe(error);
    await expect(trainer.save()).rejects.toBe(error);
    trainer.dispose();
  });

  test("for a label is of use when the label is mended", async () => {
    const examples = [...(tinyData(16).epoch(0) as Iterable<Example>)];
    let label = 2;
    const data: TrainingData = {
      epoch: () => examples.map((example, i) => (i === 12 ? { ...example, labels: { label } } : example)),
    };
    const trainer = await Trainer.create(engine, tinyFolder(), data, { ...OPTIONS, epochs: 1 });
    await expect(eventsOf(trainer)).rejects.toThrow("sequence 4: label is 2, it must be a class from 0 to 1, or -100");
    expect(trainer.step).toBe(1);
    label = 1;
    await eventsOf(trainer);
    expect(trainer.step).toBe(2);
    trainer.dispose();
  });

  test("for a lost device names the last checkpoint, from which another device goes on", async () => {
    const store = memoryStore();
    const open = () => requestDevice({ adapter: process.env.BERT_WEBGPU_ADAPTER || "auto" });
    const own = await Engine.create({ open });
    const begin = () =>
      Trainer.create(own, tinyFolder(), tinyData(40), { ...OPTIONS, maxSteps: 4, saveSteps: 2 }, { store });
    const trainer = await begin();
    const run = async () => {
      for await (const event of trainer.run()) if (event.kind === "saved") own.device.destroy();
    };
    const error = await run().catch((error) => error);
    expect(error).toBeInstanceOf(TrainingError);
    expect(error.message).toMatch(/the GPU device was lost.*; go on from checkpoint-2$/);
    trainer.dispose();
    const next = await begin();
    expect(await next.restore()).toBe("checkpoint-2");
    await eventsOf(next);
    expect(next.step).toBe(4);
    own.dispose();
  });
});

describe("memory", () => {
  const cases: readonly (readonly [string, Task, Partial<TrainerOptions>])[] = [
    ["a classifier", "label", {}],
    ["masked LM", "mlm", { objectives: ["mlm"] }],
    ["a classifier in f16", "label", { dtype: "f16" }],
    ["masked LM in f16", "mlm", { objectives: ["mlm"], dtype: "f16" }],
  ];
  test.for(cases)("of %s is what is alive, more than the limit is refused", async ([, task, options], { skip }) => {
    if (options.dtype === "f16" && !f16) skip("this adapter has no f16");
    const { device, adapter, idle } = await testDevice();
    const own = await Engine.create({ device, adapter, idle });
    const create = (more: Partial<TrainerOptions>) =>
      Trainer.create(own, tinyFolder(), tinyData(24, task), { ...OPTIONS, epochs: 1, ...options, ...more });
    const trainer = await create({});
    const parts = await trainer.memory();
    const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
    const copies = options.dtype === "f16" ? ["weights in f16"] : [];
    expect(parts.map(({ what }) => what)).toEqual([
      ...["weights", "gradients", "moments", ...copies, "optimizer", "a step"],
    ]);
    await eventsOf(trainer);
    expect(trainer.step).toBeGreaterThan(1);
    expect(own.memoryUse.bytes).toBe(bytes);
    trainer.dispose();
    await expect(create({ memoryLimit: bytes - 1 })).rejects.toThrow(
      new RegExp(`^training takes ${bytes} bytes .*, memoryLimit is ${bytes - 1}; use smaller batches`),
    );
    own.dispose();
  });
});

test("options that make no sense are refused, all in one message", async () => {
  await expect(make({ batchTokens: 8, epochs: 0.5, earlyStopping: 1 })).rejects.toThrow(
    "epochs is 0.5, it must be an integer from 0; batchTokens and batchSize are both given: choose one; earlyStopping needs a metric",
  );
  await expect(make({ objectives: ["mlm", "tags"] })).rejects.toThrow('objectives ["mlm","tags"]: there are mlm, next');
  await expect(make({ learnRate: 1 } as object)).rejects.toThrow('no option "learnRate"');
  await expect(make({}, {}, 0)).rejects.toThrow("the data has no examples");
});
