/** Rows to int8, and streams of them into GPU memory. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Allocation } from "../../src/runtime/allocation.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { quantizedTable, quantizeRow, streamQuantized } from "../../src/runtime/quantize.ts";
import { randomNumbers } from "../cases.ts";
import { testDevice } from "../device.ts";

const int8Of = (codes: Uint32Array, count: number): number[] => [...new Int8Array(codes.buffer).subarray(0, count)];

describe("a row", () => {
  test("has its largest value at 127 and no value further off than half a step", () => {
    const row = Float32Array.from(randomNumbers(5).values(37, 0.3));
    const codes = new Uint32Array(10);
    const scale = quantizeRow(row, codes);
    const int8 = int8Of(codes, 40);
    expect(Math.max(...int8.map(Math.abs))).toBe(127);
    for (const [i, value] of row.entries()) {
      expect(Math.abs(int8[i]! * scale - value)).toBeLessThanOrEqual(scale * 0.5001);
    }
    expect(int8.slice(37)).toEqual([0, 0, 0]);
  });

  test("of zeros has scale 0, one that is not finite has scale NaN", () => {
    const codes = new Uint32Array(1).fill(7);
    expect(quantizeRow(new Float32Array(3), codes)).toBe(0);
    expect(int8Of(codes, 4)).toEqual([0, 0, 0, 0]);
    expect(quantizeRow(Float32Array.of(1, Number.NEGATIVE_INFINITY), codes)).toBeNaN();
    expect(quantizeRow(Float32Array.of(1, Number.NaN), codes)).toBeNaN();
  });
});

describe("a stream", () => {
  let engine: Engine;
  let allocation: Allocation;
  beforeAll(async () => {
    engine = await Engine.create(await testDevice());
    allocation = engine.allocate();
  });
  afterAll(() => engine.dispose());

  async function* slices(values: Float32Array<ArrayBuffer>, size: number): AsyncGenerator<Float32Array<ArrayBuffer>> {
    for (let from = 0; from < values.length; from += size) yield values.subarray(from, from + size);
  }

  test.each([1, 7, 23, 1000])("in slices of %i arrives as its rows one by one", async (size) => {
    const [rows, cols] = [9, 11];
    const values = Float32Array.from(randomNumbers(2).values(rows * cols));
    const table = quantizedTable(allocation, "w", rows, cols);
    await streamQuantized(allocation, table, slices(values, size));
    const want = new Uint32Array(rows * 3);
    const scales = Float32Array.from({ length: rows }, (_, r) =>
      quantizeRow(values.subarray(r * cols, (r + 1) * cols), want.subarray(r * 3, r * 3 + 3)),
    );
    expect(await read(engine, table.codes.parts[0]!.buffer, want.byteLength)).toEqual(new Uint8Array(want.buffer));
    expect(await read(engine, table.scales.parts[0]!.buffer, 36)).toEqual(new Uint8Array(scales.buffer));
  });

  test("too short or too long is refused with both numbers", async () => {
    const table = quantizedTable(allocation, "w", 2, 5);
    await expect(streamQuantized(allocation, table, slices(new Float32Array(9), 4))).rejects.toThrow(
      "w: 9 elements, [2, 5] needs 10",
    );
    await expect(streamQuantized(allocation, table, slices(new Float32Array(15), 15))).rejects.toThrow(
      "more elements than the 10 of [2, 5]",
    );
  });
});

async function read({ device }: Engine, buffer: GPUBuffer, bytes: number): Promise<Uint8Array> {
  const copy = device.createBuffer({ size: bytes, usage: 0x01 | 0x08 });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, copy, 0, bytes);
  device.queue.submit([encoder.finish()]);
  await copy.mapAsync(0x01);
  const result = new Uint8Array(copy.getMappedRange().slice(0));
  copy.destroy();
  return result;
}
