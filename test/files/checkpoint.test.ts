import { existsSync } from "node:fs";
import { mkdtemp, open as openHandle, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bytesSource, type Folder } from "../../src/files/bytes.ts";
import { type Checkpoint, openCheckpoint, openCheckpointFile } from "../../src/files/checkpoint.ts";
import { describeCheckpoint } from "../../src/files/describe.ts";
import { OverflowError, type ScalarArray } from "../../src/files/dtype.ts";
import { CheckpointError } from "../../src/files/faults.ts";
import { fromFloat16, toFloat16 } from "../../src/files/float16.ts";
import { openFile, openFolder } from "../../src/node/folder.ts";
import { buildSafetensors, entry, memoryFolder, rawSafetensors, type TestTensor } from "./build.ts";

const INDEX = "model.safetensors.index.json";

const ofTensors = (tensors: Record<string, TestTensor>): Promise<Checkpoint> =>
  openCheckpointFile(bytesSource("test.safetensors", buildSafetensors(tensors)));

const ofValues = (dtype: string, data: ArrayBufferView & { length: number }): Promise<Checkpoint> =>
  ofTensors({ x: { dtype, shape: [data.length], data } });

async function collect(chunks: AsyncIterable<ScalarArray>): Promise<number[]> {
  const values: number[] = [];
  for await (const chunk of chunks) values.push(...chunk);
  return values;
}

async function faultsOf(opening: Promise<Checkpoint>): Promise<string> {
  const error = await opening.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  if (!(error instanceof CheckpointError)) throw new Error(`no CheckpointError but ${error}`);
  return error.faults.join("\n");
}

describe("reading", () => {
  test("every type as stored and as f32", async () => {
    const cases: [string, ArrayBufferView & ArrayLike<number | bigint>, number[]][] = [
      ["F32", Float32Array.of(1.5, -2, 0, 3e38), [1.5, -2, 0, Math.fround(3e38)]],
      ["F64", Float64Array.of(0.1, -1e-50, 1e300), [Math.fround(0.1), -0, Number.NaN]],
      ["F16", Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7c00), [1, -2, 2 ** -24, Infinity]],
      ["BF16", Uint16Array.of(0x3f80, 0xc040, 0xff80), [1, -3, -Infinity]],
      ["I8", Int8Array.of(-128, 127), [-128, 127]],
      ["U8", Uint8Array.of(0, 255), [0, 255]],
      ["I16", Int16Array.of(-32768, 32767), [-32768, 32767]],
      ["U16", Uint16Array.of(0, 65535), [0, 65535]],
      ["I32", Int32Array.of(-(2 ** 31), 2 ** 24 + 1), [-(2 ** 31), 2 ** 24]],
      ["U32", Uint32Array.of(0, 2 ** 32 - 1), [0, 2 ** 32]],
      ["I64", BigInt64Array.of(-(2n ** 63n), 511n), [-(2 ** 63), 511]],
      ["U64", BigUint64Array.of(0n, 2n ** 64n - 1n), [0, 2 ** 64]],
      ["BOOL", Uint8Array.of(0, 1), [0, 1]],
    ];
    for (const [dtype, stored, values] of cases) {
      const checkpoint = await ofValues(dtype, stored);
      expect(await checkpoint.read("x"), dtype).toEqual(stored);
      if (dtype === "F64") await expect(checkpoint.readFloats("x")).rejects.toThrow(OverflowError);
      const count = dtype === "F64" ? 2 : stored.length;
      expect(Array.from(await checkpoint.readFloats("x", { count })), dtype).toEqual(values.slice(0, count));
    }
  });

  test("ranges of elements, at any alignment of the file", async () => {
    const values = Float32Array.from({ length: 10 }, (_, i) => i);
    const shifted = rawSafetensors(`{"x":${entry("F32", [10], 0, 40)}}`, new Uint8Array(values.buffer));
    for (const source of [bytesSource("a", shifted), bytesSource("b", new Uint8Array([0, ...shifted]).subarray(1))]) {
      const checkpoint = await openCheckpointFile(source);
      expect(await checkpoint.read("x")).toEqual(values);
      expect(await checkpoint.read("x", { offset: 3, count: 4 })).toEqual(values.slice(3, 7));
      expect(await checkpoint.readFloats("x", { offset: 9 })).toEqual(values.slice(9));
      expect(await checkpoint.read("x", { offset: 10 })).toHaveLength(0);
    }
  });

  test("wrong names, ranges and types are refused with both numbers", async () => {
    const checkpoint = await ofTensors({
      x: { dtype: "F32", shape: [2, 2], data: new Float32Array(4) },
      e: { dtype: "F8_E4M3", shape: [2], data: new Uint8Array(2) },
    });
    await expect(checkpoint.read("y")).rejects.toThrow('test.safetensors: no tensor "y" among its 2');
    await expect(checkpoint.read("x", { offset: 2, count: 3 })).rejects.toThrow('elements 2..5 of "x" asked, it has 4');
    await expect(checkpoint.read("x", { offset: -1 })).rejects.toThrow(RangeError);
    await expect(checkpoint.read("x", { offset: Number.NaN })).rejects.toThrow(RangeError);
    await expect(checkpoint.read("x", { count: -1 })).rejects.toThrow(RangeError);
    await expect(checkpoint.read("x", { count: 1.5 })).rejects.toThrow(RangeError);
    await expect(checkpoint.read("e")).rejects.toThrow(/"e" is F8_E4M3, which is not read; these are: BOOL, /);
    await expect(collect(checkpoint.chunks("e", "f32"))).rejects.toThrow(TypeError);
  });

  test("after close reads fail, and closing again does nothing", async () => {
    const checkpoint = await ofValues("F32", new Float32Array(1));
    await checkpoint.close();
    await checkpoint.close();
    await expect(checkpoint.read("x")).rejects.toThrow("test.safetensors: the checkpoint is closed");
  });

  test("what is stored as asked is not copied", async () => {
    const bytes = buildSafetensors({ x: { dtype: "F32", shape: [4], data: new Float32Array(4) } });
    const checkpoint = await openCheckpointFile(bytesSource("test", bytes));
    for await (const chunk of checkpoint.chunks("x", "f32")) expect(chunk.buffer).toBe(bytes.buffer);
  });
});

describe("chunks", () => {
  test("any slice size gives the same elements", async () => {
    const doubles = fc.array(fc.float({ noNaN: true, min: -65504, max: 65504 }), { maxLength: 200 });
    await fc.assert(
      fc.asyncProperty(doubles, fc.integer({ min: 1, max: 600 }), async (numbers, maxBytes) => {
        const halves = numbers.map(toFloat16);
        const files: [string, ArrayBufferView & { length: number }][] = [
          ["F64", Float64Array.from(numbers)],
          ["F32", Float32Array.from(numbers)],
          ["F16", Uint16Array.from(halves)],
        ];
        for (const [dtype, data] of files) {
          const checkpoint = await ofValues(dtype, data);
          const f32 = dtype === "F16" ? halves.map(fromFloat16) : numbers;
          expect(await collect(checkpoint.chunks("x", "f32", maxBytes))).toEqual(f32);
          expect(await collect(checkpoint.chunks("x", "f16", maxBytes))).toEqual(halves);
        }
      }),
      { numRuns: 50 },
    );
  });

  test("slices are multiples of 4 elements and stay within their bytes", async () => {
    for (const dtype of ["F32", "F16"]) {
      const checkpoint = await ofValues(dtype, dtype === "F32" ? new Float32Array(1001) : new Uint16Array(1001));
      for (const target of ["f32", "f16"] as const) {
        const lengths: number[] = [];
        for await (const chunk of checkpoint.chunks("x", target, 1000)) {
          lengths.push(chunk.length);
          expect(chunk.byteLength).toBeLessThanOrEqual(1000);
        }
        expect(lengths.slice(0, -1).every((length) => length % 4 === 0)).toBe(true);
        expect(lengths.reduce((sum, length) => sum + length)).toBe(1001);
      }
    }
  });

  test("scalars give one slice, empty tensors none", async () => {
    const checkpoint = await ofTensors({
      scalar: { dtype: "F32", shape: [], data: Float32Array.of(7) },
      empty: { dtype: "F32", shape: [0, 3], data: new Float32Array() },
    });
    expect(await collect(checkpoint.chunks("scalar", "f32"))).toEqual([7]);
    expect(await collect(checkpoint.chunks("empty", "f16"))).toEqual([]);
  });

  test("a finite weight that overflows is named, with its place and value", async () => {
    const data = new Float32Array(3000);
    data[2500] = -65520;
    const checkpoint = await ofTensors({ "bert.w": { dtype: "F32", shape: [1000, 3], data } });
    const error = await collect(checkpoint.chunks("bert.w", "f16", 1000)).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(OverflowError);
    expect(error).toMatchObject({ tensor: "bert.w", index: 2500, value: -65520 });
    expect((error as Error).message).toBe(
      'tensor "bert.w": element 2500 is -65520, the largest f16 is 65504; load it as a wider type',
    );
    expect(await collect(checkpoint.chunks("bert.w", "f32", 1000))).toEqual(Array.from(data));
  });

  test("65519 rounds down to the largest f16, infinity and NaN pass, 1e39 does not fit f32", async () => {
    const special = await ofValues("F32", Float32Array.of(65519, Infinity, -Infinity, Number.NaN));
    expect(await collect(special.chunks("x", "f16"))).toEqual([0x7bff, 0x7c00, 0xfc00, 0x7e00]);
    const large = await ofValues("F64", Float64Array.of(2 ** 128 - 2 ** 103 - 2 ** 76));
    expect(await collect(large.chunks("x", "f32"))).toEqual([2 ** 128 - 2 ** 104]);
    const larger = await ofValues("F64", Float64Array.of(2 ** 128 - 2 ** 103));
    await expect(collect(larger.chunks("x", "f32"))).rejects.toThrow(/the largest f32 is 3\.4028234663852886e\+38/);
    const brain = await ofValues("BF16", Uint16Array.of(0x4780));
    await expect(collect(brain.chunks("x", "f16"))).rejects.toThrow(/element 0 is 65536/);
  });
});

describe("folders", () => {
  const a = { dtype: "F32", shape: [2], data: Float32Array.of(1, 2) };
  const b = { dtype: "F16", shape: [1], data: Uint16Array.of(0x3c00) };
  const shards = { "s-1.safetensors": buildSafetensors({ a }), "s-2.safetensors": buildSafetensors({ b }) };
  const index = (map: Record<string, unknown>, metadata: unknown = { total_size: 10 }) =>
    JSON.stringify({ metadata, weight_map: map });
  const good = index({ a: "s-1.safetensors", b: "s-2.safetensors" });

  test("one file", async () => {
    const folder = memoryFolder({ "model.safetensors": buildSafetensors({ a, b }), [INDEX]: "not looked at" });
    const checkpoint = await openCheckpoint(folder);
    expect(checkpoint.tensors.get("b")).toMatchObject({ file: "model.safetensors", shape: [1], bytes: 2 });
    expect(folder.opened).toEqual(["model.safetensors"]);
    await checkpoint.close();
    expect(folder.opened).toEqual([]);
  });

  test("shards under one set of names", async () => {
    const folder = memoryFolder({ ...shards, [INDEX]: good });
    const checkpoint = await openCheckpoint(folder);
    expect([...checkpoint.tensors.keys()]).toEqual(["a", "b"]);
    expect(checkpoint.tensors.get("b")!.file).toBe("s-2.safetensors");
    expect([...checkpoint.files.keys()]).toEqual(["s-1.safetensors", "s-2.safetensors"]);
    expect(await collect(checkpoint.chunks("b", "f32"))).toEqual([1]);
    expect(await checkpoint.read("a")).toEqual(a.data);
    expect(checkpoint.warnings).toEqual([]);
    await checkpoint.close();
    expect(folder.opened).toEqual([]);
    expect(await describeCheckpoint(folder)).toMatchObject({
      kind: "model folder",
      files: 2,
      tensors: 2,
      parameters: 3,
      bytes: 10,
      dtypes: { F32: 2, F16: 1 },
    });
  });

  test("a wrong total_size is only a warning", async () => {
    const map = { a: "s-1.safetensors", b: "s-2.safetensors" };
    const checkpoint = await openCheckpoint(memoryFolder({ ...shards, [INDEX]: index(map, { total_size: 11 }) }));
    expect(checkpoint.warnings).toEqual([`${INDEX}: total_size is 11, the tensors take 10 bytes`]);
  });

  test.each<[string, string, RegExp]>([
    ["no JSON", "x", /index\.json: not valid JSON: "{" expected at character 0/],
    ["no map", "{}", /it has no weight_map/],
    ["a map that is a list", '{"weight_map":[]}', /it has no weight_map/],
    ["an empty map", index({}), /it has no weight_map/],
    ["a name twice", good.replace('"b"', '"a"'), /index\.json: tensor "a" is there twice/],
    ["the map twice", good.replace("{", `{"weight_map":{"a":"s-1.safetensors"},`), /"weight_map" is there twice/],
    ["a number for a file", index({ a: 1, b: "s-2.safetensors" }), /the file of tensor "a" is not a string/],
    ["a missing file", index({ a: "s-1.safetensors", b: "s-3.safetensors" }), /"s-3.safetensors" is not there/],
    [
      "a tensor in another file",
      index({ a: "s-2.safetensors", b: "s-2.safetensors" }),
      /s-2.safetensors: no tensor "a"/,
    ],
    ["an unlisted tensor", index({ a: "s-1.safetensors", x: "s-2.safetensors" }), /s-2.*tensor "b" is not in .*index/],
    ["the wrong file", index({ a: "s-2.safetensors", b: "s-1.safetensors" }), /"a" should be in "s-2.safetensors" by/],
  ])("index with %s", async (_, text, message) => {
    const folder = memoryFolder({ ...shards, [INDEX]: text });
    expect(await faultsOf(openCheckpoint(folder))).toMatch(message);
    expect(folder.opened).toEqual([]);
  });

  test.each([
    "../s.safetensors",
    "x/../../s.safetensors",
    "/etc/passwd",
    "C:/s.safetensors",
    "..\\s.safetensors",
    "%2e%2e/s.safetensors",
    "..%2fs.safetensors",
    "%252e%252e/s.safetensors",
    "https://example.org/s.safetensors",
    "x//s.safetensors",
    "./s.safetensors",
    "s.safetensors\0.json",
    "",
    ".",
  ])("a shard named %j is refused before it is opened", async (path) => {
    const folder = memoryFolder({ [INDEX]: index({ a: path }) });
    const asked: string[] = [];
    const watched: Folder = {
      name: "watched",
      open(file) {
        asked.push(file);
        return folder.open(file);
      },
    };
    expect(await faultsOf(openCheckpoint(watched))).toMatch(/file name ".*" is refused: it /);
    expect(asked).toEqual(["model.safetensors", INDEX]);
  });

  test("the faults of all shards come together, and everything is closed", async () => {
    const folder = memoryFolder({
      "s-1.safetensors": shards["s-1.safetensors"].slice(0, -1),
      "s-2.safetensors": new Uint8Array(3),
      "s-3.safetensors": shards["s-2.safetensors"],
      [INDEX]: index({ a: "s-1.safetensors", x: "s-2.safetensors", y: "s-3.safetensors", z: "../up" }),
    });
    const faults = (await faultsOf(openCheckpoint(folder))).split("\n");
    expect(faults).toHaveLength(5);
    expect(faults[0]).toMatch(/^s-1.safetensors: the tensors take 8 bytes, the file has 7/);
    expect(folder.opened).toEqual([]);
    expect((await describeCheckpoint(folder)).faults).toEqual(faults);
  });

  test("an index that is not UTF-8 is a fault, a file that cannot be read is an error", async () => {
    expect(await faultsOf(openCheckpoint(memoryFolder({ [INDEX]: Uint8Array.of(0xff) })))).toMatch(/not UTF-8/);
    const broken = { name: "broken", open: () => Promise.reject(new Error("EIO")) };
    await expect(openCheckpoint(broken)).rejects.toThrow("EIO");
  });

  test("a mutated index is read or refused, never anything else", async () => {
    const mutation = fc.record({ at: fc.nat(), text: fc.string({ maxLength: 3 }), drop: fc.nat(3) });
    await fc.assert(
      fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 2 }), async (mutations) => {
        let text = good;
        for (const { at, text: added, drop } of mutations) {
          const place = at % text.length;
          text = text.slice(0, place) + added + text.slice(place + drop);
        }
        const { faults } = await describeCheckpoint(memoryFolder({ ...shards, [INDEX]: text }));
        expect(Array.isArray(faults)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test("other formats are named, and so is nothing at all", async () => {
    expect(await faultsOf(openCheckpoint(memoryFolder({ "tf_model.h5": "" })))).toMatch(
      /^neither model.safetensors nor pytorch_model.bin, only tf_model.h5, the format of TensorFlow; .*save_pretrained/,
    );
    expect(await faultsOf(openCheckpoint(memoryFolder({ "config.json": "{}" })))).toBe(
      "neither model.safetensors nor pytorch_model.bin is there",
    );
  });
});

describe("memory", () => {
  const MiB = 2 ** 20;
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "checkpoint-"));
  });
  afterAll(() => rm(dir, { recursive: true }));

  test.each(["f32", "f16"] as const)("400 MB pass through as %s in less than 64 MB", async (target) => {
    const elements = 100_000_000;
    const header = rawSafetensors(`{"w":${entry("F32", [elements], 0, 4 * elements)}}`);
    const path = join(dir, "large.safetensors");
    const handle = await openHandle(path, "w");
    await handle.write(header);
    await handle.truncate(header.length + 4 * elements); // sparse: takes no disk
    await handle.close();

    const checkpoint = await openCheckpointFile(await openFile(path));
    const before = process.memoryUsage.rss();
    const began = process.cpuUsage(); // not the clock's: other programs may keep the processor
    let most = 0;
    let seen = 0;
    for await (const chunk of checkpoint.chunks("w", target)) {
      seen += chunk.length;
      most = Math.max(most, process.memoryUsage.rss() - before);
    }
    const { user, system } = process.cpuUsage(began);
    await checkpoint.close();
    expect(seen).toBe(elements);
    expect(most / MiB).toBeLessThan(64);
    expect((user + system) / 1e6).toBeLessThan(20);
  });
});

const SHARED = fileURLToPath(new URL("../../../shared/", import.meta.url));

describe.skipIf(!existsSync(SHARED))("real checkpoints (skipped without ../shared)", () => {
  test("every safetensors file of the fixtures and models reads as a naive reader reads it", async () => {
    const paths: string[] = [];
    for (const root of ["fixtures", "models"]) {
      const names = await readdir(join(SHARED, root), { recursive: true });
      paths.push(...names.filter((name) => name.endsWith(".safetensors")).map((name) => join(SHARED, root, name)));
    }
    expect(paths.length).toBeGreaterThan(0);
    for (const path of paths) {
      const bytes = await readFile(path);
      const data = 8 + Number(bytes.readBigUInt64LE(0));
      const { __metadata__: metadata, ...header } = JSON.parse(bytes.toString("utf8", 8, data));
      const checkpoint = await openCheckpointFile(await openFile(path));
      expect(Object.fromEntries([...checkpoint.files.values()][0]!.metadata)).toEqual(metadata ?? {});
      expect([...checkpoint.tensors.keys()].sort()).toEqual(Object.keys(header).sort());
      for (const [name, { dtype, shape }] of checkpoint.tensors) {
        expect({ dtype, shape }).toMatchObject({ dtype: header[name].dtype, shape: header[name].shape });
        const [begin, end] = header[name].data_offsets;
        const elements = await checkpoint.read(name);
        expect(Buffer.compare(Buffer.from(elements.buffer), bytes.subarray(data + begin, data + end))).toBe(0);
      }
      await checkpoint.close();
    }
  });

  test("shards make one checkpoint, and BF16 reads as plausible weights", async () => {
    const sharded = await openCheckpoint(openFolder(join(SHARED, "fixtures/inference/pretraining-sharded")));
    const brain = await openCheckpoint(openFolder(join(SHARED, "fixtures/inference/pretraining-bf16")));
    expect([sharded.files.size, sharded.tensors.size, sharded.warnings]).toEqual([3, 46, []]);
    expect(new Set(sharded.tensors.keys())).toEqual(new Set(brain.tensors.keys()));
    for (const checkpoint of [sharded, brain]) {
      for (const name of checkpoint.tensors.keys()) {
        expect((await checkpoint.readFloats(name)).every((value) => Math.abs(value) < 3)).toBe(true);
        expect((await collect(checkpoint.chunks(name, "f16"))).every((bits) => Math.abs(fromFloat16(bits)) < 3)).toBe(
          true,
        );
      }
      await checkpoint.close();
    }
  });
});
