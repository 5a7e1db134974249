/**
 * IEEE 754 binary16 (f16) and bfloat16 (bf16), by arithmetic: JavaScript has no arrays of them everywhere yet. Both
 * travel as their bits in a `Uint16Array`. Widening is exact; narrowing rounds to nearest, ties to even, and gives
 * infinity from 65520 on, where the largest finite f16, 65504, is no longer the nearest. NaN stays NaN.
 */

/** Added and taken away again, rounds a smaller number to a whole one, ties to even. */
const WHOLE = 4_503_599_627_370_496;

/** The f16 bits nearest to a number, rounded once from float64. */
export function toFloat16(value: number): number {
  if (Number.isNaN(value)) return float32ToFloat16(Float32Array.of(value))[0]!; // with its sign
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (magnitude >= 65520) return sign | 0x7c00;
  const scaled = magnitude * 2 ** 14; // below 1 where the result is subnormal, with no exponent of its own
  const exponent = Math.max(0, 31 - Math.clz32(scaled));
  // up to 2048, the implied bit with it; a carry goes where it must, be it into the exponent
  const mantissa = (scaled / (1 << exponent)) * 1024 + WHOLE - WHOLE;
  return sign | ((exponent << 10) + mantissa);
}

/** The number that f16 bits stand for. */
export function fromFloat16(bits: number): number {
  const exponent = (bits >>> 10) & 0x1f;
  if (exponent === 0x1f) return float16ToFloat32(Uint16Array.of(bits))[0]!; // infinity, NaN
  const mantissa = bits & 0x3ff;
  const magnitude = exponent === 0 ? mantissa * 2 ** -24 : (1024 + mantissa) * (1 << exponent) * 2 ** -25;
  return bits & 0x8000 ? -magnitude : magnitude;
}

/** f32 to f16 bits. */
export function float32ToFloat16(source: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(source.buffer, source.byteOffset, source.length);
  const result = new Uint16Array(source.length);
  for (let i = 0; i < result.length; i++) result[i] = narrow(bits[i]!);
  return result;
}

/** float64, or integers, to f16 bits, rounded once. */
export function numbersToFloat16(source: ArrayLike<number>): Uint16Array<ArrayBuffer> {
  const result = new Uint16Array(source.length);
  for (let i = 0; i < result.length; i++) result[i] = toFloat16(source[i]!);
  return result;
}

/** f16 bits to f32. */
export function float16ToFloat32(source: Uint16Array): Float32Array<ArrayBuffer> {
  const result = new Float32Array(source.length);
  const bits = new Uint32Array(result.buffer);
  for (let i = 0; i < bits.length; i++) bits[i] = widen(source[i]!);
  return result;
}

/** bf16 bits to f32: bf16 is the upper half of an f32. */
export function bfloat16ToFloat32(source: Uint16Array): Float32Array<ArrayBuffer> {
  const result = new Float32Array(source.length);
  const bits = new Uint32Array(result.buffer);
  for (let i = 0; i < bits.length; i++) bits[i] = source[i]! << 16;
  return result;
}

/** f32 bits to f16 bits. The exponent bias is 127 in f32, 15 in f16; the mantissa has 23 bits, and 10. */
function narrow(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // NaN
  if (magnitude >= 0x47800000) return sign | 0x7c00; // 65536 and more
  if (magnitude >= 0x38800000) {
    // Normal, 2^-14 and more: half of the last bit, less one where the kept bit is even, carries where it must, be it
    // into the exponent and up to infinity.
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  }
  if (magnitude < 0x33000000) return sign; // below 2^-25, half of the smallest subnormal
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const shift = 126 - (magnitude >>> 23); // 14..24, to units of 2^-24
  return sign | ((mantissa + (1 << (shift - 1)) - 1 + ((mantissa >>> shift) & 1)) >>> shift);
}

/** f16 bits to f32 bits. */
function widen(bits: number): number {
  const sign = (bits & 0x8000) << 16;
  const magnitude = bits & 0x7fff;
  if (magnitude >= 0x7c00) return sign | (0x7f800000 + ((magnitude & 0x3ff) << 13)); // infinity, NaN
  if (magnitude >= 0x400) return sign | ((magnitude << 13) + 0x38000000);
  if (magnitude === 0) return sign;
  // Subnormal: shift the leading one to where f32 implies it.
  const shift = Math.clz32(magnitude) - 8;
  return sign | (((126 - shift) << 23) + ((magnitude << shift) & 0x7fffff));
}
