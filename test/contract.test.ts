/** What an app that embeds the engine relies on, line by line. The pages in test/browser hold it against a browser. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Sequence } from "../src/bert/batch.ts";
import { BertModel, type BoundForward } from "../src/bert/model.ts";
import type { Wanted } from "../src/bert/outputs.ts";
import type { Folder } from "../src/files/bytes.ts";
import {
  bindingsOf,
  DEFAULT_LIMITS,
  matmul,
  packParams,
  paramsOf,
  reference,
  specialize,
} from "../src/kernels/index.ts";
import { findAdapter } from "../src/node/adapter.ts";
import { requestDevice } from "../src/node/device.ts";
import { createEngine } from "../src/node/index.ts";
import { Engine } from "../src/runtime/engine.ts";
import { DeviceLostError, DisposedError, NoWebGpuError } from "../src/runtime/errors.ts";
import { tinyModel } from "./bert/tiny.ts";
import { testDevice } from "./device.ts";
import { countingDevice } from "./runtime/counting.ts";
import { random } from "./support.ts";

const adapter = process.env.BERT_WEBGPU_ADAPTER || "auto";
const [STORAGE, READ_BACK] = [0x80 | 0x04 | 0x08, 0x01 | 0x08]; // GPUBufferUsage
const WANTED: Wanted = { lastHiddenState: true, logits: true, embedding: { pooling: "mean", normalize: true } };

function sequences(lengths: readonly number[], seed: number): Sequence[] {
  const next = random(seed);
  return lengths.map((length) => ({ inputIds: Array.from({ length }, () => Math.floor(next() * 50)) }));
}

async function readBack(device: GPUDevice, buffers: readonly GPUBuffer[]): Promise<Float32Array[]> {
  const encoder = device.createCommandEncoder();
  const copies = buffers.map((buffer) => {
    const copy = device.createBuffer({ size: buffer.size, usage: READ_BACK });
    encoder.copyBufferToBuffer(buffer, 0, copy, 0, buffer.size);
    return copy;
  });
  device.queue.submit([encoder.finish()]);
  return Promise.all(
    copies.map(async (copy) => {
      await copy.mapAsync(1);
      const values = new Float32Array(copy.getMappedRange()).slice();
      copy.destroy();
      return values;
    }),
  );
}

function close(actual: Float32Array, expected: Float32Array): void {
  expect(actual.length).toBeGreaterThanOrEqual(expected.length); // buffers are rounded up to 16 bytes
  for (const [i, value] of expected.entries()) expect(Math.abs(actual[i]! - value), `element ${i}`).toBeLessThan(1e-6);
}

describe("on a device of the app", () => {
  let device: GPUDevice;
  let engine: Engine;
  let model: BertModel;
  const faults: string[] = [];
  const onFault = (event: GPUUncapturedErrorEvent): void => void faults.push(event.error.message);
  beforeAll(async () => {
    ({ device } = await testDevice());
    device.onuncapturederror = onFault;
    engine = await Engine.create(await testDevice());
    model = await BertModel.load(engine, tinyModel({ num_hidden_layers: 2 }));
  });
  afterAll(() => {
    expect(faults).toEqual([]);
    expect(device.onuncapturederror).toBe(onFault);
  });

  it("works with WebGPU's default limits and without one optional feature", async () => {
    const plain = await (await findAdapter(await import("webgpu"), adapter)).requestDevice();
    const modest = await Engine.create({ device: plain });
    expect(modest.hasF16).toBe(false);
    const there = await BertModel.load(modest, tinyModel({ num_hidden_layers: 2 }));
    const batch = sequences([5, 9], 1);
    const [a, b] = [await there.forward(batch, WANTED), await model.forward(batch, WANTED)];
    for (const [i, value] of b.lastHiddenState!.data.entries()) {
      expect(Math.abs(a.lastHiddenState!.data[i]! - value)).toBeLessThan(1e-5);
    }
    modest.dispose();
    const still = plain.createBuffer({ size: 16, usage: STORAGE });
    plain.queue.writeBuffer(still, 0, new Uint32Array(4));
    await plain.queue.onSubmittedWorkDone();
    plain.destroy();
  });

  it("encodes into the app's encoder, between passes of the app, however often, without a submit of its own", async () => {
    const batch = sequences([3, 11, 1], 2);
    const expected = await model.forward(batch, WANTED);
    const bound = await model.bind(batch, WANTED);
    const { device: counted, calls } = countingDevice(device);
    const encoder = counted.createCommandEncoder();
    const mine = device.createBuffer({ size: 16, usage: STORAGE });
    encoder.clearBuffer(mine);
    bound.encode(encoder);
    bound.encode(encoder);
    const pass = encoder.beginComputePass();
    bound.encode(pass);
    pass.end();
    await model.forward(sequences([40, 40], 3), WANTED); // other programs run before the app submits
    device.queue.submit([encoder.finish()]);
    expect(calls).toEqual({ createCommandEncoder: 1 });
    const { lastHiddenState, logits, embedding } = bound.outputs;
    const [hidden, classes, vectors] = await readBack(device, [lastHiddenState!, logits!, embedding!]);
    close(hidden!, expected.lastHiddenState!.data);
    close(classes!, expected.logits!.data);
    close(vectors!, expected.embedding!.data);
    bound.dispose();
    mine.destroy();
  });

  it("takes inputs from GPU buffers: two batches through one encoder", async () => {
    const [first, second] = [sequences([6, 2], 4), sequences([6, 2], 5)];
    const bound = await model.bind(first, { embedding: WANTED.embedding });
    const tokens = await Promise.all(
      [first, second].map(async (batch) => (await model.program(batch, WANTED)).inputs.tokens!),
    );
    const queued = tokens.map((data) => {
      const buffer = device.createBuffer({ size: data.byteLength, usage: STORAGE });
      device.queue.writeBuffer(buffer, 0, data as Uint32Array<ArrayBuffer>);
      return buffer;
    });
    const { tokens: input } = bound.inputs;
    const { embedding } = bound.outputs;
    const kept = queued.map(() => device.createBuffer({ size: embedding!.size, usage: STORAGE }));
    const encoder = device.createCommandEncoder();
    for (const [i, buffer] of queued.entries()) {
      encoder.copyBufferToBuffer(buffer, 0, input!, 0, buffer.size);
      bound.encode(encoder);
      encoder.copyBufferToBuffer(embedding!, 0, kept[i]!, 0, embedding!.size);
    }
    device.queue.submit([encoder.finish()]);
    bound.dispose(); // after the submit: the work still runs
    const vectors = await readBack(device, kept);
    close(vectors[0]!, (await model.forward(first, WANTED)).embedding!.data);
    close(vectors[1]!, (await model.forward(second, WANTED)).embedding!.data);
    for (const buffer of [...queued, ...kept]) buffer.destroy();
  });

  it("writes other sequences of the same lengths, and refuses all others", async () => {
    const bound = await model.bind(sequences([4, 5], 6), { logits: true });
    const other = sequences([4, 5], 7);
    bound.write(other);
    const encoder = device.createCommandEncoder();
    bound.encode(encoder);
    device.queue.submit([encoder.finish()]);
    const [logits] = await readBack(device, [bound.outputs.logits!]);
    close(logits!, (await model.forward(other, WANTED)).logits!.data);
    expect(() => bound.write(sequences([5, 4], 8))).toThrow("sequences of 5, 4 tokens, bound are 4, 5");
    expect(() => bound.write([{ inputIds: [1, 2, 3, 4], attentionMask: [1, 1, 1, 0] }, other[1]!])).toThrow("masked");
    expect(() => bound.write([{ inputIds: [1, 2, 3, 50] }, other[1]!])).toThrow("vocab_size allows 0 to 49");
    bound.dispose();
    bound.dispose();
    expect(() => bound.encode(device.createCommandEncoder())).toThrow("it was disposed; bind it again");
  });

  it("makes no buffer that can be mapped, and frees what it made", async () => {
    const before = engine.memoryUse;
    const bound = await model.bind(sequences([8], 9), WANTED);
    expect(engine.memoryUse.bytes - before.bytes).toBe(bound.bytes);
    for (const buffer of [...Object.values(bound.inputs), ...Object.values(bound.outputs)]) {
      expect(buffer.usage & 0x03).toBe(0); // MAP_READ, MAP_WRITE
    }
    bound.dispose();
    expect(engine.memoryUse).toEqual(before);
  });

  it("queues calls that come at the same time", async () => {
    const batches = Array.from({ length: 24 }, (_, i) => sequences([1 + (i % 7), 12], i));
    const together = await Promise.all(batches.map((batch) => model.forward(batch, WANTED)));
    for (const [i, batch] of batches.entries()) {
      close(together[i]!.logits!.data, (await model.forward(batch, WANTED)).logits!.data);
    }
  });

  it("gives up on a call whose signal is aborted, with its reason, and on that one alone", async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const batch = sequences([16], 10);
    const calls = [undefined, signal, undefined, signal].map((signal) => model.forward(batch, WANTED, { signal }));
    controller.abort(new Error("no longer wanted"));
    const results = await Promise.allSettled(calls);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "rejected"]);
    for (const result of results) if (result.status === "rejected") expect(result.reason).toBe(signal.reason);
    const order: string[] = [];
    const late = new AbortController();
    const first = model.forward(sequences(new Array<number>(64).fill(60), 16), WANTED).then(() => order.push("first"));
    const second = model.forward(batch, WANTED, { signal: late.signal }).catch(() => order.push("second gave up"));
    late.abort();
    await Promise.all([first, second]);
    expect(order).toEqual(["second gave up", "first"]); // it did not wait for its turn
    const before = engine.memoryUse;
    const opened: string[] = [];
    const inner = tinyModel();
    const open: Folder["open"] = (path) => {
      opened.push(path);
      return inner.open(path);
    };
    await expect(BertModel.load(engine, { name: inner.name, open }, { signal })).rejects.toBe(signal.reason);
    expect(opened).toEqual([]);
    const stuck = new AbortController();
    const never: Folder["open"] = async (path) => {
      const source = await inner.open(path);
      if (path !== "model.safetensors" || !source) return source;
      let reads = 0; // of the header, then of weights that never come
      return { ...source, read: (...at) => (++reads > 2 ? new Promise(() => {}) : source.read(...at)) };
    };
    const loading = BertModel.load(engine, { name: inner.name, open: never }, { signal: stuck.signal });
    const reason = new Error("enough");
    setTimeout(() => stuck.abort(reason), 50);
    await expect(loading).rejects.toBe(reason);
    expect(engine.memoryUse.buffers).toBe(before.buffers);
  });

  it("destroys every buffer it made, once, and leaves the device as it was", async () => {
    const made: GPUBuffer[] = [];
    let destroyed = 0;
    const watched = new Proxy(device, {
      get(object, name) {
        const value = Reflect.get(object, name) as unknown;
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => {
          const result = Reflect.apply(value, object, args) as unknown;
          if (name !== "createBuffer") return result;
          const buffer = result as GPUBuffer;
          made.push(buffer);
          const destroy = buffer.destroy.bind(buffer);
          Object.defineProperty(buffer, "destroy", {
            value() {
              destroyed++;
              destroy();
            },
          });
          return buffer;
        };
      },
    });
    const guest = await Engine.create({ device: watched });
    const there = await BertModel.load(guest, tinyModel());
    await there.forward(sequences([7], 11), WANTED);
    const bound = await there.bind(sequences([7], 11), WANTED);
    expect(guest.memoryUse.buffers).toBe(made.length - destroyed);
    guest.dispose();
    guest.dispose();
    expect([destroyed, guest.memoryUse]).toEqual([made.length, { buffers: 0, bytes: 0 }]);
    expect(() => bound.encode(device.createCommandEncoder())).toThrow("the engine was disposed");
    await expect(there.forward(sequences([7], 11), WANTED)).rejects.toThrow("the engine was disposed");
    expect((await model.forward(sequences([7], 11), WANTED)).logits!.data.every(Number.isFinite)).toBe(true);
  });

  it("rejects what is pending with DisposedError when its model or engine goes", async () => {
    const { device, adapter, idle } = await testDevice();
    for (const whole of [false, true]) {
      const guest = await Engine.create({ device, adapter, idle });
      const there = await BertModel.load(guest, tinyModel());
      await there.forward(sequences([7], 11), WANTED);
      const before = guest.memoryUse;
      const pending = [
        ...[1, 2, 3, 4, 5].map((length) => there.forward(sequences([length], 11), WANTED)),
        there.bind(sequences([7], 11), WANTED),
        there.program(sequences([9], 11), WANTED),
        ...(whole ? [BertModel.load(guest, tinyModel())] : []),
      ];
      if (whole) guest.dispose();
      else there.dispose();
      for (const outcome of await Promise.allSettled(pending)) {
        expect(outcome).toMatchObject({ status: "rejected", reason: { name: "DisposedError" } });
        expect((outcome as PromiseRejectedResult).reason).toBeInstanceOf(DisposedError);
      }
      await expect(there.forward(sequences([7], 11), WANTED)).rejects.toBeInstanceOf(DisposedError);
      await guest.releaseMemory().catch(() => {});
      expect(guest.memoryUse.bytes).toBeLessThan(whole ? 1 : before.bytes);
      guest.dispose();
      expect(guest.memoryUse).toEqual({ buffers: 0, bytes: 0 });
    }
    expect((await model.forward(sequences([7], 11), WANTED)).logits!.data.every(Number.isFinite)).toBe(true);
  });

  it("lends its kernels to an app without an engine", async () => {
    const shape = { m: 5, n: 12, k: 8, dtype: "f32", bias: true, residual: false, activation: "gelu" } as const;
    const next = random(12);
    const operands = Object.entries({ x: 5 * 8, weight: 12 * 8, bias: 12 }).map(
      ([name, length]) => [name, Float32Array.from({ length }, () => next() - 0.5)] as const,
    );
    const plan = matmul.plan(shape, DEFAULT_LIMITS);
    const module = device.createShaderModule({ code: specialize(matmul.source, plan.constants) });
    const pipeline = device.createComputePipeline({ layout: "auto", compute: { module } });
    const buffers = new Map<string, GPUBuffer>();
    const upload = (name: string, data: Float32Array | Uint8Array, usage: number): void => {
      const buffer = device.createBuffer({ size: Math.max(16, data.byteLength), usage });
      device.queue.writeBuffer(buffer, 0, data as Float32Array<ArrayBuffer>);
      buffers.set(name, buffer);
    };
    for (const [name, data] of operands) upload(name, data, STORAGE);
    upload("residual", new Float32Array(4), STORAGE); // absent: anything will do
    upload("out", new Float32Array(5 * 12), STORAGE);
    upload("params", packParams(paramsOf(matmul.source), plan.params), 0x40 | 0x08); // UNIFORM | COPY_DST
    const used = bindingsOf(matmul.source);
    const entries = used.map(({ binding, name }) => ({ binding, resource: { buffer: buffers.get(name)! } }));
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(...plan.workgroups);
    pass.end();
    device.queue.submit([encoder.finish()]);
    const [out] = await readBack(device, [buffers.get("out")!]);
    const { out: expected } = reference.matmul(shape, Object.fromEntries(operands));
    close(out!, Float32Array.from(expected!));
    for (const buffer of buffers.values()) buffer.destroy();
  });
});

describe("without a GPU", () => {
  it("says what is missing and what to do, in a typed error", async () => {
    await expect(Engine.create()).rejects.toThrow(NoWebGpuError);
    await expect(Engine.create()).rejects.toThrow(/secure \(https or localhost\) page, or createEngine of bert-webgpu/);
  });
});

describe("when the device is lost", () => {
  const folder = (): { folder: Folder; opened: () => number } => {
    const inner = tinyModel({ num_hidden_layers: 2 });
    let opened = 0;
    const open: Folder["open"] = (path) => {
      if (path === "config.json") opened++;
      return inner.open(path);
    };
    return { folder: { name: inner.name, open }, opened: () => opened };
  };

  it("opens another one of its own and loads the weights again, once for all calls that come", async () => {
    const engine = await createEngine({ adapter });
    const { folder: counted, opened } = folder();
    const model = await BertModel.load(engine, counted);
    const batch = sequences([9, 4], 13);
    const before = await model.forward(batch, WANTED);
    const use = engine.memoryUse;
    const bound = await model.bind(batch, WANTED);
    for (let round = 1; round <= 2; round++) {
      const pending = model.forward(batch, WANTED);
      engine.device.destroy();
      await expect(pending).rejects.toThrow(DeviceLostError);
      const after = await Promise.all([1, 2, 3].map(() => model.forward(batch, WANTED)));
      for (const { logits } of after) close(logits!.data, before.logits!.data);
      expect([engine.generation, opened()]).toEqual([round, 1 + round]);
      expect(engine.memoryUse.bytes).toBeLessThanOrEqual(use.bytes); // of loading, the arena has its longest text
      expect(() => bound.encode(engine.device.createCommandEncoder())).toThrow(DeviceLostError);
    }
    model.dispose();
    expect(engine.memoryUse.bytes).toBeLessThan(use.bytes);
    engine.dispose();
    await expect(model.forward(batch, WANTED)).rejects.toThrow("the model was disposed");
  });

  it("says so at every call where the device is the app's, and touches nothing", async () => {
    const opened = await requestDevice({ adapter });
    const engine = await Engine.create({ device: opened.device });
    const model = await BertModel.load(engine, tinyModel());
    const bound: BoundForward = await model.bind(sequences([3], 14), WANTED);
    opened.device.destroy();
    for (let call = 0; call < 2; call++) {
      const failed = model.forward(sequences([3], 14), WANTED);
      await expect(failed).rejects.toThrow(DeviceLostError);
      await expect(failed).rejects.toThrow("make another device, create an Engine on it and load again");
    }
    expect(() => bound.encode(opened.device.createCommandEncoder())).toThrow(DeviceLostError);
    engine.dispose();
    opened.close();
  });

  it("tells why where no other device can be had, and tries again at the next call", async () => {
    let tries = 0;
    const engine = await Engine.create({
      async open() {
        if (++tries === 2) throw new NoWebGpuError("no adapter for the moment");
        return requestDevice({ adapter });
      },
    });
    const model = await BertModel.load(engine, tinyModel());
    const batch = sequences([3], 15);
    const before = await model.forward(batch, WANTED);
    engine.device.destroy();
    await engine.device.lost;
    await expect(model.forward(batch, WANTED)).rejects.toThrow("no adapter for the moment");
    close((await model.forward(batch, WANTED)).logits!.data, before.logits!.data);
    expect(tries).toBe(3);
    engine.dispose();
  });

  it("keeps what was tuned for the same adapter, and forgets it on another", async () => {
    const choices = ["null", adapter, adapter];
    const engine = await Engine.create({ open: () => requestDevice({ adapter: choices.shift()! }) });
    for (const kept of [false, true]) {
      engine.tuning = { "m<=128 nk<=2^20 f32": { kind: "register" } };
      engine.device.destroy();
      await engine.device.lost;
      await engine.ready();
      expect(engine.tuning !== undefined).toBe(kept);
    }
    engine.dispose();
  });
});
