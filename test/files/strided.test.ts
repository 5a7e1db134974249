import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ByteSource, bytesSource } from "../../src/files/bytes.ts";
import { gather, isRowMajor } from "../../src/files/pytorch/strided.ts";
import { random } from "../support.ts";
import { counting } from "./pytorch_build.ts";

describe("views", () => {
  const sourceOf = (storage: ArrayBufferView): ByteSource =>
    bytesSource("storage", new Uint8Array(storage.buffer, storage.byteOffset, storage.byteLength));

  test("any shape, strides, slice and size of element are gathered as told", async () => {
    const axis = fc.record({ size: fc.integer({ min: 1, max: 5 }), stride: fc.integer({ min: 0, max: 9 }) });
    const cases = fc.record({
      axes: fc.array(axis, { maxLength: 4 }),
      offset: fc.nat(9),
      from: fc.nat(),
      to: fc.nat(),
      size: fc.constantFrom(1, 2, 4, 8),
      shift: fc.nat(7),
    });
    await fc.assert(
      fc.asyncProperty(cases, async ({ axes, offset, from, to, size, shift }) => {
        const shape = axes.map((axis) => axis.size);
        const strides = axes.map((axis) => axis.stride);
        let places = [offset];
        for (const axis of axes)
          places = places.flatMap((place) => Array.from({ length: axis.size }, (_, i) => place + i * axis.stride));
        const [first, last] = [from % (places.length + 1), to % (places.length + 1)].sort((a, b) => a - b);
        const next = random(1);
        const storage = Uint8Array.from({ length: (Math.max(...places) + 1) * size + shift }, () => 256 * next());
        const expected = places
          .slice(first, last)
          .flatMap((place) => [...storage.subarray(shift + place * size, shift + (place + 1) * size)]);
        const tensor = { shape, strides, begin: shift + offset * size };
        expect([...(await gather(sourceOf(storage), tensor, size, first!, last! - first!))]).toEqual(expected);
        const rowMajor = places.every((place, i) => place === offset + i);
        expect(isRowMajor(shape, strides)).toBe(rowMajor);
      }),
      { numRuns: 500 },
    );
  });

  test("a storage larger than a window is gone through once, and gaps are left out", async () => {
    const storage = counting(5 << 20); // 20 MiB
    const reads: number[] = [];
    const source = sourceOf(storage);
    const watched: ByteSource = {
      ...source,
      read(offset, length) {
        reads.push(length);
        return source.read(offset, length);
      },
    };
    const wide = await gather(watched, { shape: [5, 4], strides: [1 << 20, 1], begin: 0 }, 4, 0, 20);
    expect([...new Float32Array(wide.buffer)]).toEqual(
      Array.from({ length: 20 }, (_, i) => (i >> 2) * 2 ** 20 + (i % 4)),
    );
    expect(reads.reduce((sum, length) => sum + length)).toBeLessThanOrEqual(20 << 20);
    reads.length = 0;
    await gather(watched, { shape: [2], strides: [(5 << 20) - 1], begin: 0 }, 4, 0, 2);
    expect(reads).toEqual([4 << 20, 4]);
  });
});
