/** What a program can be made of: states, scalars, optional outputs, runs that follow each other; and what is refused. */

import { beforeAll, describe, expect, test } from "vitest";
import { DEFAULT_LIMITS, type Kernel } from "../../src/kernels/kernel.ts";
import { Engine } from "../../src/runtime/engine.ts";
import type { Program } from "../../src/runtime/program.ts";
import { Recorder, type Ref } from "../../src/runtime/recorder.ts";
import { testDevice } from "../device.ts";
import { type Calls, countingDevice } from "./counting.ts";

/** weight -= rate * gradient, in place; where wanted also |gradient| and the step that was taken. */
const descend: Kernel<{ count: number; saved?: boolean }> = {
  name: "descend",
  source: `
const SAVES = false;
struct Params { rate: f32, step: u32 }
@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> sizes: array<f32>;
@group(0) @binding(3) var<storage, read_write> steps: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= arrayLength(&gradient)) { return; }
  weight[id.x] -= params.rate * gradient[id.x];
  if (SAVES) {
    sizes[id.x] = abs(gradient[id.x]);
    steps[id.x] = params.step;
  }
}`,
  optional: ["sizes", "steps"],
  plan: ({ count, saved = false }) => ({
    constants: { SAVES: saved },
    params: { rate: 1, step: 0 },
    workgroups: [Math.ceil(count / 64), 1, 1],
    label: `${count}`,
  }),
};

const COUNT = 64;
const SHAPE = { count: COUNT };
const fill = (value: number): Float32Array => new Float32Array(COUNT).fill(value);

let engine: Engine;
let calls: Calls;
beforeAll(async () => {
  const { device, adapter, idle } = await testDevice();
  const counted = countingDevice(device);
  calls = counted.calls;
  engine = await Engine.create({ device: counted.device, adapter, idle });
});

describe("a state", () => {
  test("keeps what was written in place from one run to the next, of another program too", async () => {
    const weight = engine.tensor("weight", [COUNT], "f32");
    weight.write(fill(10));
    const record = (rate: number): Promise<Program> =>
      engine.record(`by ${rate}`, (r) => {
        const gradient = r.input("gradient", [COUNT], "f32");
        r.dispatch(
          { ...descend, plan: (...args) => ({ ...descend.plan(...args), params: { rate, step: 0 } }) },
          SHAPE,
          {
            gradient,
            weight: r.state(weight),
          },
        );
        r.output("weight", r.state(weight));
      });
    const [slow, fast] = [await record(1), await record(2)];
    expect((await slow.run({ gradient: fill(1) })).weight).toEqual(fill(9));
    expect((await fast.run({ gradient: fill(1) })).weight).toEqual(fill(7));
    expect((await slow.run({ gradient: fill(1) })).weight).toEqual(fill(6));
    const bound = await slow.bind();
    bound.write({ gradient: fill(3) });
    const encoder = engine.device.createCommandEncoder();
    bound.encode(encoder);
    engine.device.queue.submit([encoder.finish()]);
    expect((await fast.run({ gradient: fill(0) })).weight).toEqual(fill(3));
    expect(bound.outputs.weight).toBe(weight.buffer);
    bound.dispose();
    weight.dispose();
  });
});

describe("a scalar", () => {
  const record = (): Promise<Program> =>
    engine.record("scalars", (r) => {
      const weight = r.input("weight", [COUNT], "f32");
      const [gradient, sizes, steps] = (["f32", "f32", "u32"] as const).map((dtype, i) =>
        i === 0 ? r.input("gradient", [COUNT], dtype) : r.temporary(`saved ${i}`, [COUNT], dtype),
      );
      const [rate, step] = [r.scalar("rate", "f32"), r.scalar("step", "u32")];
      r.dispatch(descend, { ...SHAPE, saved: true }, { gradient, weight, sizes, steps }, { rate, step });
      r.output("weight", weight);
      r.output("steps", steps!);
    });

  test("is set at each run, without recording or making anything again", async () => {
    const program = await record();
    const inputs = { weight: fill(0), gradient: fill(1) };
    await program.run({ ...inputs, rate: 1, step: 1 });
    const before = { ...calls };
    for (const [rate, step] of [
      [0.5, 7],
      [-2, 4_000_000_000],
    ] as const) {
      const { weight, steps } = await program.run({ ...inputs, rate, step });
      expect(weight).toEqual(fill(-rate));
      expect(steps).toEqual(new Uint32Array(COUNT).fill(step));
    }
    const made = Object.entries(calls).filter(([name, count]) => /^create/.test(name) && count !== before[name]);
    expect(made.map(([name]) => name)).toEqual(["createCommandEncoder"]);
  });

  test("belongs to one program: others of the same kernel keep their own", async () => {
    const [one, other] = [await record(), await record()];
    const inputs = { weight: fill(0), gradient: fill(1), step: 0 };
    const results = await Promise.all([
      one.run({ ...inputs, rate: 1 }),
      other.run({ ...inputs, rate: 2 }),
      one.run({ ...inputs, rate: 3 }),
    ]);
    expect(results.map(({ weight }) => weight![0])).toEqual([-1, -2, -3]);
    const bound = await one.bind();
    bound.write({ ...inputs, rate: 4 });
    expect((await one.run({ ...inputs, rate: 5 })).weight![0]).toBe(-5);
    bound.dispose();
  });

  test("is refused where it is missing, no number, or none of its type", async () => {
    const program = await record();
    const inputs = { weight: fill(0), gradient: fill(1), rate: 1, step: 0 };
    await expect(program.run({ ...inputs, step: undefined as never })).rejects.toThrow(
      "scalar step is undefined, not a number of u32",
    );
    const { step: _, ...without } = inputs;
    await expect(program.run(without)).rejects.toThrow("input step is missing");
    await expect(program.run({ ...inputs, rate: fill(1) })).rejects.toThrow("not a number of f32");
    await expect(program.run({ ...inputs, step: 1.5 })).rejects.toThrow("scalar step is 1.5, not a number of u32");
    await expect(program.run({ ...inputs, step: -1 })).rejects.toThrow("step is -1");
    await expect(program.run({ ...inputs, weight: 1 })).rejects.toThrow("weight is given as Number, f32 takes");
  });
});

test("optional outputs may be left out, all or one of them", async () => {
  const record = (which: "both" | "steps" | "none"): Promise<Program> =>
    engine.record(which, (r) => {
      const [weight, gradient] = [r.input("weight", [COUNT], "f32"), r.input("gradient", [COUNT], "f32")];
      const sizes = which === "both" ? r.temporary("sizes", [COUNT], "f32") : undefined;
      const steps = which === "none" ? undefined : r.temporary("steps", [COUNT], "u32");
      r.dispatch(descend, { ...SHAPE, saved: which !== "none" }, { gradient, weight, sizes, steps });
      r.output("weight", weight);
      if (sizes) r.output("sizes", sizes);
      if (steps) r.output("steps", steps);
    });
  const inputs = { weight: fill(5), gradient: fill(-1) };
  expect(await (await record("none")).run(inputs)).toEqual({ weight: fill(6) });
  const both = await (await record("both")).run(inputs);
  expect(both).toEqual({ weight: fill(6), sizes: fill(1), steps: new Uint32Array(COUNT) });
  const steps = await record("steps");
  expect(await steps.run(inputs)).toEqual({ weight: fill(6), steps: new Uint32Array(COUNT) });
  const bound = await steps.bind();
  expect(Object.keys(bound.outputs)).toEqual(["weight", "steps"]);
  bound.dispose();
});

describe("runs that are submitted", () => {
  test("follow each other without waiting, and keep their order and their outputs", async () => {
    const total = engine.tensor("total", [COUNT], "f32");
    total.write(fill(0));
    const program = await engine.record("sums", (r) => {
      r.dispatch(descend, SHAPE, { gradient: r.input("x", [COUNT], "f32"), weight: r.state(total) });
      r.output("total", r.state(total));
    });
    await program.run({ x: fill(0) });
    const before = { ...calls };
    const submissions = await Promise.all(Array.from({ length: 20 }, (_, i) => program.submit({ x: fill(-i - 1) })));
    const totals = await Promise.all(submissions.map((submission) => submission.read()));
    expect(totals.map(({ total }) => total![0])).toEqual(Array.from({ length: 20 }, (_, i) => ((i + 1) * (i + 2)) / 2));
    const made = Object.entries(calls).filter(([name, count]) => /^create/.test(name) && count !== before[name]);
    expect(made.map(([name]) => name)).toEqual(["createCommandEncoder"]);
    expect((await submissions[3]!.read()).total![0]).toBe(10); // again
    total.dispose();
  });

  test("are two at a time: the next one is submitted while one is computed, a third is not", async () => {
    const { device, adapter, idle } = await testDevice();
    const ends: (() => void)[] = [];
    let submitted = 0;
    const queue = new Proxy(device.queue, {
      get(object, name) {
        if (name === "onSubmittedWorkDone") return () => new Promise<void>((resolve) => ends.push(resolve));
        if (name === "submit") submitted++;
        const value = Reflect.get(object, name) as unknown;
        return typeof value === "function" ? value.bind(object) : value;
      },
    });
    const slow = new Proxy(device, {
      get(object, name) {
        const value = name === "queue" ? queue : (Reflect.get(object, name) as unknown);
        return typeof value === "function" ? value.bind(object) : value;
      },
    });
    const other = await Engine.create({ device: slow, adapter, idle });
    const weight = other.tensor("weight", [COUNT], "f32");
    const program = await other.record("steps", (r) => {
      r.dispatch(descend, SHAPE, { gradient: r.input("x", [COUNT], "f32"), weight: r.state(weight) });
      r.output("weight", r.state(weight));
    });
    const steps = [1, 2, 3, 4].map(() => program.submit({ x: fill(1) }, { readBack: false }));
    const [first] = await Promise.all(steps.slice(0, 2));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([submitted, ends.length]).toEqual([2, 2]);
    ends.shift()!();
    expect(await first!.read()).toEqual({});
    await steps[2];
    expect(submitted).toBe(3);
    for (const end of ends) end();
    await steps[3];
    ends.at(-1)!();
    other.dispose();
  });

  test("reject by themselves", async () => {
    const program = await engine.record("mixed", (r) => {
      const weight = r.input("weight", [COUNT], "f32");
      r.dispatch(descend, SHAPE, { gradient: weight === undefined ? weight : r.input("x", [COUNT], "f32"), weight });
      r.output("weight", weight);
    });
    const good = { weight: fill(1), x: fill(1) };
    const outcomes = await Promise.allSettled([
      program.submit(good),
      program.submit({ ...good, x: new Uint32Array(COUNT) as never }),
      program.submit(good, { signal: AbortSignal.abort(new Error("no more")) }),
      program.submit(good),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected", "fulfilled"]);
  });
});

describe("inputs of another type", () => {
  test.each([
    ["f32", new Uint32Array(COUNT), "input x is given as Uint32Array, f32 takes a Float32Array"],
    ["u32", new Float32Array(COUNT), "input x is given as Float32Array, u32 takes a Uint32Array"],
    ["u32", new Int32Array(COUNT), "input x is given as Int32Array, u32 takes a Uint32Array"],
    ["f16", new Float32Array(COUNT), "input x is given as Float32Array, f16 takes a Uint16Array"],
    ["f32", Array.from({ length: COUNT }, () => 0), "input x is given as Array, f32 takes a Float32Array"],
  ] as const)("for %s are refused: %s", async (dtype, data, message) => {
    const program = await engine.record("typed", (r) => r.output("y", r.input("x", [COUNT], dtype)));
    await expect(program.run({ x: data as never })).rejects.toThrow(message);
    await expect(program.run({ x: data as never })).rejects.toThrow(TypeError);
  });

  test("are refused by tensors and bound programs too", async () => {
    const tensor = engine.tensor("w", [4], "u32");
    expect(() => tensor.write(new Float32Array(4))).toThrow("w is given as Float32Array, u32 takes a Uint32Array");
    expect(() => tensor.write(new Uint32Array(4), 1)).toThrow("w: 4 elements written from 1, [4] has 4");
    tensor.dispose();
    const program = await engine.record("typed", (r) => r.output("y", r.input("x", [COUNT], "u32")));
    const bound = await program.bind();
    expect(() => bound.write({ x: fill(1) })).toThrow("input x is given as Float32Array");
    bound.dispose();
  });
});

describe("a recorder refuses", () => {
  const recorder = (): Recorder => new Recorder({ limits: DEFAULT_LIMITS, software: true });
  const x = (r: Recorder): Ref => r.input("x", [COUNT], "f32");

  test("what belongs to another recorder", () => {
    const [r, other] = [recorder(), recorder()];
    const [mine, foreign] = [x(r), x(other)];
    const weight = r.temporary("weight", [COUNT], "f32");
    expect(() => r.dispatch(descend, SHAPE, { gradient: foreign, weight })).toThrow(
      "descend 64: gradient is x of another recorder",
    );
    expect(() => r.dispatch(descend, SHAPE, { gradient: mine, weight: other.temporary("w", [COUNT], "f32") })).toThrow(
      "descend 64: weight is w of another recorder",
    );
    expect(() => r.output("y", foreign)).toThrow("output y is x of another recorder");
    expect(() => r.dispatch(descend, SHAPE, { gradient: mine, weight }, { rate: other.scalar("rate", "f32") })).toThrow(
      "descend 64: rate is rate of another recorder",
    );
  });

  test("one operand that is read and written in one launch, by its tensor too", () => {
    const r = recorder();
    const mine = x(r);
    expect(() => r.dispatch(descend, SHAPE, { gradient: mine, weight: mine })).toThrow(
      "descend 64: gradient and weight are the same memory, and written",
    );
    const tensor = engine.tensor("moment", [COUNT], "f32");
    const [first, again] = [r.state(tensor), r.state(tensor)];
    expect(again).toBe(first);
    expect(() => r.dispatch(descend, SHAPE, { gradient: tensor, weight: first })).toThrow(
      "gradient and weight are the same memory",
    );
    const saved = r.temporary("saved", [COUNT], "f32");
    expect(() => r.dispatch(descend, SHAPE, { gradient: mine, weight: saved, sizes: saved })).toThrow(
      "weight and sizes are the same memory",
    );
    tensor.dispose();
  });

  test("a tensor that would be written and is no state", () => {
    const r = recorder();
    const tensor = engine.tensor("frozen", [COUNT], "f32");
    expect(() => r.dispatch(descend, SHAPE, { gradient: x(r), weight: tensor })).toThrow(
      "descend 64: weight would write frozen; give it as state(tensor)",
    );
    tensor.dispose();
  });

  test("scalars that no field takes, or another type, and names that are taken", () => {
    const r = recorder();
    const operands = { gradient: x(r), weight: r.temporary("weight", [COUNT], "f32") };
    const [rate, step] = [r.scalar("rate", "f32"), r.scalar("step", "u32")];
    expect(() => r.dispatch(descend, SHAPE, operands, { speed: rate })).toThrow(
      "descend 64: no param speed of f32; there are rate, step",
    );
    expect(() => r.dispatch(descend, SHAPE, operands, { rate: step })).toThrow(
      "descend 64: no param rate of u32; there are rate, step",
    );
    expect(() => r.scalar("x", "f32")).toThrow("the program has a x already");
    expect(() => r.input("rate", [1], "f32")).toThrow("the program has a rate already");
  });
});

test("launches of the same kernel share one source, across programs", async () => {
  const long = { ...descend, source: `${descend.source}\n// ${"a comment ".repeat(1 << 17)}` }; // 1.3 MB
  const before = process.memoryUsage().heapUsed;
  const programs = [];
  for (let i = 0; i < 4; i++) {
    programs.push(
      await engine.record(`program ${i}`, (r) => {
        const gradient = r.input("x", [COUNT], "f32");
        for (let j = 0; j < 50; j++) {
          r.dispatch(long, SHAPE, { gradient, weight: r.temporary("weight", [COUNT], "f32") });
        }
      }),
    );
  }
  const grown = process.memoryUsage().heapUsed - before;
  expect(programs.map(({ dispatches }) => dispatches)).toEqual([50, 50, 50, 50]);
  expect(grown).toBeLessThan(64 << 20); // 260 MB if each had its own
});
