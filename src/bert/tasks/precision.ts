/** Vectors in fewer bits. Mirrors quantize_embeddings of sentence-transformers. */

/**
 * - `int8`, `uint8`: a byte per value
 * - `binary`, `ubinary`: a bit per value, set where it is positive; the first value is the highest bit of the first byte.
 *   `binary` gives the same bytes less 128.
 */
export type Precision = "float32" | "int8" | "uint8" | "binary" | "ubinary";

export type VectorOf<P extends Precision> = P extends "float32"
  ? Float32Array
  : P extends "int8" | "binary"
    ? Int8Array
    : Uint8Array;

/** Smallest and largest value of each dimension, over vectors like those to come. */
export interface Ranges {
  readonly min: ArrayLike<number>;
  readonly max: ArrayLike<number>;
}

/** @throws RangeError without vectors */
export function rangesOf(vectors: readonly Float32Array[]): Ranges {
  const [first] = vectors;
  if (!first)
    throw new RangeError("ranges need at least 1 vector; take a thousand or more, of texts like those to come");
  const [min, max] = [first.slice(), first.slice()];
  for (const vector of vectors) {
    for (let i = 0; i < vector.length; i++) {
      min[i] = Math.min(min[i]!, vector[i]!);
      max[i] = Math.max(max[i]!, vector[i]!);
    }
  }
  return { min, max };
}

/**
 * With `ranges`, a byte is one of 256 steps between a dimension's smallest and largest value, as in
 * sentence-transformers; what lies outside is the nearest. Without, the vector is scaled so that its largest value is 127:
 * cosines stay what they are but for rounding, and no vector depends on which others came with it.
 * @throws RangeError for ranges of another dimension
 */
export function quantize<P extends Precision>(vector: Float32Array, precision: P, ranges?: Ranges): VectorOf<P> {
  return quantizers[precision](vector, ranges) as VectorOf<P>;
}

const quantizers: Readonly<
  Record<Precision, (vector: Float32Array, ranges?: Ranges) => Float32Array | Int8Array | Uint8Array>
> = {
  float32: (vector) => vector,
  int8: (vector, ranges) => Int8Array.from(bytes(vector, ranges)),
  uint8: (vector, ranges) => Uint8Array.from(bytes(vector, ranges), (x) => x + 128),
  binary: (vector) => Int8Array.from(bits(vector), (x) => x - 128),
  ubinary: bits,
};

/** -128 to 127 */
function bytes(vector: Float32Array, ranges: Ranges | undefined): number[] {
  const { length } = vector;
  if (!ranges) {
    const largest = vector.reduce((most, x) => Math.max(most, Math.abs(x)), 0) || 1;
    return Array.from(vector, (x) => Math.round((x / largest) * 127));
  }
  const { min, max } = ranges;
  if (min.length !== length || max.length !== length) {
    throw new RangeError(`ranges have ${min.length} and ${max.length} dimensions, the vector has ${length}`);
  }
  return Array.from(vector, (x, i) => {
    const step = (max[i]! - min[i]!) / 255 || 1;
    return Math.trunc(Math.min(127, Math.max(-128, (x - min[i]!) / step - 128)));
  });
}

function bits(vector: Float32Array): Uint8Array {
  const packed = new Uint8Array(Math.ceil(vector.length / 8));
  vector.forEach((x, i) => {
    if (x > 0) packed[i >> 3]! |= 0x80 >> (i & 7);
  });
  return packed;
}
