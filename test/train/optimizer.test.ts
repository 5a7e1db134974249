/** The optimizer's step through the engine, against its twin in float64 and what the schedules of transformers say. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Schedule } from "../../src/kernels/optimizer/optimizer.ts";
import { adamw } from "../../src/kernels/reference/training.ts";
import type { Allocation } from "../../src/runtime/allocation.ts";
import { Engine } from "../../src/runtime/engine.ts";
import type { TrainedModel } from "../../src/train/encoder.ts";
import type { FlatPart, FlatWeights } from "../../src/train/flat.ts";
import { normals } from "../../src/train/initial.ts";
import { readTensor } from "../../src/train/read.ts";
import { TrainingSteps } from "../../src/train/step.ts";
import type { OptimizerOptions, StepState } from "../../src/train/update.ts";
import { testDevice } from "../device.ts";

/** Elements of a part of each kind: one takes many workgroups, and more than share a sum of squares. */
const COUNTS = [128 * 1100, 384];
const STATE = { steps: 0, good: 2, scale: 4 };
const BETAS = [0.9, 0.999] as const;

let engine: Engine;
let f16: boolean;
beforeAll(async () => {
  const { device, adapter, idle } = await testDevice();
  engine = await Engine.create({ device, adapter, idle });
  f16 = device.features.has("shader-f16");
});
afterAll(() => engine.dispose());

interface Bench {
  readonly parts: readonly FlatPart[];
  readonly steps: TrainingSteps;
  step(): Promise<StepState>;
  /** A word of `State`, which is a float or a count. */
  setState(at: number, value: number, float?: boolean): void;
  dispose(): void;
}

async function benchOf(options: OptimizerOptions, dtype: "f32" | "f16" = "f32"): Promise<Bench> {
  const allocation: Allocation = engine.allocate();
  const parts = COUNTS.map((count, i): FlatPart => {
    const flat = (what: string, type: "f32" | "f16" = "f32") => allocation.tensor(`${what} ${i}`, [count], type);
    return {
      ...{
        count,
        decayed: i === 0,
        weights: flat("weights"),
        gradients: flat("gradients"),
        m: flat("m"),
        v: flat("v"),
      },
      copies: dtype === "f16" ? flat("copies", "f16") : undefined,
    };
  });
  await allocation.done();
  // of the model and of all else a step without batches reads no more
  const steps = await TrainingSteps.create(
    engine,
    { dtype } as TrainedModel,
    { parts } as unknown as FlatWeights,
    [],
    options,
  );
  return {
    parts,
    steps,
    step: async () => (await steps.step([])).read(),
    setState: (at, value, float = false) =>
      steps.state.write(float ? new Uint32Array(Float32Array.of(value).buffer) : Uint32Array.of(value), at),
    dispose() {
      steps.dispose();
      allocation.dispose();
    },
  };
}

const KINDS = ["weights", "gradients", "m", "v"] as const;
type Values = Record<(typeof KINDS)[number], Float32Array>;

/** Values as of a training under way. */
function fill(parts: readonly FlatPart[], seed: number, size = 1): Values[] {
  const next = normals(seed);
  const random = (count: number, scale: number) => Float32Array.from({ length: count }, () => next() * scale);
  return parts.map((part) => {
    const values = {
      ...{ weights: random(part.count, 0.1), gradients: random(part.count, size) },
      ...{ m: random(part.count, 0.01), v: random(part.count, 0.01).map((x) => x * x) },
    };
    for (const kind of KINDS) part[kind].write(values[kind]);
    return values;
  });
}

async function read(parts: readonly FlatPart[]): Promise<Values[]> {
  const all: Values[] = [];
  for (const part of parts) {
    const values: Partial<Values> = {};
    for (const kind of KINDS) values[kind] = (await readTensor(engine, part[kind])) as Float32Array;
    all.push(values as Values);
  }
  return all;
}

function sameBits(a: Float32Array, b: Float32Array): boolean {
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength));
}

function largestApart(got: ArrayLike<number>, want: ArrayLike<number>): number {
  return Array.from(want).reduce((worst, value, i) => {
    const apart = Math.abs(value - got[i]!);
    return apart <= worst ? worst : apart;
  }, 0);
}

/** What a schedule of transformers multiplies the learning rate by, at a step counted from 0. */
function share(schedule: Schedule, step: number, warmup: number, total: number): number {
  if (step < warmup) return step / warmup;
  const progress = Math.min(1, (step - warmup) / Math.max(1, total - warmup));
  if (schedule === "linear") return 1 - progress;
  return schedule === "cosine" ? 0.5 * (1 + Math.cos(Math.PI * progress)) : 1;
}

describe("a step of AdamW is its twin's", () => {
  test.each([
    { taken: 0, maxGradNorm: 1, why: "the first, clipped" },
    { taken: 0, maxGradNorm: 0, why: "the first, not clipped" },
    { taken: 0, maxGradNorm: 1e6, why: "the first, shorter than where it is clipped" },
    { taken: 2, maxGradNorm: 1, why: "the third" },
    { taken: 999, maxGradNorm: 1, why: "the thousandth" },
  ])("$why", async ({ taken, maxGradNorm }) => {
    const [learningRate, weightDecay, eps] = [1e-3, 0.01, 1e-8];
    const { parts, step, setState, dispose } = await benchOf({
      ...{ learningRate, weightDecay, eps, maxGradNorm, betas: BETAS, totalSteps: 2000, schedule: "constant" },
    });
    setState(STATE.steps, taken);
    const before = fill(parts, taken + 1);
    const state = await step();
    const squares = before.flatMap(({ gradients }) => [...gradients]).reduce((sum, x) => sum + x * x, 0);
    const norm = Math.sqrt(squares);
    expect(state).toMatchObject({ steps: taken + 1, skipped: 0, lossScale: 1 });
    expect(Math.abs(state.gradNorm / norm - 1)).toBeLessThan(1e-6);
    expect(Math.abs(state.learningRate / learningRate - 1)).toBeLessThan(1e-7);
    const factor = maxGradNorm > 0 ? Math.min(1, maxGradNorm / (norm + 1e-6)) : 1;
    const [correction1, correction2] = BETAS.map((beta) => 1 - beta ** (taken + 1)) as [number, number];
    const after = await read(parts);
    for (const [i, part] of parts.entries()) {
      const shape = { count: part.count, betas: BETAS, eps, decay: part.decayed ? weightDecay : 0, copies: false };
      const numbers = { finite: true, factor, learningRate, correction1, correction2 };
      const want = adamw(shape, before[i]! as never, numbers);
      const moved = largestApart(before[i]!.weights, want.weights!);
      expect(moved).toBeGreaterThan(learningRate / 2);
      // a weight is below 1, where half a unit of its last place is 6e-8; what it moves is right to some 2^-20
      expect(largestApart(after[i]!.weights, want.weights!)).toBeLessThan(6e-8 + moved * 2 ** -20);
      expect(after[i]!.gradients.every((value) => Object.is(value, 0))).toBe(true);
      for (const kind of ["m", "v"] as const) {
        const most = want[kind]!.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
        expect(largestApart(after[i]![kind], want[kind]!)).toBeLessThan(most * 2 ** -21);
      }
    }
    dispose();
  });
});

test.each(["constant", "linear", "cosine"] as const)("the learning rate of schedule %s", async (schedule) => {
  const [learningRate, warmupSteps, totalSteps] = [5e-5, 10, 100];
  const { step, setState, dispose } = await benchOf({ learningRate, schedule, warmupSteps, totalSteps });
  for (const taken of [0, 1, 9, 10, 11, 55, 99, 100, 120]) {
    setState(STATE.steps, taken);
    const state = await step();
    const want = learningRate * share(schedule, taken, warmupSteps, totalSteps);
    expect(Math.abs(state.learningRate - want), `step ${taken}`).toBeLessThan(2e-7 * learningRate);
  }
  dispose();
});

test.each(["constant", "linear", "cosine"] as const)("schedule %s without a warm-up", async (schedule) => {
  const { step, dispose } = await benchOf({ learningRate: 1, schedule, totalSteps: 4 });
  for (let taken = 0; taken < 5; taken++) {
    expect((await step()).learningRate).toBeCloseTo(share(schedule, taken, 0, 4), 6);
  }
  dispose();
});

test.each([Number.NaN, Number.POSITIVE_INFINITY, 3e38])(
  "a gradient with %s moves nothing, is set to 0 and is counted",
  async (value) => {
    const { parts, step, dispose } = await benchOf({ totalSteps: 10, warmupSteps: 2 });
    const before = fill(parts, 5);
    parts[0]!.gradients.write(Float32Array.of(value), 129_999); // the square of the last one is infinite
    const state = await step();
    expect(state).toMatchObject({ steps: 0, skipped: 1, lossScale: 1 });
    const after = await read(parts);
    for (const [i, own] of after.entries()) {
      for (const kind of ["weights", "m", "v"] as const) expect(sameBits(own[kind], before[i]![kind]), kind).toBe(true);
      expect(own.gradients.every((x) => x === 0)).toBe(true);
    }
    fill(parts, 6);
    expect(await step()).toMatchObject({ steps: 1, skipped: 1, learningRate: 0 }); // still the first of the schedule
    dispose();
  },
);

describe("in f16", () => {
  test("the loss scale is taken out of the gradient, and copies follow the weights", async ({ skip }) => {
    if (!f16) skip("no shader-f16");
    const options = { learningRate: 1e-3, totalSteps: 10, schedule: "constant" } as const;
    const [plain, scaled] = [await benchOf(options), await benchOf(options, "f16")];
    fill(plain.parts, 7);
    fill(scaled.parts, 7);
    for (const { gradients } of scaled.parts) {
      const values = (await readTensor(engine, gradients)) as Float32Array;
      gradients.write(values.map((x) => x * 65536));
    }
    const states = [await plain.step(), await scaled.step()];
    expect(states[1]).toEqual({ ...states[0], lossScale: 65536 });
    const [one, other] = [await read(plain.parts), await read(scaled.parts)];
    // powers of two lose nothing
    for (const [i, own] of one.entries())
      for (const kind of KINDS) expect(sameBits(own[kind], other[i]![kind])).toBe(true);
    for (const { weights, copies } of scaled.parts) {
      const [own, half] = [await readTensor(engine, weights), await readTensor(engine, copies!)];
      // WGSL may round either way
      expect(own.every((x, i) => Math.abs(half[i]! - x) <= Math.abs(x) * 2 ** -10 + 2 ** -24)).toBe(true);
    }
    plain.dispose();
    scaled.dispose();
  });

  test("the loss scale grows and shrinks as PyTorch's GradScaler", async ({ skip }) => {
    if (!f16) skip("no shader-f16");
    const { parts, step, setState, dispose } = await benchOf({ totalSteps: 10 }, "f16");
    const poison = () => parts[1]!.gradients.write(Float32Array.of(Number.POSITIVE_INFINITY));
    poison();
    expect(await step()).toMatchObject({ steps: 0, skipped: 1, lossScale: 32768 });
    setState(STATE.good, 1998);
    expect(await step()).toMatchObject({ steps: 1, lossScale: 32768 });
    expect(await step()).toMatchObject({ steps: 2, lossScale: 65536 }); // 2000 good ones
    expect(await step()).toMatchObject({ steps: 3, lossScale: 65536 }); // which are counted anew
    setState(STATE.good, 1999);
    poison();
    expect(await step()).toMatchObject({ steps: 3, skipped: 2, lossScale: 32768 });
    expect(await step()).toMatchObject({ steps: 4, lossScale: 32768 }); // a skipped step begins the count again
    setState(STATE.scale, 1, true);
    poison();
    expect(await step()).toMatchObject({ skipped: 3, lossScale: 1 }); // less would lose what it is for
    dispose();
  });
});
