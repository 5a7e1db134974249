/** Tensors: a shape, an element type and a GPU buffer that holds it. */

import type { Checks } from "./checks.ts";

export type DType = "f32" | "f16" | "u32";

/** Bytes of one element. */
export const BYTES: Readonly<Record<DType, number>> = { f32: 4, f16: 2, u32: 4 };

export type Shape = readonly number[];

/** Values for the GPU: of f32, of u32, and of f16 as bits. */
export type InputData = Float32Array | Uint32Array | Uint16Array;

/** Number of elements. */
export function sizeOf(shape: Shape): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Bytes of a buffer for this shape, rounded up to 16 so that vec4 views and 4-byte copies always fit. */
export function bytesOf(shape: Shape, dtype: DType): number {
  return Math.max(16, Math.ceil((sizeOf(shape) * BYTES[dtype]) / 16) * 16);
}

/** How values of each type come. */
const ARRAYS = { f32: Float32Array, f16: Uint16Array, u32: Uint32Array } as const;

/** @throws TypeError for values of another type: their bits would be taken for something else */
export function requireType(what: string, dtype: DType, data: InputData): void {
  const wanted = ARRAYS[dtype];
  if (data instanceof wanted) return;
  const given = (data as object | undefined)?.constructor?.name ?? typeof data;
  throw new TypeError(`${what} is given as ${given}, ${dtype} takes a ${wanted.name}`);
}

/** What a tensor needs of the device it is on. */
export interface TensorDevice {
  readonly device: GPUDevice;
  readonly memory: { destroy(buffer: GPUBuffer): void };
  /** @throws DeviceLostError, or Error once the engine is disposed */
  requireAlive(): void;
}

/** A tensor with memory of its own, or a part of such a one. Freed by `dispose`, once; the engine frees what is left. */
export class Tensor {
  readonly label: string;
  readonly shape: Shape;
  readonly dtype: DType;
  /** Bytes taken on the GPU. */
  readonly bytes: number;
  readonly buffer: GPUBuffer;
  /** Bytes of `buffer` before it. */
  readonly offset: number;
  readonly #on: TensorDevice;
  readonly #checks: Checks;

  /** Use `Engine.tensor` or `Allocation.tensor`. @param checks what its buffer was made within */
  constructor(
    label: string,
    shape: Shape,
    dtype: DType,
    buffer: GPUBuffer,
    on: TensorDevice,
    checks: Checks,
    offset: number = 0,
  ) {
    this.label = label;
    this.shape = shape;
    this.dtype = dtype;
    this.bytes = bytesOf(shape, dtype);
    this.buffer = buffer;
    this.offset = offset;
    this.#on = on;
    this.#checks = checks;
  }

  /**
   * A range of it as a tensor, which goes when the whole goes.
   * @param start its first element, at a multiple of 256 bytes; nothing checks that, nor that it lies within
   */
  part(label: string, shape: Shape, start: number): Tensor {
    const { dtype, buffer, offset } = this;
    return new Tensor(label, shape, dtype, buffer, this.#on, this.#checks, offset + start * BYTES[dtype]);
  }

  /**
   * Writes elements from `start` on, of f16 an even one, through the device's queue: before whatever is submitted next. An f16 starts at an
   * even element; an odd one at the end is padded with zero.
   * @throws TypeError for values of another type, RangeError for more than it holds
   */
  write(data: InputData, start = 0): void {
    this.#on.requireAlive();
    requireType(this.label, this.dtype, data);
    const size = sizeOf(this.shape);
    if (!(start >= 0 && start + data.length <= size && (start * BYTES[this.dtype]) % 4 === 0)) {
      throw new RangeError(`${this.label}: ${data.length} elements written from ${start}, [${this.shape}] has ${size}`);
    }
    const offset = this.offset + start * BYTES[this.dtype];
    this.#checks.within(this.label, () => writeElements(this.#on.device.queue, this.buffer, offset, data));
  }

  /**
   * Waits for what WebGPU says of its memory and of what was written into it.
   * @throws GpuError; a run that uses the tensor rejects with it too
   */
  ready(): Promise<void> {
    return this.#checks.done();
  }

  /** Safe to call twice. */
  dispose(): void {
    this.#on.memory.destroy(this.buffer);
  }
}

/** Writes `data` from `byteOffset`, a multiple of 4; an odd f16 at the end is padded with zero. */
export function writeElements(queue: GPUQueue, buffer: GPUBuffer, byteOffset: number, data: InputData): void {
  const even = data.byteLength - (data.byteLength % 4);
  if (even > 0) queue.writeBuffer(buffer, byteOffset, data.buffer as ArrayBuffer, data.byteOffset, even);
  if (even < data.byteLength) queue.writeBuffer(buffer, byteOffset + even, Uint16Array.of(data.at(-1)!, 0));
}
