/**
 * IEEE 754 binary16 (f16) and bfloat16 (bf16), by arithmetic: JavaScript has no arrays of them everywhere yet. Both
 * travel as their bits in a `Uint16Array`. Widening is exact; narrowing rounds to nearest, ties to even, and gives
 * infinity from 65520 on, where the largest finite f16, 65504, is no longer the nearest. NaN stays NaN.
 */

/** The f16 bits nearest to a number, rounded once from float64. */
export function toFloat16(value: number): number {
  return numbersToFloat16([value])[0]!;
}

/** The number that f16 bits stand for. */
export function fromFloat16(bits: number): number {
  return float16ToFloat32(Uint16Array.of(bits))[0]!;
}

/** f32 to f16 bits. */
export function float32ToFloat16(source: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(source.buffer, source.byteOffset, source.length);
  const result = new Uint16Array(source.length);
  for (let i = 0; i < result.length; i++) result[i] = narrow(bits[i]!);
  return result;
}

/** float64, or integers, to f16 bits, rounded once: what f32 cannot hold is odd there, so that it never looks like a tie. */
export function numbersToFloat16(source: ArrayLike<number>): Uint16Array<ArrayBuffer> {
  const singles = Float32Array.from(source);
  const bits = new Uint32Array(singles.buffer);
  for (let i = 0; i < bits.length; i++) {
    if (singles[i] === source[i]) continue;
    if (Math.abs(singles[i]!) > Math.abs(source[i]!)) bits[i]!--;
    bits[i]! |= 1;
  }
  return float32ToFloat16(singles);
}

/** f16 bits to f32: exponent and mantissa in their places stand for 2^112 times less, for infinity and NaN aside. */
export function float16ToFloat32(source: Uint16Array): Float32Array<ArrayBuffer> {
  const result = new Float32Array(source.length);
  const bits = new Uint32Array(result.buffer);
  for (let i = 0; i < bits.length; i++) {
    const half = source[i]!;
    bits[i] = (half & 0x7fff) << 13;
    result[i]! *= 2 ** 112;
    bits[i]! |= ((half & 0x8000) << 16) | ((half & 0x7c00) === 0x7c00 ? 0x7f800000 : 0);
  }
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
