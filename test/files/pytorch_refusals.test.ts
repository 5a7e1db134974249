import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesSource } from "../../src/files/bytes.ts";
import { type Checkpoint, openCheckpoint, openCheckpointFile } from "../../src/files/checkpoint.ts";
import { CheckpointError, PyTorchError } from "../../src/files/faults.ts";
import { random } from "../support.ts";
import { memoryFolder } from "./build.ts";
import {
  archiveFiles,
  buildArchive,
  buildLegacy,
  buildZip,
  bytes,
  type Code,
  call,
  dict,
  FALSE,
  FILE,
  global,
  int,
  ints,
  LEGACY_MAGIC,
  list,
  little,
  NONE,
  pickle,
  type TestFile,
  text,
  type ZipFile,
  zip64End,
} from "./pytorch_build.ts";

const open = (content: Uint8Array): Promise<Checkpoint> => openCheckpointFile(bytesSource("model.bin", content));

async function refusal(content: Uint8Array): Promise<string> {
  const error = await open(content).catch((caught: unknown) => caught);
  if (!(error instanceof PyTorchError)) throw new Error(`no PyTorchError but ${error}`);
  expect(error.message.startsWith("model.bin: ")).toBe(true);
  return error.faults.join("\n");
}

describe("refusals", () => {
  const one: TestFile = {
    storages: { "0": FILE.storages["0"]! },
    tensors: { x: { storage: "0", shape: [12], strides: [1] } },
  };
  const view = (change: object): TestFile => ({ ...one, tensors: { x: { ...one.tensors!.x!, ...change } } });
  const rooted = (root: ReturnType<typeof int>): TestFile => ({ ...one, root: () => root });

  test.each<[string, TestFile, RegExp]>([
    ["past the end", view({ offset: 1 }), /^tensor "x": its last element is number 12 of a storage of 12$/],
    [
      "past the end by a stride",
      view({ shape: [2], strides: [12] }),
      /its last element is number 12 of a storage of 12/,
    ],
    ["an offset without end", view({ offset: 2 ** 53 - 1 }), /its last element is number 9007199254741002 of/],
    [
      "a stride without end",
      view({ shape: [3], strides: [2 ** 53 - 1] }),
      /its last element is number 18014398509481982/,
    ],
    [
      "a negative stride",
      view({ shape: [2], strides: [-1], offset: 1 }),
      /strides \[-1\], offset 1: none may be negative/,
    ],
    ["a negative size", view({ shape: [-1] }), /size \[-1\], .* none may be negative/],
    ["a negative offset", view({ offset: -1 }), /offset -1: none may be negative/],
    ["too few strides", view({ shape: [2, 2] }), /it has 2 sizes, but 1 strides/],
    [
      "a product beyond 2^53",
      view({ shape: Array(64).fill(2 ** 52), strides: Array(64).fill(0) }),
      /more than 2\^53 bits/,
    ],
    [
      "a product beyond 2^53 of nothing",
      view({ shape: [0, 2 ** 52, 2 ** 52], strides: [0, 0, 0] }),
      /more than 2\^53 bits/,
    ],
    [
      "one element a billion times",
      view({ shape: [2 ** 30], strides: [0] }),
      /the tensors repeat a file of \d+ bytes until they take 4294967296/,
    ],
    [
      "a storage that is not there",
      view({ elements: 13 }),
      /storage "0", 13 x F32(, takes 52 bytes, its entry has 48| at byte)/,
    ],
    ["a storage of another type", view({ type: "DoubleStorage" }), /storage "0", 12 x F64/],
    ["a storage without end", view({ elements: 2n ** 50n }), /storage "0", 1125899906842624 x F32/],
    [
      "os.system",
      rooted(call(global("posix", "system"), text("touch x"))),
      /global "posix.system" is refused, nothing was executed; .* at byte \d+ of the pickle/,
    ],
    ["a list", rooted(list(int(1))), /(it holds a list of 1, not a state dict with tensors|storage "0")/],
    ["two values", rooted(bytes(int(1), int(2))), /leaves more than one value/],
    ["an integer of 2 GiB", rooted([0x8b, 0, 0, 0, 0x7f]), /an integer of 2130706432 bytes/],
  ])("%s", async (_, file, message) => {
    expect(await refusal(buildArchive(file))).toMatch(message);
    expect(await refusal(buildLegacy(file))).toMatch(message);
  });

  test("a shape cannot grow once it has been checked", async () => {
    // A list for a shape, remembered, given to a tensor, and then appended to.
    const grown = (extra: Code): TestFile => ({
      ...one,
      root: (tensors) => {
        const [before, after] = split(tensors.x!, ints([12]));
        return bytes("}(", text("x"), before!, list(int(12)), "q", [0xc8], after!, text("y"), "h", [0xc8], extra, "au");
      },
    });
    for (const extra of [int(2n ** 60n), NONE, text("a"), int(-1)]) {
      const checkpoint = await open(buildArchive(grown(extra)));
      expect(checkpoint.tensors.get("x")!.shape).toEqual([12]);
      expect(await checkpoint.read("x")).toEqual(one.storages["0"]!.data);
    }
  });

  test("all tensors that are at fault are named at once", async () => {
    const { x } = one.tensors!;
    const tensors = { good: x!, a: { ...x!, offset: 1 }, b: { ...x!, strides: [2] } };
    expect(await refusal(buildArchive({ ...one, tensors }))).toMatch(/^tensor "a": .*\ntensor "b": .*$/);
  });

  const files = archiveFiles(one);
  const changed = (name: string, change: Partial<ZipFile>): Uint8Array =>
    buildZip(files.map((file) => (file.name === `model/${name}` ? { ...file, ...change } : file)));
  const whole = buildZip(files);
  const whole64 = buildZip(files, true);
  const patched = (content: Uint8Array, at: number, value: number): Uint8Array => {
    const copy = content.slice();
    copy[at < 0 ? copy.length + at : at] = value;
    return copy;
  };

  test.each<[string, Uint8Array, RegExp]>([
    [
      "a compressed pickle",
      changed("data.pkl", { method: 8 }),
      /entry "model\/data.pkl" is compressed \(method 8\); .*save it again/,
    ],
    ["a compressed storage", changed("data/0", { method: 12 }), /entry "model\/data\/0" is compressed/],
    ["an encrypted storage", changed("data/0", { flags: 1 }), /entry "model\/data\/0" is encrypted/],
    [
      "big-endian numbers",
      changed("byteorder", { content: bytes("big") }),
      /its byte order is "big", only "little" is read/,
    ],
    [
      "a byte order of a megabyte",
      changed("byteorder", { content: new Uint8Array(2 ** 20) }),
      /1048576 bytes, at most 64/,
    ],
    ["an entry twice", buildZip([...files, files[2]!]), /entry "model\/data\/0" is there twice/],
    ["two pickles", buildZip([...files, { ...files[0]!, name: "other/data.pkl" }]), /2 files NAME\/data.pkl/],
    ["no pickle", buildZip(files.slice(1)), /a zip archive with 0 files NAME\/data.pkl/],
    [
      "no storage",
      buildZip(files.filter(({ name }) => name !== "model/data/0")),
      /storage "0" is missing: there is no entry "model\/data\/0"/,
    ],
    [
      "TorchScript",
      buildZip([...files, { name: "model/constants.pkl", content: pickle(int(1)) }]),
      /a program of TorchScript/,
    ],
    [
      "an entry past the end",
      changed("data/0", { size: 10_000 }),
      /entry "model\/data\/0" of 10000 bytes at byte \d+ is not within/,
    ],
    ["a header elsewhere", changed("data/0", { header: 1 }), /entry "model\/data\/0": there is no entry at byte 1/],
    [
      "another name in its own header",
      changed("data/0", { ownName: "model/data/1" }),
      /its own header calls it "model\/data\/1"/,
    ],
    [
      "bytes after the pickle",
      changed("data.pkl", { content: bytes(files[0]!.content, "N") }),
      /1 bytes follow the end of the pickle/,
    ],
    ["no end", whole.slice(0, -1), /no directory at its end: it is cut short/],
    ["nothing but a beginning", bytes("PK\x03\x04"), /no directory at its end/],
    [
      "bytes before the archive",
      bytes("PK\x03\x04", whole),
      /the zip directory of \d+ bytes at byte \d+ does not end at byte/,
    ],
    ["a part of several", patched(whole, -18, 1), /one part of several/],
    ["more entries than there are", patched(whole, -12, 200), /the zip directory is damaged at its entry 4 of 200/],
    ["fewer entries than there are", patched(whole, -12, 1), /the zip directory has \d+ bytes, its 1 entries take \d+/],
    ["a damaged directory", patched(whole, whole.lastIndexOf(0x50, -60), 0), /(damaged at its entry|not within)/],
    ["a zip64 record elsewhere", patched(whole64, -22 - 12, 9), /(no zip64 record at byte|it is not)/],
    [
      "a zip64 record past the end",
      patched(whole64, -22 - 6, 9),
      /the zip64 record is said to be at byte \d+, it is not/,
    ],
    [
      "a million entries",
      bytes("PK\x03\x04", zip64End({ entries: 1_000_000n, size: 0n, begin: 4n })),
      /1000000 entries in 0 bytes, at most/,
    ],
    [
      "a directory of 2^60 bytes",
      bytes("PK\x03\x04", zip64End({ entries: 1n, size: 2n ** 60n, begin: 4n })),
      /does not end at byte/,
    ],
  ])("a zip archive with %s", async (_, content, message) => {
    expect(await refusal(content)).toMatch(message);
  });

  test.each<[string, Uint8Array, RegExp]>([
    [
      "another magic number",
      buildLegacy(one, { magic: pickle(int(1)) }),
      /a pickle, but not of torch.save: it begins with 1/,
    ],
    ["another protocol", buildLegacy(one, { protocol: pickle(int(1002)) }), /torch.save's protocol 1002, 1001 is read/],
    [
      "big-endian numbers",
      buildLegacy(one, { system: pickle(dict({ little_endian: FALSE })) }),
      /little_endian is false/,
    ],
    ["no system", buildLegacy(one, { system: pickle(int(1)) }), /little_endian is None/],
    ["keys that are no list", buildLegacy(one, { keys: pickle(int(1)) }), /the list of storage keys is 1/],
    [
      "keys that are numbers",
      buildLegacy(one, { keys: pickle(list(int(0))) }),
      /the list of storage keys is a list of 1/,
    ],
    [
      "a key too few",
      buildLegacy(one, { keys: pickle(list()), data: bytes() }),
      /storage "0" is not listed among the 0/,
    ],
    [
      "a key too many",
      buildLegacy(one, { keys: pickle(list(text("1"))) }),
      /storage "1" is listed, but no tensor is a view of it/,
    ],
    ["a key twice", buildLegacy(one, { keys: pickle(list(text("0"), text("0"))) }), /storage "0" is listed twice/],
    [
      "another count",
      buildLegacy(one, { data: bytes(little(13, 8), new Uint8Array(48)) }),
      /has 13 elements by its own account/,
    ],
    ["data cut short", buildLegacy(one).slice(0, -1), /ends at byte \d+, the file has \d+: it is cut short/],
    ["no data", buildLegacy(one, { data: bytes() }), /it is cut short/],
    ["bytes after the end", bytes(buildLegacy(one), [0]), /the storages end at byte \d+, the file has/],
    ["nothing but a magic number", LEGACY_MAGIC, /protocol version: 1 bytes are needed, 0 left/],
    [
      "os.system for a protocol",
      buildLegacy(one, { protocol: pickle(global("posix", "system")) }),
      /protocol version: global "posix.system"/,
    ],
    [
      "an endless string",
      bytes(LEGACY_MAGIC, pickle(int(1001)), [0x80, 2], "X", little(2 ** 32 - 1, 4)),
      /4294967295 bytes are needed/,
    ],
  ])("a file from before 1.6 with %s", async (_, content, message) => {
    expect(await refusal(content)).toMatch(message);
  });

  test("what is no file of torch.save at all", async () => {
    const refuse = async (content: string): Promise<string> => {
      const folder = memoryFolder({ "pytorch_model.bin": content });
      const error = await openCheckpoint(folder).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(PyTorchError);
      expect(folder.opened).toEqual([]);
      return (error as PyTorchError).message;
    };
    const neither = "pytorch_model.bin: neither a zip archive nor a pickle, as torch.save writes";
    expect(await refuse("")).toBe(neither);
    expect(await refuse("version https://git-lfs.github.com/spec/v1\n")).toMatch(/: run `git lfs pull`$/);
    expect(await refuse("<!DOCTYPE html>")).toMatch(/it is a web page/);
  });

  test("a file that is refused is closed", async () => {
    const folder = memoryFolder({ "pytorch_model.bin": whole.slice(0, -1) });
    await expect(openCheckpoint(folder)).rejects.toThrow(PyTorchError);
    expect(folder.opened).toEqual([]);
  });
});

/** What stands before and after the first `part` of `code`. */
function split(code: Code, part: Code): Uint8Array[] {
  const all = bytes(code);
  const at = all.findIndex((_, i) => part.every((byte, k) => all[i + k] === byte));
  return [all.slice(0, at), all.slice(at + part.length)];
}

/** Whatever was done to a file: it is read in full, or refused. */
async function survives(content: Uint8Array): Promise<boolean> {
  try {
    const checkpoint = await open(content);
    for (const name of checkpoint.tensors.keys()) await checkpoint.read(name);
    return true;
  } catch (error) {
    if (error instanceof CheckpointError) return false;
    throw error;
  }
}

const mutation = fc.record({ at: fc.nat(), added: fc.uint8Array({ maxLength: 4 }), dropped: fc.nat(4) });

async function mutate(content: Uint8Array, numRuns: number, within: number): Promise<number> {
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 3 }), async (mutations) => {
      let mutated: Uint8Array = content;
      for (const { at, added, dropped } of mutations) {
        // The ends are where the structure is; a change of the data between them changes nothing.
        const place = at % 2 ? (at >> 1) % within : mutated.length - 1 - ((at >> 1) % within);
        mutated = bytes(mutated.slice(0, Math.max(place, 0)), added, mutated.slice(place + dropped));
      }
      if (!(await survives(mutated))) refused++;
    }),
    { numRuns },
  );
  return refused;
}

describe("mutated files are read or refused, never anything else", () => {
  test.each([
    ["a zip archive", buildArchive(FILE)],
    ["a zip64 archive", buildZip(archiveFiles(FILE), true)],
    ["a file from before 1.6", buildLegacy(FILE)],
  ])("%s", async (_, content) => {
    expect(await mutate(content, 2000, content.length)).toBeGreaterThan(1000);
    for (let length = 0; length < content.length; length += 7)
      expect(await survives(content.slice(0, length))).toBe(false);
  });

  test("one byte of the pickle at a time", async () => {
    const files = archiveFiles(FILE);
    const original = files[0]!.content;
    const next = random(2);
    for (let at = 0; at < original.length; at++) {
      await survives(buildZip([{ ...files[0]!, content: original.with(at, 256 * next()) }, ...files.slice(1)]));
    }
  });
});

const FIXTURES = fileURLToPath(new URL("../../../shared/fixtures/", import.meta.url));

describe.skipIf(!existsSync(FIXTURES))("files of torch itself (skipped without ../shared)", () => {
  const variants = ["zip", "legacy", "parameters", "shared-storage", "strided"];

  test.each(variants)("%s, mutated, is read or refused", async (variant) => {
    const content = new Uint8Array(await readFile(join(FIXTURES, "pytorch", variant, "pytorch_model.bin")));
    expect(await mutate(content, 100, 5000)).toBeGreaterThan(30);
  });
});
