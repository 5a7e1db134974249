/** Gradients and steps against PyTorch's, of the fixtures of training where they are there. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../../src/runtime/engine.ts";
import { initialWeights } from "../../src/train/initial.ts";
import { readStored } from "../../src/train/read.ts";
import { type OptimizerOptions, TrainingSteps } from "../../src/train/step.ts";
import { testDevice } from "../device.ts";
import { checkpointOf, examplesOf, type Fixture, readFixture, tensorsIn } from "./fixtures.ts";

const ROOT = join(import.meta.dirname, "../../../shared/fixtures/training");
const NAMES = [
  "masked-lm",
  "pretraining",
  "nsp-relu",
  "seqcls",
  "seqcls-multilabel",
  "seqcls-regression",
  "tokcls",
  "qa",
];
const NO_DROPOUT = { hidden: 0, attention: 0, classifier: 0 };

const fixtures = NAMES.map((name) => [name, readFixture(join(ROOT, name))] as const);
const reason = existsSync(ROOT) ? "" : " (skipped: ../shared/fixtures/training is not there)";

let engine: Engine;
beforeAll(async () => {
  const { device, adapter, idle } = await testDevice();
  engine = await Engine.create({ device, adapter, idle });
});
afterAll(() => engine.dispose());

async function stepsOf({ folder, config, heads, objectives }: Fixture, options: Partial<OptimizerOptions> = {}) {
  const checkpoint = await checkpointOf(folder);
  const { flat, random } = await initialWeights(engine, config, heads, "f32", checkpoint);
  await checkpoint.close();
  expect(random).toEqual([]);
  const model = { config, dtype: "f32", weights: flat.weights, dropout: NO_DROPOUT } as const;
  const steps = await TrainingSteps.create(engine, model, flat, objectives, { totalSteps: 10, ...options });
  return { steps, flat };
}

const ourName = (name: string): string => name.replace(/^bert\./, "");

function norm(values: Float32Array): number {
  return Math.hypot(...values);
}

describe.each(fixtures)(`%s${reason}`, (_, fixture) => {
  test.skipIf(!fixture)("every parameter's gradient", async () => {
    const { expected, objectives, folder } = fixture!;
    const { steps, flat } = await stepsOf(fixture!);
    await steps.gradients(examplesOf(expected.inputs, objectives));
    const got = new Map<string, Float32Array>();
    for await (const [name, values] of readStored(engine, flat, "gradients")) got.set(name, values.slice());
    const { suggested_max_abs_tolerance: most, total_l2_norm: total } = expected.gradient;
    const faults: string[] = [];
    for (const [name, want] of await tensorsIn(join(folder, "grads.safetensors"))) {
      const values = got.get(ourName(name));
      if (!values) {
        faults.push(`${name} has no gradient`);
        continue;
      }
      const apart = want.map((value, i) => value - values[i]!);
      const largest = apart.reduce((worst, value) => Math.max(worst, Math.abs(value)), 0);
      const relative = norm(apart) / Math.max(norm(want), 1e-6 * total);
      if (!(largest <= most || relative < 1e-4)) faults.push(`${name}: ${largest} apart, relative ${relative}`);
    }
    expect(faults).toEqual([]);
    steps.dispose();
    flat.dispose();
  });

  const runs = Object.entries(fixture?.expected.runs ?? {});
  test.each(runs)("parameters after the steps of %s", async (run, { lr, schedule, steps: wanted }) => {
    const { expected, objectives, folder } = fixture!;
    const warm = !schedule.startsWith("constant");
    const { steps, flat } = await stepsOf(fixture!, {
      learningRate: lr,
      schedule: warm ? "linear" : "constant",
      warmupSteps: warm ? 3 : 0,
    });
    const examples = examplesOf(expected.inputs, objectives);
    const zero = new Set(expected.gradient.mathematically_zero.flat());
    const before = await tensorsIn(join(folder, "model.safetensors"));
    for (const { step, lr, loss, grad_norm_before_clip: gradNorm } of wanted) {
      const state = await (await steps.step([examples])).read();
      expect(state).toMatchObject({ steps: step, skipped: 0 });
      expect(Math.abs(state.loss - loss)).toBeLessThan(2e-5 * Math.max(1, loss));
      expect(Math.abs(state.gradNorm - gradNorm)).toBeLessThan(1e-4 * gradNorm);
      expect(Math.abs(state.learningRate - lr)).toBeLessThan(1e-6 * Math.max(lr, 1e-6));
      const file = join(folder, `${run}.step${step}.safetensors`);
      if (!existsSync(file)) continue;
      const want = await tensorsIn(file);
      const faults: string[] = [];
      for await (const [name, values] of readStored(engine, flat, "weights")) {
        const full = [...want.keys()].find((key) => ourName(key) === name);
        if (!full || zero.has(full)) continue;
        const goal = want.get(full)!;
        const apart = goal.map((value, i) => value - values[i]!);
        const largest = apart.reduce((worst, value) => Math.max(worst, Math.abs(value)), 0);
        const moved = goal.map((value, i) => value - before.get(full)![i]!);
        if (!(largest <= 1e-5 || norm(apart) / norm(moved) <= 1e-3)) faults.push(`${name}: ${largest} apart`);
      }
      expect(faults).toEqual([]);
    }
    steps.dispose();
    flat.dispose();
  });
});
