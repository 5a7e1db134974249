/** What a run may take of a device's memory: refused by arithmetic, given back when it was rare. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BertModel } from "../../src/bert/model.ts";
import type { Kernel } from "../../src/kernels/kernel.ts";
import { type NodeDevice, requestDevice } from "../../src/node/device.ts";
import { Engine } from "../../src/runtime/engine.ts";
import type { Program } from "../../src/runtime/program.ts";
import { tinyModel } from "../bert/tiny.ts";

/** out = x + 1 */
const increment: Kernel<{ count: number }> = {
  name: "increment",
  source: `
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * groups.x * 64 + id.x;
  if (i < arrayLength(&x)) { out[i] = x[i] + 1; }
}`,
  plan: ({ count }) => ({ constants: {}, params: {}, workgroups: [64, Math.ceil(count / 4096), 1], label: `${count}` }),
};

/** WebGPU's defaults: what every device has. */
const LIMITS = { maxStorageBufferBindingSize: 134_217_728, maxBufferSize: 268_435_456 };

let opened: NodeDevice;
let engine: Engine;
beforeAll(async () => {
  opened = await requestDevice({ adapter: process.env.BERT_WEBGPU_ADAPTER || "auto", limits: LIMITS });
  engine = await Engine.create(opened);
});
afterAll(() => {
  engine.dispose();
  opened.close();
});

function record(label: string, count: number, outputs = ["y"]): Promise<Program> {
  return engine.record(label, (r) => {
    const x = r.input("x", [count], "f32");
    for (const name of outputs) {
      const out = r.temporary("sum", [count], "f32");
      r.dispatch(increment, { count }, { x, out });
      r.output(name, out);
    }
  });
}

async function run(program: Program, count: number): Promise<void> {
  const { y } = await program.run({ x: new Float32Array(count).fill(3) });
  expect([y!.length, y![0], y![count - 1]]).toEqual([count, 4, 4]);
}

describe("what a device cannot hold is refused when it is recorded, with both numbers, and takes nothing", () => {
  test("a value that is more than a binding", async () => {
    const before = engine.memoryUse;
    await expect(record("much", 2 ** 25 + 1)).rejects.toThrow(
      new RangeError("x [33554433] takes 134217744 bytes, a storage binding of this device holds at most 134217728"),
    );
    expect(engine.memoryUse).toEqual(before);
  });

  test("outputs that are more than a buffer can be read from", async () => {
    const before = engine.memoryUse;
    await expect(record("much", 2 ** 24, ["a", "b", "c", "d", "e"])).rejects.toThrow(
      new RangeError(
        "what is read back (a,b,c,d,e) takes 335544320 bytes, a buffer of this device holds at most 268435456",
      ),
    );
    expect(engine.memoryUse).toEqual(before);
  });

  test("attentions and logits of a batch, by their names; the next call is as it was", async () => {
    const model = await BertModel.load(engine, tinyModel());
    const small = [{ inputIds: [1, 2, 3] }];
    const { logits } = await model.forward(small, { logits: true });
    const before = engine.memoryUse;
    const texts = Array.from({ length: 4097 }, () => ({ inputIds: new Uint8Array(64) }));
    await expect(model.forward(texts, { attentions: true })).rejects.toThrow(
      new RangeError(
        "attentions.0 [33562624] takes 134250496 bytes, a storage binding of this device holds at most 134217728",
      ),
    );
    await expect(model.bind(texts, { attentions: true })).rejects.toThrow("attentions.0");
    expect(engine.memoryUse).toEqual(before);
    expect((await model.forward(small, { logits: true })).logits!.data).toEqual(logits!.data);
    expect(engine.memoryUse).toEqual(before);
    model.dispose();
  });

  test("what a device can just hold is not", async () => {
    const count = 2 ** 25 - 2 ** 20;
    await run(await record("just", count), count);
    await engine.releaseMemory();
  });
});

describe("memory that runs share", () => {
  const [SMALL, LARGE] = [1000, 2_000_000];

  test("is given back when a rare large run took it", async () => {
    const [small, large] = [await record("small", SMALL), await record("large", LARGE)];
    await run(small, SMALL);
    const before = engine.memoryUse;
    await run(large, LARGE);
    expect(engine.memoryUse.bytes).toBeGreaterThan(before.bytes + 4 * 4 * LARGE);
    for (let i = 0; i < 32; i++) await run(small, SMALL);
    expect(engine.memoryUse).toEqual(before);
    await run(large, LARGE);
    await run(small, SMALL);
  });

  test("is given back between runs that are under way", async () => {
    await engine.releaseMemory();
    const [small, large] = [await record("small", SMALL), await record("large", LARGE)];
    await run(small, SMALL);
    const before = engine.memoryUse;
    const all = [large, ...Array.from({ length: 40 }, () => small)];
    await Promise.all(all.map((program) => run(program, program === large ? LARGE : SMALL)));
    expect(engine.memoryUse).toEqual(before);
  });

  test("stays where large runs come now and then", async () => {
    const [small, large] = [await record("small", SMALL), await record("large", LARGE)];
    await run(large, LARGE);
    const { buffers, bytes } = engine.memoryUse;
    let least = bytes;
    for (let i = 1; i <= 64; i++) {
      await (i % 8 === 0 ? run(large, LARGE) : run(small, SMALL));
      least = Math.min(least, engine.memoryUse.bytes);
    }
    expect([engine.memoryUse.buffers, least]).toEqual([buffers, bytes]);
  });
});
