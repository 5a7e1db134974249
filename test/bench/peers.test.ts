/** `bench peers` without other engines installed: its files, its conversation, its rounds and its table. */

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseAnswer, startPeer } from "../../bench/peers/child.ts";
import { comparePeers, type PeerSetup, peerTiming } from "../../bench/peers/compare.ts";
import { choosePeers, PEERS, type PeerEngine } from "../../bench/peers/engines.ts";
import { writeModelFiles } from "../../bench/peers/model_files.ts";
import { onnxFile } from "../../bench/peers/onnx.ts";
import { randomModel } from "../../bench/random_model.ts";
import { peersTable } from "../../bench/report.ts";
import type { PeerRow } from "../../bench/rows.ts";
import { timeRounds } from "../../bench/timing.ts";
import { largestError } from "../../bench/verify_model.ts";
import { denseBatch } from "../../bench/workloads.ts";
import { openModel } from "../../src/bert/model.ts";
import { openFolder } from "../../src/node/folder.ts";

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "bench-peers-test-"));
});
afterAll(() => rm(scratch, { recursive: true }));

/** A protobuf message's fields: integers as bigint, everything else as bytes. */
function fieldsOf(message: Uint8Array): Map<number, (bigint | Uint8Array)[]> {
  const fields = new Map<number, (bigint | Uint8Array)[]>();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = BigInt(message[at++]!);
      value |= (byte & 0x7fn) << shift;
      if (byte < 0x80n) return value;
    }
  };
  while (at < message.length) {
    const key = Number(varint());
    const wire = key & 7;
    let value: bigint | Uint8Array;
    if (wire === 0) value = BigInt.asIntN(64, varint());
    else {
      const length = wire === 5 ? 4 : Number(varint());
      value = new Uint8Array(message.subarray(at, at + length)); // a Buffer's slice would be no copy
      at += length;
    }
    fields.set(key >> 3, [...(fields.get(key >> 3) ?? []), value]);
  }
  expect(at).toBe(message.length);
  return fields;
}
const bytes = (value: bigint | Uint8Array | undefined): Uint8Array => value as Uint8Array;
const text = (value: bigint | Uint8Array | undefined): string => new TextDecoder().decode(bytes(value));

describe("ONNX", () => {
  test("holds the weights under their names, those of MatMul transposed, and a graph that is closed", async () => {
    const folder = randomModel("tiny", { layers: 2, hidden: 8, heads: 2, intermediate: 12, vocab: 20, positions: 6 });
    await writeModelFiles(folder, join(scratch, "tiny"));
    const { checkpoint } = await openModel(openFolder(join(scratch, "tiny"))); // the copy, not the original
    const stored = async (name: string): Promise<number[]> => [...(await checkpoint.readFloats(name))];

    const model = fieldsOf(await readFile(join(scratch, "tiny", "onnx", "model.onnx")));
    expect([model.get(1), fieldsOf(bytes(model.get(8)![0])).get(2)]).toEqual([[8n], [17n]]);
    const graph = fieldsOf(bytes(model.get(7)![0]));
    const tensors = new Map(
      graph.get(5)!.map((each) => {
        const tensor = fieldsOf(bytes(each));
        const raw = bytes(tensor.get(9)![0]);
        const values = tensor.get(2)![0] === 1n ? new Float32Array(raw.buffer) : new BigInt64Array(raw.buffer);
        return [text(tensor.get(8)![0]), { dims: (tensor.get(1) ?? []).map(Number), values: [...values] }];
      }),
    );
    const word = "embeddings.word_embeddings.weight";
    expect(tensors.get(word)).toEqual({ dims: [20, 8], values: await stored(word) });
    expect(tensors.get("places")).toEqual({ dims: [6], values: [0n, 1n, 2n, 3n, 4n, 5n] });
    const inner = "encoder.layer.1.intermediate.dense.weight"; // [12, 8]
    const values = await stored(inner);
    const transposed = Array.from({ length: 96 }, (_, i) => values[(i % 12) * 8 + Math.floor(i / 12)]);
    expect(tensors.get(`${inner}^T`)).toEqual({ dims: [8, 12], values: transposed });

    const known = new Set([...tensors.keys(), ...graph.get(11)!.map((each) => text(fieldsOf(bytes(each)).get(1)![0]))]);
    for (const each of graph.get(1)!) {
      const node = fieldsOf(bytes(each));
      for (const input of node.get(1)!) expect(known).toContain(text(input));
      known.add(text(node.get(2)![0]));
    }
    expect(known).toContain("last_hidden_state");
    await checkpoint.close();
  });

  test("writes negative integers in ten bytes, floats in four, and refuses a size that is not its data's", () => {
    const node = { op: "Softmax", inputs: ["a"], output: "b", attributes: { axis: -1n, e: 0.5, perm: [0n, 300n] } };
    const empty = { name: "g", inputs: [], outputs: [] };
    const file = onnxFile({ ...empty, nodes: [node], initializers: [] });
    const graph = fieldsOf(bytes(fieldsOf(Buffer.concat(file)).get(7)![0]));
    const attributes = fieldsOf(bytes(graph.get(1)![0])).get(5)!;
    const [axis, e, perm] = attributes.map((each) => fieldsOf(bytes(each)));
    expect([axis!.get(3), axis!.get(20)]).toEqual([[-1n], [2n]]);
    expect([bytes(e!.get(2)![0]), e!.get(20)]).toEqual([new Uint8Array(Float32Array.of(0.5).buffer), [1n]]);
    expect([perm!.get(8), perm!.get(20)]).toEqual([[0n, 300n], [7n]]);
    const wrong = { name: "w", dims: [2, 3], data: new Float32Array(5) };
    expect(() => onnxFile({ ...empty, nodes: [], initializers: [wrong] })).toThrow("w is [2,3], 6 elements");
  });
});

const serve = join(import.meta.dirname, "../../bench/peers/engines/serve.mjs");

describe("a peer's process", () => {
  const script = async (name: string, body: string): Promise<string> => {
    const path = join(scratch, `${name}.mjs`);
    await writeFile(path, `import { serve } from ${JSON.stringify(serve)};\n${body}`);
    return path;
  };
  let task: string;
  beforeAll(async () => {
    task = join(scratch, "task.json");
    await writeFile(task, JSON.stringify({ start: 5 }));
  });

  test("answers between what its library prints, writes its output, and leaves", async () => {
    const path = await script(
      "counter",
      `await serve(async ({ start }) => {
         let count = start;
         const forward = async () => { console.log("library: hello"); return Float32Array.of(count++, 0.5); };
         return { forward, adapter: "none" };
       });`,
    );
    const peer = await startPeer(path, task, {});
    expect(peer.about).toEqual({ adapter: "none" });
    expect(peer.firstAnswer).toBeGreaterThan(0);
    expect((await peer.ask({ do: "run" })).ms).toBeGreaterThanOrEqual(0);
    const file = join(scratch, "output.f32");
    await peer.ask({ do: "output", file });
    expect(await readFile(file)).toEqual(Buffer.from(Float32Array.of(6, 0.5).buffer));
    expect((await peer.ask({ do: "end" })).peakBytes).toBeGreaterThan(10e6);
    peer.kill();
  });

  test("that fails, or dies, tells why", async () => {
    const throws = await script("throws", `await serve(async () => { throw new Error("no adapter here"); });`);
    await expect(startPeer(throws, task, {})).rejects.toThrow("no adapter here");
    const dies = await script("dies", `console.error("out of luck"); process.exit(7);`);
    await expect(startPeer(dies, task, {})).rejects.toThrow("the process ended with 7: out of luck");
  });

  test("answers are marked lines", () => {
    expect(parseAnswer('{"ms":1}')).toBeUndefined();
    expect(parseAnswer('@peer {"ms":1}')).toEqual({ ms: 1 });
    expect(() => parseAnswer('@peer {"error":"lost device"}')).toThrow("lost device");
  });
});

test("engines that compute wrongly, on another adapter or not at all are failures; the others have rows", async () => {
  const summary = { name: "some GPU", vendor: "", architecture: "", description: "driver 1", software: true };
  const engine = (script: string, kind: PeerEngine["kind"] = "webgpu"): PeerEngine => {
    return { name: script === "ours" ? "bert-webgpu" : script, kind, script: `${script}.mjs`, provider: kind };
  };
  await mkdir(join(scratch, "engines"));
  const fake = async (name: string, values: string, about: unknown): Promise<void> => {
    const body = `serve(async ({ ids }) => ({ forward: async () => Float32Array.from(${values}), adapter: ${JSON.stringify(about)} }))`;
    await writeFile(
      join(scratch, "engines", `${name}.mjs`),
      `import { serve } from ${JSON.stringify(serve)};\nawait ${body};`,
    );
  };
  await fake("ours", "ids", summary);
  await fake("near", "ids.map((id, i) => id + (i === 5 ? 2 ** -11 : 0))", "driver 1");
  await fake("off", "ids.map((id, i) => id + (i === 5 ? 0.01 : 0))", undefined);
  await fake("elsewhere", "ids", "driver 2");
  const failures: string[] = [];
  const adapters: string[] = [];
  const setup: PeerSetup = {
    files: { folder: scratch, engine: "" },
    install: "",
    adapter: "auto",
    tuned: false,
    env: {},
    budget: 0,
    onProgress: () => {},
    onFailure: (name, { message }) => void failures.push(`${name}: ${message.slice(0, 60)}`),
    onAdapter: async ({ name }) => void adapters.push(name),
  };
  const workload = denseBatch(2, 3, 1003); // one "hidden" number a token: its id
  const expected = Float64Array.from(workload.sequences[0]!.inputIds);
  const task = { model: "tiny", modelFolder: "", scratch, workload, expected };
  const rows = await comparePeers(
    ["near", "off", "elsewhere", "absent"].map((name) => engine(name)),
    task,
    setup,
  );
  expect(adapters).toEqual(["some GPU"]);
  expect(rows.map(({ peer, adapter, check }) => [peer, adapter, check])).toEqual([
    ["bert-webgpu", "some GPU", { error: 0, bound: 1e-3 }],
    ["near", "some GPU", { error: 2 ** -11, bound: 1e-3 }],
  ]);
  for (const { timing, peakBytes, firstAnswerColdMs, sequencesPerSecond } of rows) {
    expect(timing.n).toBe(3);
    expect(sequencesPerSecond).toBeCloseTo(2e3 / timing.median);
    expect(Math.min(peakBytes, firstAnswerColdMs)).toBeGreaterThan(0);
  }
  expect(failures).toEqual([
    expect.stringContaining("off, tiny, 2 x 3: its output is off by 0.0"),
    "elsewhere, tiny, 2 x 3: it computes on driver 2, bert-webgpu on driver 1",
    expect.stringContaining("absent, tiny, 2 x 3: the process ended with 1"),
  ]);
});

test("training steps are compared by the losses of three of them, and only the first where weights are frozen", async () => {
  const summary = { name: "some GPU", vendor: "", architecture: "", description: "driver 1", software: true };
  const folder = join(scratch, "training");
  await mkdir(join(folder, "engines"), { recursive: true });
  const fake = async (name: string, ...losses: number[]): Promise<PeerEngine> => {
    const load = `serve(async ({ learningRate }) => {
      const losses = ${JSON.stringify(losses)};
      return { forward: lossesOf(async () => losses.shift() ?? learningRate), adapter: ${JSON.stringify(summary.description)} };
    })`;
    const ours = load.replace(JSON.stringify(summary.description), JSON.stringify(summary));
    const text = `import { lossesOf, serve } from ${JSON.stringify(serve)};\nawait ${name === "ours" ? ours : load};`;
    await writeFile(join(folder, "engines", `${name}.mjs`), text);
    return { name, kind: "webgpu", script: `${name}.mjs`, provider: "webgpu" };
  };
  const ours = await fake("ours", 0.7, 0.6, 0.5);
  const failures: string[] = [];
  const setup: PeerSetup = {
    ...{ files: { folder, engine: "" }, install: "", adapter: "auto", tuned: false, env: {}, budget: 0 },
    onProgress: () => {},
    onFailure: (name, { message }) => void failures.push(`${name}: ${message}`),
    onAdapter: async () => {},
  };
  const task = {
    ...{ model: "tiny", modelFolder: "", scratch, workload: denseBatch(2, 3, 1003), expected: Float64Array.of(0.7) },
    training: { ours, settings: { learningRate: 0.25 } },
  };
  const peers = [
    await fake("like", 0.7, 0.6, 0.5),
    await fake("slow", 0.7, 0.6, 0.51),
    { ...(await fake("still", 0.7, 0.69, 0.68)), frozen: "table" },
    { ...(await fake("wrong", 0.71, 0.6, 0.5)), frozen: "table" },
  ];
  const rows = await comparePeers(peers, task, setup);
  expect(rows.map(({ peer, batch }) => [peer, batch])).toEqual([
    ["ours", "2 x 3 training"],
    ["like", "2 x 3 training"],
    ["still (table frozen)", "2 x 3 training"],
  ]);
  expect(failures).toEqual([
    expect.stringMatching(/^slow, tiny, 2 x 3: its output is off by 0.00999/),
    expect.stringMatching(/^wrong, tiny, 2 x 3: its output is off by 0.0(1|099)/),
  ]);
});

test("peers are chosen by a part of their name", () => {
  expect(choosePeers(["jax", "onnxruntime-node-cpu"]).map(({ name }) => name)).toEqual([
    "jax-js webgpu",
    "onnxruntime-node cpu",
  ]);
  expect(choosePeers(["webgpu", "cpu", "wasm"])).toEqual(PEERS);
  expect(() => choosePeers(["jax", "torch"])).toThrow('no peer is named "torch"');
});

test("the largest error is of the elements that are expected, NaN and missing ones included", () => {
  expect(largestError(Float32Array.of(1, 2, 9), [1, 2.5])).toBe(0.5);
  expect(largestError(Float32Array.of(1, Number.NaN, 3), [1, 2, 3])).toBeNaN();
  expect(largestError(Float32Array.of(1), [1, 2])).toBe(Number.POSITIVE_INFINITY);
});

test("rounds take turns, back and forth; who fails is left out and told of", async () => {
  const calls: string[] = [];
  const run = (name: string, times: number[]) => async () => {
    calls.push(name);
    const ms = times.shift();
    if (ms === undefined) throw new Error(`${name} is gone`);
    return ms;
  };
  const timings = await timeRounds(
    [run("a", [90, 90, 1, 4, 2]), run("b", [90, 90, 5]), run("c", [9, 9, 7, 7, 7])],
    0,
    2,
  );
  expect(calls.join("")).toBe("abccbaabccbaac"); // two rounds to warm up, three that count; b fails in the second of them
  expect(timings[0]).toEqual([1, 4, 2]);
  expect(peerTiming([1, 4, 2])).toEqual({ median: 2, min: 1, max: 4, n: 3 });
  expect(timings[1]).toEqual(new Error("b is gone"));
  expect(timings[2]).toEqual([7, 7, 7]);
});

test("the table has the fastest first, each with its ratio to ours", () => {
  const row = (peer: string, kind: PeerRow["kind"], median: number): PeerRow => ({
    type: "peer",
    peer,
    kind,
    model: "mini 4x256",
    batch: "8 x 128",
    adapter: kind === "cpu" ? "cpu" : "some GPU",
    check: { error: 1.25e-6, bound: 1e-3 },
    timing: { median, min: median - 1, max: median + 1, n: 5 },
    firstAnswerColdMs: 1234,
    peakBytes: 300e6,
    sequencesPerSecond: 8e3 / median,
  });
  const rows = [row("bert-webgpu", "webgpu", 20), row("jax-js webgpu", "webgpu", 50), row("x cpu", "cpu", 10)];
  const lines = peersTable(rows, true).slice(1);
  expect(lines.map((line) => line.split(/ {2,}/)[0])).toEqual([
    "mini 4x256, 8 x 128",
    "engine",
    "x cpu",
    "bert-webgpu",
    "jax-js webgpu",
  ]);
  expect(lines[2]!.split(/ {2,}/)).toEqual([
    "x cpu",
    "cpu",
    "10.0",
    "9.000",
    "11.0",
    "5",
    "0.50",
    "800",
    "1234",
    "300",
    "1.3e-6",
  ]);
  expect(lines[4]).toContain(" 2.50 ");
});
