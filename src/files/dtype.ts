/** The element types of safetensors: their sizes, their bytes as typed arrays, their conversion to what a kernel stores. */
import { quote } from "./faults.ts";
import { bfloat16ToFloat32, float16ToFloat32, float32ToFloat16, numbersToFloat16 } from "./float16.ts";

/** As a header writes them: the list of the safetensors crate, version 0.8. */
export const DTYPES = [
  "BOOL",
  "U8",
  "I8",
  "U16",
  "I16",
  "U32",
  "I32",
  "U64",
  "I64",
  "F16",
  "BF16",
  "F32",
  "F64",
  "C64",
  "F8_E5M2",
  "F8_E4M3",
  "F8_E8M0",
  "F8_E4M3FNUZ",
  "F8_E5M2FNUZ",
  "F6_E2M3",
  "F6_E3M2",
  "F4",
] as const;

export type StoredDType = (typeof DTYPES)[number];

/** The elements of a tensor as stored; F16 and BF16 as their bits. */
export type StoredElements =
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | BigInt64Array<ArrayBuffer>
  | BigUint64Array<ArrayBuffer>;

/** What kernels store, and tensors are converted to. */
export type TargetDType = "f32" | "f16";

/** Elements as kernels store them: f32, or f16 as bits. */
export type ScalarArray = Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>;

/** A type whose values this engine can read; the others are recognised, and refused by name when they are needed. */
export type ConvertibleDType = Exclude<StoredDType, "C64" | "F4" | `F6_${string}` | `F8_${string}`>;

const ARRAYS = {
  BOOL: Uint8Array,
  U8: Uint8Array,
  I8: Int8Array,
  U16: Uint16Array,
  I16: Int16Array,
  U32: Uint32Array,
  I32: Int32Array,
  U64: BigUint64Array,
  I64: BigInt64Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  F32: Float32Array,
  F64: Float64Array,
} satisfies Record<ConvertibleDType, unknown>;

export function isStoredDType(name: string): name is StoredDType {
  return DTYPES.includes(name as StoredDType);
}

export function isConvertible(dtype: StoredDType): dtype is ConvertibleDType {
  return Object.hasOwn(ARRAYS, dtype);
}

/** Bits of one element, the first number of its name; 4 and 6 exist. */
export function bitsOf(dtype: StoredDType): number {
  return Number(/\d+/.exec(dtype) ?? 8);
}

/** Little-endian bytes as elements: a view of `bytes` where alignment allows it, otherwise a copy. */
export function elementsOf(bytes: Uint8Array, dtype: ConvertibleDType): StoredElements {
  const array = ARRAYS[dtype];
  const { buffer, byteOffset, byteLength } = bytes;
  // Dawn's writeBuffer refuses views of shared memory: those are copied as well.
  if (buffer instanceof ArrayBuffer && byteOffset % array.BYTES_PER_ELEMENT === 0) {
    return new array(buffer, byteOffset, byteLength / array.BYTES_PER_ELEMENT);
  }
  return new array(new Uint8Array(bytes).buffer);
}

/** From here on (in magnitude) a value rounds to infinity: the largest finite one and half a unit of its last place. */
const OVERFLOW: Readonly<Record<TargetDType, number>> = { f16: 65520, f32: 3.4028235677973366e38 };

/**
 * Stored elements as f32 or f16, rounded to nearest even; the very array when it is stored so. 64-bit integers go by way
 * of float64. `tensor` and `offset` (of the first element within it) are for the error.
 * @throws OverflowError when a finite value would become infinite: a weight must not be lost silently.
 */
export function convert(
  elements: StoredElements,
  dtype: ConvertibleDType,
  target: TargetDType,
  tensor: string,
  offset: number = 0,
): ScalarArray {
  if (dtype === "F16" && target === "f16") return elements as Uint16Array<ArrayBuffer>;
  const values = valuesOf(elements, dtype);
  if (target === "f32" && values instanceof Float32Array) return values;
  const limit = OVERFLOW[target];
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i]!);
    if (magnitude >= limit && magnitude !== Infinity) throw new OverflowError(tensor, offset + i, values[i]!, target);
  }
  if (target === "f32") return new Float32Array(values);
  return values instanceof Float32Array ? float32ToFloat16(values) : numbersToFloat16(values);
}

/** A finite value of a checkpoint that the type asked for cannot hold. */
export class OverflowError extends RangeError {
  readonly tensor: string;
  /** Of the element, in row-major order. */
  readonly index: number;
  readonly value: number;
  constructor(tensor: string, index: number, value: number, target: TargetDType) {
    const largest = target === "f16" ? 65504 : 2 ** 128 - 2 ** 104;
    super(
      `tensor ${quote(tensor)}: element ${index} is ${value}, the largest ${target} is ${largest}; load it as a wider type`,
    );
    this.name = "OverflowError";
    this.tensor = tensor;
    this.index = index;
    this.value = value;
  }
}

function valuesOf(
  elements: StoredElements,
  dtype: ConvertibleDType,
): Exclude<StoredElements, BigInt64Array | BigUint64Array> {
  if (dtype === "F16") return float16ToFloat32(elements as Uint16Array);
  if (dtype === "BF16") return bfloat16ToFloat32(elements as Uint16Array);
  if (elements instanceof BigInt64Array || elements instanceof BigUint64Array)
    return Float64Array.from(elements, Number);
  return elements;
}
