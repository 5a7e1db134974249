import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToFloat16,
  fromFloat16,
  numbersToFloat16,
  toFloat16,
} from "../../src/files/float16.ts";

const ALL_BITS = Uint16Array.from({ length: 65536 }, (_, i) => i);

/** What f16 bits stand for, by the definition of the format. */
function meaning(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 0x3ff;
  if (exponent === 31) return mantissa === 0 ? sign * Infinity : Number.NaN;
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1024 + mantissa) * 2 ** (exponent - 25));
}

/** The finite magnitudes in order, and what would follow the largest one: infinity stands there. */
const MAGNITUDES = Float64Array.from({ length: 0x7c01 }, (_, bits) => (bits === 0x7c00 ? 65536 : meaning(bits)));

/** Nearest f16, ties to even, by bisection among all of them: midpoints are exact in float64. */
function nearest(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (magnitude >= 65536) return sign | 0x7c00;
  let low = 0;
  let high = 0x7c00;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (MAGNITUDES[middle]! <= magnitude) low = middle;
    else high = middle;
  }
  const middle = (MAGNITUDES[low]! + MAGNITUDES[high]!) / 2;
  if (magnitude === middle) return sign | (low % 2 === 0 ? low : high);
  return sign | (magnitude < middle ? low : high);
}

const isNan = (bits: number): boolean => (bits & 0x7fff) > 0x7c00;

/** Every f16, the midpoints above it, and their neighbours in float64 and float32. */
function hardValues(): number[] {
  const values: number[] = [];
  for (let bits = 0; bits < 0x7c00; bits++) {
    for (const exact of [MAGNITUDES[bits]!, (MAGNITUDES[bits]! + MAGNITUDES[bits + 1]!) / 2]) {
      for (const epsilon of [0, 2 ** -23, 2 ** -24, 2 ** -40, 2 ** -52]) {
        values.push(exact * (1 + epsilon), exact * (1 - epsilon));
      }
    }
  }
  return [...values, ...values.map((value) => -value), Infinity, -Infinity, Number.NaN, 1e308, 5e-324];
}

describe("f16 to f32", () => {
  test("every one of the 65,536 bit patterns is its value", () => {
    const values = float16ToFloat32(ALL_BITS);
    const wrong = ALL_BITS.filter((bits) => !Object.is(values[bits], meaning(bits)));
    expect(wrong).toHaveLength(0);
    expect(ALL_BITS.every((bits) => Object.is(fromFloat16(bits), meaning(bits)))).toBe(true);
  });

  test("every one goes there and back; NaN stays NaN", () => {
    const back = float32ToFloat16(float16ToFloat32(ALL_BITS));
    const wrong = ALL_BITS.filter((bits) => (isNan(bits) ? !isNan(back[bits]!) : back[bits] !== bits));
    expect(wrong).toHaveLength(0);
    expect(Array.from(ALL_BITS, (bits) => toFloat16(fromFloat16(bits)))).toEqual(Array.from(back));
  });
});

describe("to f16", () => {
  const values = hardValues();

  test("f32 rounds to nearest, ties to even, subnormals included", () => {
    const singles = Float32Array.from(values);
    const result = float32ToFloat16(singles);
    const wrong = Array.from(singles, (value, i) => [value, result[i], nearest(value)]).filter(([, a, b]) => a !== b);
    expect(wrong.slice(0, 5)).toEqual([]);
  });

  test("float64 is rounded once, not by way of f32", () => {
    const result = numbersToFloat16(values);
    const wrong = values.map((value, i) => [value, result[i], nearest(value)]).filter(([, a, b]) => a !== b);
    expect(wrong.slice(0, 5)).toEqual([]);
    // In f32 this is the tie between 1 and 1 + 2^-10 exactly, which would go to 1.
    expect(fromFloat16(toFloat16(1 + 2 ** -11 + 2 ** -40))).toBe(1 + 2 ** -10);
  });

  test("named cases", () => {
    const cases: [number, number][] = [
      [0, 0x0000],
      [-0, 0x8000],
      [1, 0x3c00],
      [65504, 0x7bff],
      [65519.99, 0x7bff],
      [65520, 0x7c00],
      [-65520, 0xfc00],
      [2 ** -14, 0x0400], // the smallest normal
      [2 ** -24, 0x0001], // the smallest subnormal
      [2 ** -25, 0x0000], // a tie, to even: zero
      [2 ** -25 * (1 + 2 ** -23), 0x0001],
      [3 * 2 ** -25, 0x0002], // a tie, to even: up
      [(1023.5 / 1024) * 2 ** -14, 0x0400], // a tie that carries from subnormal to normal
      [1 + 2 ** -11, 0x3c00],
      [1 + 3 * 2 ** -11, 0x3c02],
      [Number.NaN, 0x7e00],
    ];
    for (const [value, bits] of cases) expect([value, toFloat16(value)]).toEqual([value, bits]);
  });

  test("random values, any bits", () => {
    fc.assert(
      fc.property(fc.double(), fc.float(), (double, single) => {
        expect(toFloat16(double)).toBe(nearest(double));
        expect(toFloat16(single)).toBe(nearest(single));
        expect(float32ToFloat16(Float32Array.of(single))[0]).toBe(nearest(single));
      }),
      { numRuns: 2000 },
    );
  });

  test("NaN of any payload and sign stays NaN", () => {
    const bits = Uint32Array.of(0x7f800001, 0xff800001, 0x7fc00000, 0x7fffffff, 0xffffffff);
    expect(float32ToFloat16(new Float32Array(bits.buffer)).every(isNan)).toBe(true);
  });
});

// Not in Node 20: a second opinion where the runtime has one.
const native = DataView.prototype as unknown as {
  getFloat16?: (offset: number) => number;
  setFloat16?: (offset: number, value: number) => void;
};
test.skipIf(native.getFloat16 === undefined)(
  "agrees with DataView's float16 (skipped where the runtime has none)",
  () => {
    const view = new DataView(new ArrayBuffer(2)) as DataView & Required<typeof native>;
    for (const bits of ALL_BITS) {
      view.setUint16(0, bits);
      expect(fromFloat16(bits)).toBe(view.getFloat16(0));
    }
    for (const value of hardValues()) {
      view.setFloat16(0, value);
      if (!Number.isNaN(value)) expect(toFloat16(value)).toBe(view.getUint16(0));
    }
  },
);

describe("bf16 to f32", () => {
  test("is the upper half of an f32", () => {
    const values = bfloat16ToFloat32(ALL_BITS);
    const bits = new Uint32Array(values.buffer);
    expect(ALL_BITS.every((half) => bits[half] === half * 65536)).toBe(true);
    expect(Array.from(bfloat16ToFloat32(Uint16Array.of(0x3f80, 0xc000, 0x0001, 0x7f80)))).toEqual([
      1,
      -2,
      2 ** -133,
      Infinity,
    ]);
  });
});

test("arrays may begin anywhere in their buffer, and be empty", () => {
  const buffer = new ArrayBuffer(16);
  const singles = new Float32Array(buffer, 4, 2);
  singles.set([1, -2]);
  expect(Array.from(float32ToFloat16(singles))).toEqual([0x3c00, 0xc000]);
  expect(Array.from(float16ToFloat32(Uint16Array.of(9, 0x3c00, 0xc000).subarray(1)))).toEqual([1, -2]);
  expect(float32ToFloat16(new Float32Array())).toHaveLength(0);
});
