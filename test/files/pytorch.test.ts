import { existsSync } from "node:fs";
import { mkdtemp, open as openHandle, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { bytesSource } from "../../src/files/bytes.ts";
import { type Checkpoint, openCheckpoint, openCheckpointFile } from "../../src/files/checkpoint.ts";
import { CheckpointError } from "../../src/files/faults.ts";
import { openFile, openFolder } from "../../src/node/folder.ts";
import { buildSafetensors, memoryFolder } from "./build.ts";
import {
  archiveFiles,
  buildArchive,
  buildLegacy,
  buildZip,
  bytes,
  call,
  dict,
  FILE,
  int,
  little,
  ORDERED_DICT,
  type TestFile,
  text,
  VALUES,
} from "./pytorch_build.ts";

const open = (content: Uint8Array): Promise<Checkpoint> => openCheckpointFile(bytesSource("model.bin", content));

const STRIDED = ["transposed", "corner", "stepped", "repeated"];

describe("containers", () => {
  const containers: readonly (readonly [string, Uint8Array])[] = [
    ["a zip archive", buildArchive(FILE)],
    ["a zip64 archive", buildZip(archiveFiles(FILE), true)],
    ["a zip archive with a comment", buildZip(archiveFiles(FILE), false, "PK\x05\x06 is not here")],
    ["a file from before 1.6", buildLegacy(FILE)],
  ];

  test.each(containers)("%s gives all tensors", async (_, content) => {
    const checkpoint = await open(content);
    expect([...checkpoint.tensors.keys()]).toEqual(Object.keys(VALUES));
    for (const [name, values] of Object.entries(VALUES)) {
      const { shape, strides, dtype, elements, bytes } = checkpoint.tensors.get(name)!;
      expect({ shape, strides }, name).toEqual({
        shape: FILE.tensors![name]!.shape,
        strides: STRIDED.includes(name) ? FILE.tensors![name]!.strides : undefined,
      });
      expect([dtype, elements, bytes]).toEqual(
        name === "longs" ? ["I64", 2, 16] : ["F32", values.length, 4 * values.length],
      );
      expect([...(await checkpoint.readFloats(name))], name).toEqual(values);
      for (let offset = 0; offset < elements; offset++) {
        expect([...(await checkpoint.readFloats(name, { offset, count: 1 }))], name).toEqual([values[offset]]);
      }
      const slices: number[] = [];
      for await (const slice of checkpoint.chunks(name, "f32", 1)) slices.push(...slice);
      expect(slices).toEqual(values);
    }
    expect(checkpoint.warnings).toEqual([]);
  });

  test("every storage type", async () => {
    const storages: TestFile["storages"] = {
      F32: { type: "FloatStorage", data: Float32Array.of(1.5) },
      F64: { type: "DoubleStorage", data: Float64Array.of(-2) },
      F16: { type: "HalfStorage", data: Uint16Array.of(0x3c00) },
      BF16: { type: "BFloat16Storage", data: Uint16Array.of(0x3f80) },
      I64: { type: "LongStorage", data: BigInt64Array.of(-3n) },
      I32: { type: "IntStorage", data: Int32Array.of(-4) },
      I16: { type: "ShortStorage", data: Int16Array.of(-5) },
      I8: { type: "CharStorage", data: Int8Array.of(-6) },
      U8: { type: "ByteStorage", data: Uint8Array.of(200) },
      BOOL: { type: "BoolStorage", data: Uint8Array.of(1) },
    };
    const tensors = Object.fromEntries(
      Object.keys(storages).map((storage) => [storage, { storage, shape: [1], strides: [1] }]),
    );
    for (const content of [buildArchive({ storages, tensors }), buildLegacy({ storages, tensors })]) {
      const checkpoint = await open(content);
      for (const [name, { data }] of Object.entries(storages)) {
        expect(checkpoint.tensors.get(name)!.dtype).toBe(name);
        expect(await checkpoint.read(name)).toEqual(data);
      }
    }
  });

  test("a state dict in a checkpoint of training, with attributes and entries that are no tensors", async () => {
    const file: TestFile = {
      ...FILE,
      root: (tensors) => {
        const state = bytes(
          call(ORDERED_DICT),
          dict({ ...tensors, step: int(3) }).slice(1),
          dict({ _metadata: dict({}) }),
          "b",
        );
        return dict({ epoch: int(7), state_dict: state, note: text("é") });
      },
    };
    for (const content of [buildArchive(file), buildLegacy(file)]) {
      const { tensors, warnings } = await open(content);
      expect([...tensors.keys()]).toEqual(Object.keys(VALUES));
      expect(warnings).toEqual(['model.bin: 3 entries that are no tensors are left out: "epoch", "note", "step"']);
    }
  });

  test("entries by the hundred thousand", async () => {
    const notes = Array.from({ length: 200_000 }, (_, i) => `X\x0b\0\0\0note.${String(i).padStart(6, "0")}N`).join("");
    const file: TestFile = {
      ...FILE,
      root: (tensors) => bytes("}(", notes, text("state_dict"), dict(tensors), "u"),
    };
    const { warnings } = await open(buildArchive(file));
    expect(warnings).toEqual([
      expect.stringMatching(/200000 entries that are no tensors are left out: "note.000000", .*, \.\.\.$/),
    ]);
  });

  test("pickles that are longer than the first read", async () => {
    const tensors = Object.fromEntries(
      Array.from({ length: 3000 }, (_, i) => [
        `tensor.${i}`,
        { storage: "0", shape: [2], strides: [1], offset: i % 11 },
      ]),
    );
    const file = { storages: { "0": FILE.storages["0"]! }, tensors };
    const content = buildLegacy(file);
    expect(content.length).toBeGreaterThan(2 ** 18);
    expect([...(await (await open(content)).readFloats("tensor.2999"))]).toEqual([7, 8]);
  });

  test("only the pickle and the headers are read at first", async () => {
    const data = new Float32Array(1_000_000);
    const file: TestFile = {
      storages: { "0": { type: "FloatStorage", data } },
      tensors: { x: { storage: "0", shape: [1_000_000], strides: [1] } },
    };
    for (const content of [buildArchive(file), buildLegacy(file)]) {
      let read = 0;
      const source = bytesSource("model.bin", content);
      await openCheckpointFile({
        ...source,
        read(offset, length) {
          read += length;
          return source.read(offset, length);
        },
      });
      expect(read).toBeLessThan(200_000);
    }
  });
});

describe("folders", () => {
  const safetensors = buildSafetensors({ x: { dtype: "F32", shape: [1], data: Float32Array.of(1) } });
  const shard = (name: string, value: number): Uint8Array =>
    buildArchive({
      storages: { "0": { type: "FloatStorage", data: Float32Array.of(value) } },
      tensors: { [name]: { storage: "0", shape: [1], strides: [1] } },
    });
  const index = (map: Record<string, string>, file = "pytorch_model.bin"): Record<string, string> => ({
    [`${file}.index.json`]: JSON.stringify({ metadata: { total_size: 8 }, weight_map: map }),
  });
  const shards = { "p-1.bin": shard("x", 2), "p-2.bin": shard("y", 3), ...index({ x: "p-1.bin", y: "p-2.bin" }) };

  test("safetensors is preferred, then one file, then shards", async () => {
    const files = { "model.safetensors": safetensors, "pytorch_model.bin": shard("x", 4), ...shards };
    const value = async (folder: Record<string, Uint8Array | string>): Promise<number> => {
      const opened = memoryFolder(folder);
      const checkpoint = await openCheckpoint(opened);
      const [first] = await checkpoint.readFloats("x");
      await checkpoint.close();
      expect(opened.opened).toEqual([]);
      return first!;
    };
    expect(await value(files)).toBe(1);
    const { "model.safetensors": _, ...pytorch } = files;
    expect(
      await value({ ...pytorch, "m.safetensors": safetensors, ...index({ x: "m.safetensors" }, "model.safetensors") }),
    ).toBe(1);
    expect(await value(pytorch)).toBe(4);
    expect(await value(shards)).toBe(2);
  });

  test("shards are held against their index", async () => {
    const checkpoint = await openCheckpoint(memoryFolder(shards));
    expect([...checkpoint.tensors.values()].map(({ name, file }) => [name, file])).toEqual([
      ["x", "p-1.bin"],
      ["y", "p-2.bin"],
    ]);
    expect(checkpoint.warnings).toEqual([]);
    const wrong = memoryFolder({
      ...shards,
      "p-2.bin": shard("z", 1).slice(0, -1),
      ...index({ x: "p-2.bin", y: "../p-1.bin" }),
    });
    const error = await openCheckpoint(wrong).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(CheckpointError);
    expect((error as CheckpointError).faults).toEqual([
      "p-2.bin: the zip archive has no directory at its end: it is cut short",
      expect.stringMatching(/^file name "..\/p-1.bin" is refused/),
    ]);
    expect(wrong.opened).toEqual([]);
  });
});

test("400 MB pass through in less than 64 MB", async () => {
  const elements = 100_000_000;
  const dir = await mkdtemp(join(tmpdir(), "pytorch-"));
  try {
    // All but the data, which is a hole in the file.
    const view = { storage: "0", shape: [elements / 4, 4], strides: [4, 1] };
    const file: TestFile = {
      storages: { "0": { type: "FloatStorage", data: new Float32Array() } },
      tensors: { w: { ...view, elements }, t: { ...view, elements, shape: [1000, 4], strides: [1, elements / 4] } },
    };
    const path = join(dir, "pytorch_model.bin");
    const head = buildLegacy(file, { data: little(elements, 8) });
    const handle = await openHandle(path, "w");
    await handle.write(head);
    await handle.truncate(head.length + 4 * elements);
    await handle.close();
    const checkpoint = await openCheckpointFile(await openFile(path));
    const before = process.memoryUsage.rss();
    let most = 0;
    const seen: Record<string, number> = {};
    for (const name of ["w", "t"]) {
      for await (const chunk of checkpoint.chunks(name, "f32")) {
        seen[name] = (seen[name] ?? 0) + chunk.length;
        most = Math.max(most, process.memoryUsage.rss() - before);
      }
    }
    await checkpoint.close();
    expect(seen).toEqual({ w: elements, t: 4000 });
    expect(most / 2 ** 20).toBeLessThan(64);
  } finally {
    await rm(dir, { recursive: true });
  }
});

const FIXTURES = fileURLToPath(new URL("../../../shared/fixtures/", import.meta.url));

describe.skipIf(!existsSync(FIXTURES))("files of torch itself (skipped without ../shared)", () => {
  const variants = ["zip", "legacy", "parameters", "shared-storage", "strided"];

  test.each(variants)("%s holds the weights of seqcls-single, bit for bit", async (variant) => {
    const expected = await openCheckpoint(openFolder(join(FIXTURES, "inference/seqcls-single")));
    const checkpoint = await openCheckpoint(openFolder(join(FIXTURES, "pytorch", variant)));
    expect(new Set(checkpoint.tensors.keys())).toEqual(new Set(expected.tensors.keys()));
    for (const [name, { dtype, shape }] of expected.tensors) {
      expect(checkpoint.tensors.get(name)).toMatchObject({ dtype, shape });
      expect(await checkpoint.read(name)).toEqual(await expected.read(name));
    }
    const strided = [...checkpoint.tensors.values()].filter(({ strides }) => strides !== undefined).length;
    expect(strided > 0).toBe(variant === "strided");
    expect(checkpoint.warnings).toEqual([]);
    await checkpoint.close();
    await expected.close();
  });
});
