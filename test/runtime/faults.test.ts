/** Whose call a fault rejects, and what it leaves behind: on a device that fails when it is told to. */

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { BertModel } from "../../src/bert/model.ts";
import type { Kernel } from "../../src/kernels/kernel.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { GpuError } from "../../src/runtime/errors.ts";
import type { Program } from "../../src/runtime/program.ts";
import { tinyModel } from "../bert/tiny.ts";
import { testDevice } from "../device.ts";
import { random } from "../support.ts";
import { type FaultTime, type FaultyDevice, faultyDevice } from "./faulty.ts";

/** out = x + 1 */
const increment: Kernel<{ count: number }> = {
  name: "increment",
  source: `
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < arrayLength(&x)) { out[id.x] = x[id.x] + 1; }
}`,
  plan: ({ count }) => ({ constants: {}, params: {}, workgroups: [Math.ceil(count / 64), 1, 1], label: `${count}` }),
};

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const LARGE = 1 << 12;
const TIMES: readonly FaultTime[] = ["at once", "later"];

let faulty: FaultyDevice;
let engine: Engine;
let model: BertModel;
const uncaptured: string[] = [];
const listen = (event: Event): void => void uncaptured.push((event as GPUUncapturedErrorEvent).error.message);

beforeAll(async () => {
  const { device } = await testDevice();
  device.addEventListener("uncapturederror", listen);
});
beforeEach(async () => {
  const { device, adapter, idle } = await testDevice();
  faulty = faultyDevice(device);
  engine = await Engine.create({ device: faulty.device, adapter, idle });
  model = await BertModel.load(engine, tinyModel());
});
afterAll(async () => {
  const { device } = await testDevice();
  await device.queue.onSubmittedWorkDone();
  expect(uncaptured).toEqual([]);
});

function chain(label: string, count: number, steps: number): Promise<Program> {
  return engine.record(label, (r) => {
    let x = r.input("x", [count], "f32");
    for (let i = 0; i < steps; i++) {
      const out = r.temporary("sum", [count], "f32");
      r.dispatch(increment, { count }, { x, out });
      x = out;
    }
    r.output("y", x);
  });
}

async function runs(program: Program, count: number, steps: number, value = 3): Promise<void> {
  const { y } = await program.run({ x: new Float32Array(count).fill(value) });
  expect(y!.every((sum) => sum === value + steps)).toBe(true);
}

const SEQUENCES = [{ inputIds: [1, 2, 3, 4, 5] }, { inputIds: [6, 7] }];
const WANTED = { lastHiddenState: true, logits: true };

/** Fails the first createBuffer with such a label, and no other. */
function failOnce(label: RegExp, time: FaultTime): void {
  let left = 1;
  faulty.fails = (given) => (label.test(given) && left-- > 0 ? time : undefined);
}

async function outcome(call: Promise<unknown>): Promise<"fulfilled" | Error> {
  return call.then(
    () => "fulfilled",
    (error: Error) => error,
  );
}

function expectFault(error: "fulfilled" | Error, label: RegExp, time: FaultTime): void {
  expect(error).toBeInstanceOf(Error);
  expect((error as Error).message).toMatch(label);
  if (time === "later") expect(error).toMatchObject({ name: "GpuError", kind: "out-of-memory" });
}

describe.each(TIMES)("memory that fails %s", (time) => {
  test.each([/arena slot/, /arena params/, /arena read-back/])(
    "for %s rejects the run that asked for it, and no other",
    async (label) => {
      const [small, large] = [await chain("small", 16, 2), await chain("large", LARGE, 40)];
      await runs(small, 16, 2);
      const before = engine.memoryUse;
      const weights = model.weightBytes;
      failOnce(label, time);
      const [first, failed, second, loaded, bound] = await Promise.all([
        outcome(runs(small, 16, 2)),
        outcome(large.run({ x: new Float32Array(LARGE) })),
        outcome(runs(small, 16, 2)),
        BertModel.load(engine, tinyModel()),
        small.bind(),
      ]);
      expectFault(failed, label, time);
      expect([first, second]).toEqual(["fulfilled", "fulfilled"]);
      loaded.dispose();
      bound.dispose();
      expect(model.weightBytes).toBe(weights);
      expect(engine.memoryUse.bytes).toBeGreaterThanOrEqual(before.bytes);
      await runs(large, LARGE, 40);
      await runs(small, 16, 2);
    },
  );

  test("for an arena leaves the memory as it was before the run", async () => {
    const [small, large] = [await chain("small", 16, 2), await chain("large", LARGE, 40)];
    await runs(small, 16, 2);
    const before = engine.memoryUse;
    for (const label of [/arena slot 0/, /arena slot 1/, /arena params/, /arena read-back/]) {
      failOnce(label, time);
      expectFault(await outcome(large.run({ x: new Float32Array(LARGE) })), label, time);
      expect(engine.memoryUse).toEqual(before);
      await runs(small, 16, 2);
      expect(engine.memoryUse).toEqual(before);
    }
  });

  test("for weights rejects the load that asked for it, and frees what it had", async () => {
    const expected = await model.forward(SEQUENCES, WANTED);
    const before = engine.memoryUse;
    failOnce(/intermediate/, time);
    const [failed, forward, bound] = await Promise.all([
      outcome(BertModel.load(engine, tinyModel())),
      model.forward(SEQUENCES, WANTED),
      model.bind(SEQUENCES, WANTED),
    ]);
    expectFault(failed, /intermediate/, time);
    expect(forward.logits!.data).toEqual(expected.logits!.data);
    bound.dispose();
    expect(engine.memoryUse).toEqual(before);
    (await BertModel.load(engine, tinyModel())).dispose();
  });

  test("for a bound program rejects the bind that asked for it, and frees what it had", async () => {
    const expected = await model.forward(SEQUENCES, WANTED);
    const before = engine.memoryUse;
    for (const label of [/slot 1$/, /: params/]) {
      failOnce(label, time);
      const [failed, forward] = await Promise.all([
        outcome(model.bind(SEQUENCES, WANTED)),
        model.forward(SEQUENCES, WANTED),
      ]);
      expectFault(failed, label, time);
      expect(forward.logits!.data).toEqual(expected.logits!.data);
      expect(engine.memoryUse).toEqual(before);
    }
    (await model.bind(SEQUENCES, WANTED)).dispose();
  });

  test("for a tensor is told by its name to whoever uses it, and to nobody else", async () => {
    failOnce(/lonely/, time);
    if (time === "at once") {
      expect(() => engine.tensor("lonely", [4], "f32")).toThrow("lonely");
      return;
    }
    const tensor = engine.tensor("lonely", [4], "f32");
    const program = await engine.record("reads it", (r) => {
      const out = r.temporary("out", [4], "f32");
      r.dispatch(increment, { count: 4 }, { x: tensor, out });
      r.output("y", out);
    });
    const small = await chain("small", 16, 2);
    const [failed, other] = await Promise.all([outcome(program.run({})), outcome(runs(small, 16, 2))]);
    expectFault(failed, /lonely/, time);
    await expect(tensor.ready()).rejects.toThrow(GpuError);
    await expect(program.bind()).rejects.toThrow("lonely");
    expect(other).toBe("fulfilled");
    tensor.dispose();
  });
});

test("what is bound is checked with the run that binds it: a disposed weight rejects its own program alone", async () => {
  const tensor = engine.tensor("gone", [4], "f32");
  const program = await engine.record("reads it", (r) => {
    const out = r.temporary("out", [4], "f32");
    r.dispatch(increment, { count: 4 }, { x: tensor, out });
    r.output("y", out);
  });
  const small = await chain("small", 16, 2);
  tensor.dispose();
  const [failed, other] = await Promise.all([outcome(program.run({})), outcome(runs(small, 16, 2))]);
  expect(failed).toBeInstanceOf(GpuError);
  expect(other).toBe("fulfilled");
});

test("200 random faults in a row end in right answers, and in the memory of a run without faults", async () => {
  const next = random(7);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)]!;
  const sizes = [16, 300, 1000, 4000, 9000];
  const programs = await Promise.all(sizes.map((count, i) => chain(`chain ${count}`, count, 2 + 7 * i)));
  const expected = await model.forward(SEQUENCES, WANTED);
  const calls: Readonly<Record<string, () => Promise<void>>> = {
    run: () => {
      const i = Math.floor(next() * sizes.length);
      return runs(programs[i]!, sizes[i]!, 2 + 7 * i, Math.floor(next() * 100));
    },
    load: async () => {
      const other = await BertModel.load(engine, tinyModel());
      const { logits } = await other.forward(SEQUENCES, WANTED).finally(() => other.dispose());
      expect(logits!.data).toEqual(expected.logits!.data);
    },
    bind: async () => (await model.bind(SEQUENCES, WANTED)).dispose(),
    forward: async () => {
      expect((await model.forward(SEQUENCES, WANTED)).logits!.data).toEqual(expected.logits!.data);
    },
    forget: () => engine.releaseMemory(), // or there would be no memory to ask for any more
  };
  let faults = 0;
  for (let round = 0; faults < 200; round++) {
    let countdown = Math.floor(next() * 12);
    const [failing, time] = [faults, pick(TIMES)];
    faulty.fails = () => {
      if (countdown-- !== 0) return undefined;
      faults++;
      return time;
    };
    const names = Array.from({ length: 4 }, () => pick(Object.keys(calls)));
    const outcomes = await Promise.all(names.map((name) => outcome(calls[name]!())));
    const rejected = outcomes.filter((result) => result !== "fulfilled");
    for (const error of rejected) expect((error as Error).message).toMatch(/no memory for|createBuffer failed/);
    expect(rejected.length, `round ${round}: ${names.join(", ")}: ${rejected.join(" | ")}`).toBe(faults - failing);
  }
  faulty.fails = () => undefined;
  const used = async (): Promise<unknown> => {
    await engine.releaseMemory();
    for (const [i, count] of sizes.entries()) await runs(await chain("again", count, 2 + 7 * i), count, 2 + 7 * i);
    expect((await model.forward(SEQUENCES, WANTED)).logits!.data).toEqual(expected.logits!.data);
    return engine.memoryUse;
  };
  const left = await used();
  const { device, adapter, idle } = await testDevice();
  engine = await Engine.create({ device, adapter, idle });
  model = await BertModel.load(engine, tinyModel());
  expect(left).toEqual(await used());
}, 120_000);

test("an engine that is disposed while a run waits for memory leaves nothing on the app's device", async () => {
  const [small, large] = [await chain("small", 16, 2), await chain("large", LARGE, 40)];
  await runs(small, 16, 2);
  for (let turns = 0; turns < 20; turns++) {
    const { adapter, idle } = await testDevice();
    const guest = await Engine.create({ device: faulty.device, adapter, idle });
    const record = (count: number): Promise<Program> =>
      guest.record("guest", (r) => {
        const out = r.temporary("sum", [count], "f32");
        r.dispatch(increment, { count }, { x: r.input("x", [count], "f32"), out });
        r.output("y", out);
      });
    const [first, second] = [await record(16), await record(LARGE)];
    await first.run({ x: new Float32Array(16) });
    const pending = [
      outcome(first.run({ x: new Float32Array(16) })),
      outcome(second.run({ x: new Float32Array(LARGE) })),
    ];
    for (let turn = 0; turn < turns; turn++) await Promise.resolve();
    guest.dispose();
    await Promise.all(pending);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(guest.memoryUse, `after ${turns} turns`).toEqual({ buffers: 0, bytes: 0 });
  }
  await runs(large, LARGE, 40);
});

test("writing again and again holds nothing of what was written before", async () => {
  const tensor = engine.tensor("written", [4], "f32");
  const data = new Float32Array(4);
  const grown = async (): Promise<number> => {
    for (let i = 0; i < 20_000; i++) {
      tensor.write(data);
      if (i % 500 === 0) await tensor.ready();
    }
    collectGarbage();
    return process.memoryUsage().heapUsed;
  };
  await grown();
  const before = await grown();
  expect((await grown()) - before).toBeLessThan(0.5e6);
  expect(() => tensor.write(data, 0.5)).toThrow("4 elements written from 0.5, [4] has 4");
  expect(() => tensor.write(data, Number.NaN)).toThrow(RangeError);
  expect(() => tensor.write(data, -1)).toThrow(RangeError);
  tensor.dispose();
});
