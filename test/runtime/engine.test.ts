import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Kernel } from "../../src/kernels/kernel.ts";
import { requestDevice } from "../../src/node/device.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { DeviceLostError, GpuError } from "../../src/runtime/errors.ts";
import { type KernelTime, profileTable } from "../../src/runtime/profiler.ts";
import { allocateTable } from "../../src/runtime/table.ts";
import { testDevice } from "../device.ts";
import { countingDevice, limitedDevice } from "./counting.ts";

/** out = x + addend, over [count] */
const add: Kernel<{ count: number; addend: number }> = {
  name: "add",
  source: `
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
struct Params { count: u32, addend: f32 }
@group(0) @binding(2) var<uniform> params: Params;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < params.count) { out[id.x] = x[id.x] + params.addend; }
}`,
  plan: ({ count, addend }) => ({
    constants: {},
    params: { count, addend },
    workgroups: [Math.ceil(count / 64), 1, 1],
    label: `${count}`,
  }),
};

const adapter = process.env.BERT_WEBGPU_ADAPTER || "auto";

describe("engine", () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await Engine.create(await testDevice());
  });
  afterAll(() => engine.dispose());

  const chain = (label: string, count: number, steps: number, on: Engine = engine) =>
    on.record(label, (r) => {
      let x = r.input("x", [count], "f32");
      for (let i = 0; i < steps; i++) {
        const out = r.temporary("sum", [count], "f32");
        r.dispatch(add, { count, addend: i + 1 }, { x, out });
        x = out;
      }
      r.output("y", x);
    });

  it("runs a recorded program and shares pipelines and memory between its launches", async () => {
    const { device: shared, adapter, idle } = await testDevice();
    const { device, calls } = countingDevice(shared);
    const counted = await Engine.create({ device, adapter, idle });
    const program = await chain("chain", 100, 10, counted);
    const { y } = await program.run({ x: Float32Array.from({ length: 100 }, (_, i) => i) });
    expect([...y!]).toEqual(Array.from({ length: 100 }, (_, i) => i + 55));
    expect(calls.createComputePipelineAsync).toBe(1);
    expect(counted.memoryUse.buffers).toBe(5); // two slots, parameters, two to read back from
    counted.dispose();
  });

  it("queues concurrent runs of different programs and answers each with its own", async () => {
    const programs = await Promise.all([3, 5, 7].map((steps) => chain(`chain ${steps}`, 10 * steps, steps)));
    const runs = Array.from({ length: 12 }, (_, i) => {
      const steps = [3, 5, 7][i % 3]!;
      return programs[i % 3]!.run({ x: new Float32Array(10 * steps).fill(i) }).then(({ y }) => {
        expect([...y!]).toEqual(Array.from(y!, () => i + (steps * (steps + 1)) / 2));
      });
    });
    await Promise.all(runs);
  });

  it("refuses inputs that are missing, unknown or of another size, and goes on working", async () => {
    const program = await chain("strict", 4, 1);
    await expect(program.run({})).rejects.toThrow("input x is missing");
    await expect(program.run({ x: new Float32Array(4), z: new Float32Array(4) })).rejects.toThrow("no input named z");
    await expect(program.run({ x: new Float32Array(3) })).rejects.toThrow("input x has 3 elements, [4] needs 4");
    expect([...(await program.run({ x: new Float32Array(4) })).y!]).toEqual([1, 1, 1, 1]);
  });

  it("refuses to record reads of what nothing wrote and operands without a binding", async () => {
    const record = (build: Parameters<Engine["record"]>[1]) => engine.record("broken", build);
    await expect(
      record((r) => r.dispatch(add, { count: 1, addend: 0 }, { x: r.temporary("ghost", [1], "f32") })),
    ).rejects.toThrow("add 1: x reads ghost, which nothing has written");
    await expect(
      record((r) => r.dispatch(add, { count: 1, addend: 0 }, { x: r.input("x", [1], "f32"), weight: undefined })),
    ).rejects.toThrow("add 1: no binding named weight; there are x, out, params");
    await expect(
      record((r) => r.dispatch(add, { count: 1, addend: 0 }, { x: r.input("x", [1], "f32") })),
    ).rejects.toThrow("add 1: binding out is written but not given");
  });

  it("turns a shader that does not compile into an error with kernel, line and source", async () => {
    const uncaptured: string[] = [];
    const listen = (event: Event) => uncaptured.push((event as GPUUncapturedErrorEvent).error.message);
    engine.device.addEventListener("uncapturederror", listen);
    const broken = { ...add, name: "broken", source: add.source.replace("+ params.addend", "+ params.missing") };
    const recording = engine.record("broken", (r) => {
      const x = r.input("x", [1], "f32");
      r.dispatch(broken, { count: 1, addend: 0 }, { x, out: r.temporary("out", [1], "f32") });
    });
    await expect(recording).rejects.toThrow(GpuError);
    await expect(recording).rejects.toThrow(/broken 1: compile error: line 8: .*missing[\s\S]*out\[id\.x\] = /);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(uncaptured).toEqual([]);
    engine.device.removeEventListener("uncapturederror", listen);
  });

  it("turns a validation fault of a launch into an error with the kernel's label, and recovers", async () => {
    const most = engine.device.limits.maxComputeWorkgroupsPerDimension;
    const huge: typeof add = {
      ...add,
      plan: (shape, limits) => ({ ...add.plan(shape, limits), workgroups: [most + 1, 1, 1] }),
    };
    const program = await engine.record("too wide", (r) => {
      const x = r.input("x", [1], "f32");
      const out = r.temporary("out", [1], "f32");
      r.dispatch(huge, { count: 1, addend: 0 }, { x, out });
      r.output("y", out);
    });
    await expect(program.run({ x: new Float32Array(1) })).rejects.toThrow(/too wide: validation error/);
    expect([...(await (await chain("after", 2, 1)).run({ x: new Float32Array(2) })).y!]).toEqual([1, 1]);
  });

  it("says both numbers when a tensor is larger than a binding or a buffer", () => {
    const { maxStorageBufferBindingSize: most } = engine.device.limits;
    expect(() => engine.tensor("big", [most / 4 + 16], "f32")).toThrow(
      `big [${most / 4 + 16}] takes ${most + 64} bytes`,
    );
    expect(() => engine.tensor("big", [most / 4 + 16], "f32")).toThrow(`at most ${most}`);
  });

  it("rejects a run whose signal is aborted", async () => {
    const program = await chain("abortable", 4, 1);
    await expect(program.run({ x: new Float32Array(4) }, { signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
  });

  it("reports GPU time per kernel where the device has timestamp-query", async () => {
    const program = await chain("timed", 1000, 3);
    const inputs = { x: new Float32Array(1000) };
    if (engine.device.features.has("timestamp-query")) {
      let times: readonly KernelTime[] = [];
      const profile = (measured: readonly KernelTime[]) => {
        times = measured;
      };
      const { y } = await program.run(inputs, { profile });
      expect(times.map(({ label }) => label)).toEqual(["add 1000", "add 1000", "add 1000"]);
      expect(profileTable(times)).toMatch(/^kernel .*GPU ms {2}share\nadd 1000 +3 .*%\ntotal +3 /);
      expect(y![0]).toBe(6);
    } else {
      await expect(program.run(inputs, { profile: () => {} })).rejects.toThrow("timestamp-query");
    }
  });

  it("frees what it timed with, also where the run fails", async () => {
    if (!engine.device.features.has("timestamp-query")) return;
    let alive = 0;
    const watched = new Proxy(engine.device, {
      get(object, name) {
        const value = Reflect.get(object, name) as unknown;
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => {
          const result = Reflect.apply(value, object, args) as { destroy(): void };
          if (name !== "createBuffer" && name !== "createQuerySet") return result;
          alive++;
          const destroy = result.destroy.bind(result);
          return Object.defineProperty(result, "destroy", {
            value() {
              alive--;
              destroy();
            },
          });
        };
      },
    });
    const guest = await Engine.create({ device: watched, adapter: engine.adapter });
    const most = engine.device.limits.maxComputeWorkgroupsPerDimension;
    const huge: typeof add = { ...add, plan: (...args) => ({ ...add.plan(...args), workgroups: [most + 1, 1, 1] }) };
    const program = await guest.record("too wide", (r) => {
      const out = r.temporary("out", [1], "f32");
      r.dispatch(huge, { count: 1, addend: 0 }, { x: r.input("x", [1], "f32"), out });
      r.output("y", out);
    });
    await expect(program.run({ x: new Float32Array(1) })).rejects.toThrow("too wide: validation error");
    const before = alive;
    const run = program.run({ x: new Float32Array(1) }, { profile: () => {} });
    await expect(run).rejects.toThrow("too wide: validation error");
    expect(alive).toBe(before);
    await (await chain("timed", 1, 2, guest)).run({ x: new Float32Array(1) }, { profile: () => {} });
    expect(guest.memoryUse.buffers).toBe(alive);
    guest.dispose();
    expect(alive).toBe(0);
  });

  it("says how large a table's parts must be where not even eight rows fit a binding", async () => {
    const { device } = await testDevice();
    const limited = await Engine.create({ device: limitedDevice(device, { maxStorageBufferBindingSize: 1024 }) });
    expect(() => allocateTable(limited.allocate(), "wide", 20, 64, "f32")).toThrow(
      "wide: eight rows take 2048 bytes, a storage binding of this device holds at most 1024",
    );
    expect(allocateTable(limited.allocate(), "narrow", 20, 16, "f32").rowsPerPart).toBe(16);
    limited.dispose();
  });

  it("leaves a device that is not its own alone", async () => {
    const { device, close } = await requestDevice({ adapter });
    const handler = () => {};
    device.onuncapturederror = handler;
    const guest = await Engine.create({ device });
    await (await chain("guest", 8, 2, guest)).run({ x: new Float32Array(8) });
    guest.dispose();
    guest.dispose();
    expect(device.onuncapturederror).toBe(handler);
    const buffer = device.createBuffer({ size: 16, usage: 0x80 });
    buffer.destroy();
    expect(guest.memoryUse).toEqual({ buffers: 0, bytes: 0 });
    await expect(guest.record("late", () => {})).rejects.toThrow("the engine was disposed");
    close();
  });

  it("works beside another engine on another device", async () => {
    const other = await Engine.create(await requestDevice({ adapter }));
    const [mine, theirs] = await Promise.all([chain("mine", 16, 2), chain("theirs", 16, 3, other)]);
    const x = new Float32Array(16);
    const results = await Promise.all([mine.run({ x }), theirs.run({ x }), mine.run({ x })]);
    expect(results.map(({ y }) => y![15])).toEqual([3, 6, 3]);
    other.dispose();
  });

  it("leaves nothing unhandled where error scopes fail before the compiler does, as when a device is lost", async () => {
    const gone = new Error("the device is gone");
    const dying = new Proxy(engine.device, {
      get(object, name) {
        const value = Reflect.get(object, name) as unknown;
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => {
          const result = Reflect.apply(value, object, args) as unknown;
          if (name === "createComputePipelineAsync")
            return new Promise((_, reject) => setTimeout(() => reject(gone), 50));
          if (name !== "popErrorScope" || !compiling) return result;
          return (result as Promise<unknown>).then(() => Promise.reject(gone));
        };
      },
    });
    let compiling = false;
    const guest = await Engine.create({ device: dying, adapter: engine.adapter });
    const unhandled: unknown[] = [];
    const listen = (reason: unknown): void => void unhandled.push(reason);
    process.on("unhandledRejection", listen);
    compiling = true;
    await expect(chain("doomed", 1, 1, guest)).rejects.toThrow("the device is gone");
    process.off("unhandledRejection", listen);
    expect(unhandled).toEqual([]);
    guest.dispose();
  });

  it("rejects what is pending and what comes after with a typed error when the device is lost", async () => {
    const doomed = await Engine.create(await requestDevice({ adapter }));
    const program = await chain("doomed", 1 << 16, 4, doomed);
    const pending = [1, 2, 3].map((value) => program.run({ x: new Float32Array(1 << 16).fill(value) }));
    doomed.device.destroy();
    for (const run of pending) await expect(run).rejects.toThrow(DeviceLostError);
    await expect(program.run({ x: new Float32Array(1 << 16) })).rejects.toThrow(/create an Engine on it/);
    doomed.dispose();
  });
});
