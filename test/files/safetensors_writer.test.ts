import { describe, expect, test } from "vitest";
import { bytesSource } from "../../src/files/bytes.ts";
import { type Checkpoint, openCheckpointFile } from "../../src/files/checkpoint.ts";
import { OverflowError } from "../../src/files/dtype.ts";
import { planSafetensors, type WriteOptions, writeSafetensors } from "../../src/files/safetensors_writer.ts";
import { buildSafetensors, type TestTensor } from "./build.ts";
import { buildArchive, bytes, FILE, VALUES } from "./pytorch_build.ts";

const open = (content: Uint8Array): Promise<Checkpoint> => openCheckpointFile(bytesSource("model", content));
const ofTensors = (tensors: Record<string, TestTensor>): Promise<Checkpoint> => open(buildSafetensors(tensors));

async function write(checkpoint: Checkpoint, options?: WriteOptions): Promise<Uint8Array> {
  const plan = planSafetensors(checkpoint, options);
  const slices: Uint8Array[] = [];
  for await (const slice of writeSafetensors(checkpoint, plan)) slices.push(slice);
  const file = bytes(...slices);
  expect(file.length).toBe(plan.bytes);
  return file;
}

describe("a written file", () => {
  test("holds every tensor of a PyTorch file, each with bytes of its own", async () => {
    const written = await open(await write(await open(buildArchive(FILE)), { metadata: { format: "pt" } }));
    expect(new Set(written.tensors.keys())).toEqual(new Set(Object.keys(VALUES)));
    for (const [name, values] of Object.entries(VALUES)) {
      expect([...(await written.readFloats(name))], name).toEqual(values);
      expect(written.tensors.get(name)!.shape).toEqual(FILE.tensors![name]!.shape);
    }
    expect([...written.files.values()][0]!.metadata).toEqual(new Map([["format", "pt"]]));
  });

  test("keeps every type and every bit, wide types first, aligned", async () => {
    const tensors: Record<string, TestTensor & { readonly data: { readonly BYTES_PER_ELEMENT: number } }> = {
      flag: { dtype: "BOOL", shape: [3], data: Uint8Array.of(1, 0, 1) },
      half: { dtype: "F16", shape: [1], data: Uint16Array.of(0x7e01) },
      b: { dtype: "F32", shape: [2], data: new Float32Array(Uint32Array.of(0x7fc00001, 0xff800001).buffer) },
      a: { dtype: "I32", shape: [1], data: Int32Array.of(-1) },
      wide: { dtype: "I64", shape: [1], data: BigInt64Array.of(-(2n ** 63n)) },
      brain: { dtype: "BF16", shape: [1], data: Uint16Array.of(0x3f80) },
      "naïve \u0001": { dtype: "F64", shape: [], data: Float64Array.of(Math.PI) },
    };
    const content = await write(await ofTensors(tensors));
    const written = await open(content);
    expect([...written.tensors.keys()]).toEqual(["naïve \u0001", "wide", "a", "b", "brain", "half", "flag"]);
    for (const [name, { dtype, data }] of Object.entries(tensors)) {
      const { begin, bytes, ...tensor } = written.tensors.get(name)!;
      expect(tensor.dtype).toBe(dtype);
      expect(begin % data.BYTES_PER_ELEMENT, name).toBe(0);
      expect(content.slice(begin, begin + bytes), name).toEqual(new Uint8Array(data.buffer));
    }
    expect(await write(written)).toEqual(content);
  });

  test("in another type has its floating-point tensors in that type", async () => {
    const stored = await ofTensors({
      f64: { dtype: "F64", shape: [1], data: Float64Array.of(1 / 3) },
      f32: { dtype: "F32", shape: [1], data: Float32Array.of(1 / 3) },
      f16: { dtype: "F16", shape: [1], data: Uint16Array.of(0x3c00) },
      bf16: { dtype: "BF16", shape: [1], data: Uint16Array.of(0x3f80) },
      ids: { dtype: "I64", shape: [1], data: BigInt64Array.of(70000n) },
      empty: { dtype: "F32", shape: [0], data: new Float32Array() },
    });
    for (const [dtype, name, third] of [
      ["f16", "F16", 0.333251953125],
      ["f32", "F32", Math.fround(1 / 3)],
    ] as const) {
      const written = await open(await write(stored, { dtype }));
      for (const tensor of ["f64", "f32", "f16", "bf16", "empty"])
        expect(written.tensors.get(tensor)!.dtype).toBe(name);
      const values = await Promise.all(["f64", "f32", "f16", "bf16"].map((tensor) => written.readFloats(tensor)));
      expect(values.map(([value]) => value)).toEqual([third, third, 1, 1]);
      expect(await written.read("ids")).toEqual(BigInt64Array.of(70000n));
      const { tensors } = planSafetensors(stored, { dtype });
      const kept = tensors.filter(({ target }) => target === undefined).map((tensor) => tensor.name);
      expect(kept).toEqual(dtype === "f16" ? ["ids", "f16"] : ["ids", "empty", "f32"]);
    }
  });

  test("comes in slices", async () => {
    const data = Float32Array.from({ length: 3_000_000 }, (_, i) => i);
    const checkpoint = await ofTensors({ x: { dtype: "F32", shape: [data.length], data } });
    const lengths: number[] = [];
    for await (const slice of writeSafetensors(checkpoint, planSafetensors(checkpoint))) lengths.push(slice.length);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(4 << 20);
    const written = await (await open(await write(checkpoint))).read("x");
    expect(written.length).toBe(data.length);
    expect(data.every((value, i) => written[i] === value)).toBe(true); // toEqual takes half a minute
  });
});

test("what cannot be written is refused before anything is", async () => {
  const odd = await ofTensors({ e: { dtype: "F8_E4M3", shape: [1], data: new Uint8Array(1) } });
  expect(() => planSafetensors(odd)).toThrow('model: tensor "e" is F8_E4M3, which is not read');
  const { "0": storage } = FILE.storages;
  const tensors = { __metadata__: { storage: "0", shape: [1], strides: [1] } };
  const reserved = await open(buildArchive({ storages: { "0": storage! }, tensors }));
  expect(() => planSafetensors(reserved)).toThrow(/"__metadata__" has a name that safetensors keeps for itself/);
});

test("a value beyond the type asked for is named", async () => {
  const checkpoint = await ofTensors({ w: { dtype: "F32", shape: [2], data: Float32Array.of(1, 1e6) } });
  await expect(write(checkpoint, { dtype: "f16" })).rejects.toThrow(OverflowError);
});
