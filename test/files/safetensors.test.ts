import fc from "fast-check";
import * as oracle from "safetensors";
import { describe, expect, test } from "vitest";
import { bytesSource } from "../../src/files/bytes.ts";
import { describeCheckpoint } from "../../src/files/describe.ts";
import { bitsOf, DTYPES, type StoredDType } from "../../src/files/dtype.ts";
import { SafetensorsError } from "../../src/files/faults.ts";
import { openSafetensors, type SafetensorsFile } from "../../src/files/safetensors.ts";
import { buildSafetensors, entry, rawSafetensors } from "./build.ts";

const open = (bytes: Uint8Array): Promise<SafetensorsFile> => openSafetensors(bytesSource("test.safetensors", bytes));

async function faultsOf(bytes: Uint8Array): Promise<readonly string[]> {
  try {
    await open(bytes);
  } catch (error) {
    if (error instanceof SafetensorsError) return error.faults;
    throw error;
  }
  return [];
}

/** The header of one tensor "a", and as many bytes as given. */
const one = (text: string, bytes: number): Uint8Array => rawSafetensors(`{"a":${text}}`, new Uint8Array(bytes));

describe("accepted", () => {
  test("names, types, shapes, places, metadata; in the order of the data", async () => {
    const header = `{"b":${entry("F16", [2, 3], 4, 16)},"__metadata__":{"format":"pt","é":"😀"},"a":${entry("F32", [], 0, 4)}}`;
    const { tensors, metadata } = await open(rawSafetensors(header, new Uint8Array(16)));
    const data = 8 + new TextEncoder().encode(header).length;
    expect([...tensors.values()]).toEqual([
      { name: "a", dtype: "F32", shape: [], elements: 1, begin: data, bytes: 4 },
      { name: "b", dtype: "F16", shape: [2, 3], elements: 6, begin: data + 4, bytes: 12 },
    ]);
    expect(Object.fromEntries(metadata)).toEqual({ format: "pt", é: "😀" });
  });

  test.each([
    ["no tensors", "{}", 0],
    ["white space after the header", "{}\r \t\n", 0],
    ["a scalar", `{"a":${entry("I32", [], 0, 4)}}`, 4],
    ["an empty tensor", `{"a":${entry("I32", [2, 0], 0, 0)}}`, 0],
    ["an empty tensor among others", `{"a":${entry("U8", [2], 0, 2)},"b":${entry("U8", [0], 2, 2)}}`, 2],
    ["an empty tensor of absurd shape", `{"a":${entry("F64", [0, 2 ** 52, 2 ** 52], 0, 0)}}`, 0],
    ["empty metadata", `{"__metadata__":{}}`, 0],
    [
      "keys this version does not know",
      `{"a":{"new":[{"x":1,"x":[null,true,-1.5e3,"\\n"]}],${entry("U8", [1], 0, 1).slice(1)}}`,
      1,
    ],
    ["escapes in keys", `{"a":{"\\u0064type":"U8","sh\\u0061pe":[1],"data_offsets":[0,1]}}`, 1],
    ["an empty name", `{"":${entry("U8", [1], 0, 1)}}`, 1],
    [
      "names that objects inherit",
      `{"__proto__":${entry("U8", [1], 0, 1)},"constructor":${entry("U8", [1], 1, 2)}}`,
      2,
    ],
    ["half a byte an element", `{"a":${entry("F4", [2, 3], 0, 3)}}`, 3],
    ["six bits an element", `{"a":${entry("F6_E2M3", [4], 0, 3)}}`, 3],
  ])("%s", async (_, header, bytes) => {
    expect(await faultsOf(rawSafetensors(header, new Uint8Array(bytes)))).toEqual([]);
  });

  test.each(DTYPES)("type %s", async (dtype) => {
    const { tensors } = await open(one(entry(dtype, [8], 0, bitsOf(dtype)), bitsOf(dtype)));
    expect(tensors.get("a")).toMatchObject({ dtype, shape: [8], elements: 8, bytes: bitsOf(dtype) });
  });
});

describe("refused", () => {
  const good = entry("U8", [1], 0, 1);

  test.each<[string, Uint8Array, RegExp]>([
    ["an empty file", new Uint8Array(), /^0 bytes, 8 are needed/],
    ["a file of 7 bytes", new Uint8Array(7), /^7 bytes, 8 are needed/],
    ["a header too large", rawSafetensors("{}", undefined, 8_000_001n), /header of 8000001 bytes, at most 8000000/],
    [
      "a header absurdly large",
      rawSafetensors("{}", undefined, 2n ** 64n - 1n),
      /header of 18446744073709551615 bytes/,
    ],
    ["a header cut short", rawSafetensors("{}", undefined, 60n), /header of 60 bytes, but 2 follow its length/],
    ["an empty header", rawSafetensors(""), /header begins with ""/],
    ["a header that is not UTF-8", rawSafetensors(Uint8Array.of(0xff)), /not UTF-8/],
    ["a header that is not JSON", rawSafetensors("{"), /not valid JSON.* character 1, found the end/],
    ["white space before the header", rawSafetensors(" {}"), /begins with " ", it must begin with "{"/],
    ["a byte order mark", rawSafetensors("\ufeff{}"), /begins with ".", it must begin with "{"/],
    ["an array", rawSafetensors("[]"), /begins with "\["/],
    ["text after the header", rawSafetensors("{}{}"), /the end expected at character 2, found "{"/],
    ["NUL after the header", rawSafetensors("{}\0"), /the end expected at character 2/],
    ["a comma too many", rawSafetensors(`{"a":${good},}`, new Uint8Array(1)), /not valid JSON/],
    ["a control character in a name", rawSafetensors(`{"a\tb":${good}}`, new Uint8Array(1)), /not valid JSON/],
    ["half a surrogate pair", rawSafetensors(`{"\\ud800":${good}}`, new Uint8Array(1)), /half a surrogate pair/],
    ["a number out of range", one(`{"x":1e999,${good.slice(1)}`, 1), /number out of range/],
    ["a name twice", rawSafetensors(`{"a":${good},"a":${good}}`, new Uint8Array(1)), /^"a" is there twice/],
    [
      "a name twice, once escaped",
      rawSafetensors(`{"a":${good},"\\u0061":${good}}`, new Uint8Array(1)),
      /"a" is there/,
    ],
    ["metadata twice", rawSafetensors(`{"__metadata__":{},"__metadata__":{}}`), /"__metadata__" is there twice/],
    [
      "a key of metadata twice",
      rawSafetensors(`{"__metadata__":{"k":"1","k":"2"}}`),
      /__metadata__: "k" is there twice/,
    ],
    [
      "a number in metadata",
      rawSafetensors(`{"__metadata__":{"k":1}}`),
      /__metadata__: the value of "k" is not a string/,
    ],
    ["metadata that is a list", rawSafetensors(`{"__metadata__":[]}`), /__metadata__ is not an object/],
    ["a field twice", one(`{"dtype":"I8",${good.slice(1)}`, 1), /"a": dtype is given twice/],
    ["an entry that is a list", one(`["U8",[1],[0,1]]`, 1), /"a": not an object of dtype, shape and data_offsets/],
    ["no dtype", one(`{"shape":[1],"data_offsets":[0,1]}`, 1), /"a": no dtype/],
    ["no shape", one(`{"dtype":"U8","data_offsets":[0,1]}`, 1), /"a": no shape/],
    ["no offsets", one(`{"dtype":"U8","shape":[1]}`, 1), /"a": no data_offsets/],
    ["an unknown type", one(entry("float16", [1], 0, 1), 1), /"a": dtype "float16" is not one of .*F32/],
    ["a type in lower case", one(entry("f32", [1], 0, 4), 4), /"a": dtype "f32" is not one of/],
    ["a type objects inherit", one(entry("toString", [1], 0, 4), 4), /"a": dtype "toString" is not one of/],
    ["a type that is a number", one(`{"dtype":1,"shape":[1],"data_offsets":[0,1]}`, 1), /dtype is not a string/],
    ["a shape that is a number", one(`{"dtype":"U8","shape":1,"data_offsets":[0,1]}`, 1), /shape is not an array/],
    ["a negative size", one(entry("U8", [-1], 0, 1), 1), /shape\[0\] is -1, it must be a whole number/],
    ["a fraction", one(`{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}`, 1), /shape\[0\] is 1\.0/],
    ["an exponent", one(`{"dtype":"U8","shape":[1,1e0],"data_offsets":[0,1]}`, 1), /shape\[1\] is 1e0/],
    ["a size in quotes", one(`{"dtype":"U8","shape":["1"],"data_offsets":[0,1]}`, 1), /shape\[0\] is not a number/],
    ["a size past 2^53", one(`{"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,1]}`, 1), /9007199254740993/],
    ["65 dimensions", one(entry("U8", Array(65).fill(1), 0, 1), 1), /shape has more than 64 numbers/],
    [
      "one offset",
      one(`{"dtype":"U8","shape":[1],"data_offsets":[0]}`, 1),
      /data_offsets has 1 numbers, it must have 2/,
    ],
    ["three offsets", one(`{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}`, 1), /data_offsets has 3 numbers/],
    [
      "a product past 2^53",
      one(entry("I32", [2 ** 30, 2 ** 30], 0, 16), 16),
      /\[1073741824,1073741824\] x I32 is more/,
    ],
    ["a size in bits past 2^53", one(entry("F64", [2 ** 52], 0, 16), 16), /x F64 is more than 2\^53 bits/],
    ["fewer bytes than the shape", one(entry("I32", [2, 2], 0, 4), 4), /\[2,2\] x I32 takes 16 bytes, .* hold 4/],
    ["half a byte left over", one(entry("F4", [3], 0, 2), 2), /\[3\] x F4 does not fill whole bytes/],
    ["offsets that run backwards", one(entry("U8", [0], 1, 0), 0), /data_offsets \[1, 0\] run backwards/],
    ["a hole before", one(entry("U8", [1], 1, 2), 2), /"a" begins at byte 1 of the data, byte 0 is in no tensor/],
    [
      "bytes after the tensors",
      one(entry("U8", [1], 0, 1), 3),
      /take 1 bytes, the file has 3: the rest is in no tensor/,
    ],
    ["bytes missing", one(entry("U8", [3], 0, 3), 1), /take 3 bytes, the file has 1: it is cut short/],
    ["bytes without tensors", rawSafetensors("{}", new Uint8Array(5)), /take 0 bytes, the file has 5/],
  ])("%s", async (_, bytes, message) => {
    const faults = await faultsOf(bytes);
    expect(faults).not.toEqual([]);
    expect(faults.join("\n")).toMatch(message);
  });

  test("a hole between, an overlap, and the same bytes given out many times", async () => {
    const pair = (begin: number) => `{"a":${entry("U8", [4], 0, 4)},"b":${entry("U8", [4], begin, begin + 4)}}`;
    expect(await faultsOf(rawSafetensors(pair(6), new Uint8Array(10)))).toEqual([
      'tensor "b" begins at byte 6 of the data, byte 4 is in no tensor',
    ]);
    expect(await faultsOf(rawSafetensors(pair(2), new Uint8Array(6)))).toEqual([
      'tensor "b" begins at byte 2 of the data, before the end of "a" at byte 4',
    ]);
    const attack = Array.from({ length: 10 }, (_, i) => `"weight_${i}":${entry("F32", [2, 2], 0, 16)}`);
    expect(await faultsOf(rawSafetensors(`{${attack}}`, new Uint8Array(16)))).toHaveLength(9);
    const inside = `{"z":${entry("U8", [0], 1, 1)},"a":${entry("U8", [2], 0, 2)}}`;
    expect(await faultsOf(rawSafetensors(inside, new Uint8Array(2)))).toHaveLength(1);
  });

  test("all faults come in one message", async () => {
    const header = `{"a":${entry("F31", [1], 0, 4)},"b":{"dtype":"F32","shape":[-1]},"__metadata__":{"k":0}}`;
    const error = await open(rawSafetensors(header)).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(SafetensorsError);
    const { message, faults } = error as SafetensorsError;
    expect(faults).toHaveLength(4);
    expect(message).toMatch(/^test\.safetensors: 4 faults\n- tensor "a": dtype "F31"/);
    for (const fault of faults) expect(message).toContain(fault);
  });

  test("what is not safetensors at all is recognised", async () => {
    const file = (text: string) => Uint8Array.from(text.padEnd(64, " "), (character) => character.charCodeAt(0));
    const [lfs] = await faultsOf(file("version https://git-lfs.github.com/spec/v1\n"));
    expect(lfs).toMatch(/header of \d+ bytes.*Git LFS pointer.*git lfs pull/);
    expect((await faultsOf(file("PK\x03\x04\0\0\0\0")))[0]).toMatch(/torch\.save/);
    expect((await faultsOf(file("<!DOCTYPE html>")))[0]).toMatch(/web page/);
  });

  test("a hostile header exhausts neither the stack nor anybody's patience", async () => {
    const deep = await faultsOf(one("[".repeat(5_000_000), 0));
    expect(deep.join()).toMatch(/nested deeper than 127 at character 132/);
    const objects = await faultsOf(one('{"a":'.repeat(1_000_000), 0));
    expect(objects.join()).toMatch(/nested deeper than 127/);
    const many = await faultsOf(rawSafetensors(`{${Array.from({ length: 50_000 }, (_, i) => `"${i}":0`)}}`));
    expect(many).toHaveLength(101);
    expect(many[100]).toBe("and 49900 more");
    const numbers = await faultsOf(one(`{"x":[${"1,".repeat(375_000)}1]}`, 0));
    expect(numbers.join()).toMatch(/more than 750000 values/);
    const long = await faultsOf(rawSafetensors(`{"${"\\u001b".repeat(100_000)}":0}`));
    expect(long[0]!.length).toBeLessThan(2000);
  });
});

const dtypes = DTYPES.filter((dtype) => bitsOf(dtype) >= 8);

/** Tensors of random types and shapes, and bytes to fill them. */
const tensorsArbitrary = fc.dictionary(
  fc.string({ unit: "grapheme" }).filter((name) => name !== "__metadata__"),
  fc.tuple(fc.constantFrom(...dtypes), fc.array(fc.nat(4), { maxLength: 4 })).chain(([dtype, shape]) => {
    const length = (shape.reduce((product, size) => product * size, 1) * bitsOf(dtype)) / 8;
    return fc.uint8Array({ minLength: length, maxLength: length }).map((data) => ({ dtype, shape, data }));
  }),
  { maxKeys: 6, noNullPrototype: true },
);

describe("fuzz", () => {
  test("what was written is read", async () => {
    await fc.assert(
      fc.asyncProperty(
        tensorsArbitrary,
        fc.dictionary(fc.string(), fc.string(), { noNullPrototype: true }),
        async (written, notes) => {
          const { source, tensors, metadata } = await open(buildSafetensors(written, notes));
          expect(new Set(tensors.keys())).toEqual(new Set(Object.keys(written)));
          expect(metadata).toEqual(new Map(Object.entries(notes)));
          for (const { name, dtype, shape, begin, bytes } of tensors.values()) {
            expect({ dtype, shape, data: await source.read(begin, bytes) }).toEqual(written[name]);
          }
        },
      ),
    );
  });

  test("random bytes are refused with a SafetensorsError", async () => {
    const header = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc.json().map((text) => new TextEncoder().encode(text)),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.uint8Array({ maxLength: 64 }),
          header.map((bytes) => rawSafetensors(bytes)),
        ),
        async (bytes) => {
          await faultsOf(bytes); // anything but a SafetensorsError is thrown
        },
      ),
      { numRuns: 1000 },
    );
  });

  test("a mutated file is read or refused, never anything else", async () => {
    const mutation = fc.record({ at: fc.nat(), byte: fc.nat(255), kind: fc.constantFrom("set", "cut", "insert") });
    await fc.assert(
      fc.asyncProperty(
        tensorsArbitrary,
        fc.array(mutation, { minLength: 1, maxLength: 3 }),
        async (written, mutations) => {
          let bytes = Array.from(buildSafetensors(written, { format: "pt" }));
          for (const { at, byte, kind } of mutations) {
            const place = at % bytes.length;
            if (kind === "cut") bytes = bytes.slice(0, Math.max(place, 1));
            else bytes.splice(place, kind === "set" ? 1 : 0, byte);
          }
          const file = Uint8Array.from(bytes);
          if ((await faultsOf(file)).length > 0) return;
          const { tensors, source } = await open(file);
          const total = [...tensors.values()].reduce((sum, tensor) => sum + tensor.bytes, 0);
          const first = [...tensors.values()][0];
          if (first !== undefined) expect(first.begin + total).toBe(source.size);
        },
      ),
      { numRuns: 1000 },
    );
  });
});

test("agrees with the safetensors package of npm on files that it can read", async () => {
  await fc.assert(
    fc.asyncProperty(tensorsArbitrary, async (written) => {
      const bytes = buildSafetensors(written); // it fails on __metadata__
      const theirs = new oracle.SafeTensor(bytes);
      const { source, tensors } = await open(bytes);
      expect(new Set(tensors.keys())).toEqual(new Set(theirs.metadata.keys()));
      for (const { name, dtype, shape, begin, bytes: length } of tensors.values()) {
        const their = theirs.metadata.get(name)!;
        expect({ dtype, shape }).toEqual({ dtype: their.dtype as StoredDType, shape: their.shape });
        expect(await source.read(begin, length)).toEqual(theirs.getTensor(name));
      }
    }),
  );
});

describe("description", () => {
  test("of a good file", async () => {
    const bytes = buildSafetensors({
      a: { dtype: "F32", shape: [2, 3], data: new Float32Array(6) },
      b: { dtype: "F32", shape: [], data: new Float32Array(1) },
      ids: { dtype: "I64", shape: [1, 4], data: new BigInt64Array(4) },
    });
    expect(await describeCheckpoint(bytesSource("x", bytes))).toEqual({
      kind: "safetensors file",
      files: 1,
      tensors: 3,
      parameters: 11,
      bytes: 60,
      dtypes: { F32: 7, I64: 4 },
      faults: [],
      warnings: [],
    });
  });

  test("of a broken one is its faults", async () => {
    const description = await describeCheckpoint(bytesSource("x", one(entry("F32", [-1], 0, 4), 4)));
    expect(description).toMatchObject({ kind: "safetensors file", files: 0, tensors: 0, parameters: 0 });
    expect(description.faults).toHaveLength(1);
  });
});
