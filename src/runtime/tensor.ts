/** Tensors: a shape, an element type and a GPU buffer that holds it. */

export type DType = "f32" | "f16" | "u32";

/** Bytes of one element. */
export const BYTES: Readonly<Record<DType, number>> = { f32: 4, f16: 2, u32: 4 };

export type Shape = readonly number[];

/** Number of elements. */
export function sizeOf(shape: Shape): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Bytes of a buffer for this shape, rounded up to 16 so that vec4 views and 4-byte copies always fit. */
export function bytesOf(shape: Shape, dtype: DType): number {
  return Math.max(16, Math.ceil((sizeOf(shape) * BYTES[dtype]) / 16) * 16);
}

/** A tensor with memory of its own, such as a weight. Freed by `dispose`, once; the engine frees what is left. */
export class Tensor {
  readonly label: string;
  readonly shape: Shape;
  readonly dtype: DType;
  /** Bytes taken on the GPU. */
  readonly bytes: number;
  readonly buffer: GPUBuffer;
  readonly #free: (tensor: Tensor) => void;
  #disposed = false;

  constructor(label: string, shape: Shape, dtype: DType, buffer: GPUBuffer, free: (tensor: Tensor) => void) {
    this.label = label;
    this.shape = shape;
    this.dtype = dtype;
    this.bytes = bytesOf(shape, dtype);
    this.buffer = buffer;
    this.#free = free;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#free(this);
  }
}

/**
 * A matrix of [rows, cols] whose rows may be spread over several tensors, because one storage binding is bounded (128
 * MiB by default; the word table of a multilingual BERT is 367 MB). Every part but the last has `rowsPerPart` rows.
 */
export interface Table {
  readonly rows: number;
  readonly cols: number;
  readonly rowsPerPart: number;
  readonly parts: readonly Tensor[];
}
