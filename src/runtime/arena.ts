/**
 * The memory of activations: a few GPU buffers that every program of an engine shares, one program at a time. Slots only
 * grow, so that a run of shapes seen before allocates nothing; a grown slot gets a new buffer and a new version, and
 * programs rebuild their bind groups when the version has moved on.
 *
 * Each slot is a buffer of its own because WebGPU refuses one buffer bound both read and read_write in a dispatch, even
 * for ranges that do not overlap.
 */

import type { BufferOwner } from "./memory.ts";

const STORAGE = 0x80 | 0x04 | 0x08; // GPUBufferUsage STORAGE | COPY_SRC | COPY_DST
const UNIFORM = 0x40 | 0x08; // UNIFORM | COPY_DST
const READ_BACK = 0x01 | 0x08; // MAP_READ | COPY_DST

export class Arena {
  readonly #memory: BufferOwner;
  readonly #slots: GPUBuffer[] = [];
  #params: GPUBuffer | undefined;
  #staging: GPUBuffer | undefined;
  #version = 0;
  /** The program whose parameters stand in the params buffer. */
  paramsOwner: object | undefined;

  constructor(memory: BufferOwner) {
    this.#memory = memory;
  }

  /** Changes whenever a buffer handed out before has been replaced. */
  get version(): number {
    return this.#version;
  }

  /** Makes slot i at least `slotBytes[i]` long, the parameter buffer `paramBytes` and the read-back one `stagingBytes`. */
  reserve(slotBytes: readonly number[], paramBytes: number, stagingBytes: number): void {
    slotBytes.forEach((bytes, i) => {
      const grown = this.#grow(this.#slots[i], bytes, STORAGE, `arena slot ${i}`);
      if (grown) this.#slots[i] = grown;
    });
    const params = this.#grow(this.#params, paramBytes, UNIFORM, "arena params");
    if (params) {
      this.#params = params;
      this.paramsOwner = undefined;
    }
    this.#staging = this.#grow(this.#staging, stagingBytes, READ_BACK, "arena read-back") ?? this.#staging;
  }

  /** Frees everything; the next `reserve` starts afresh. */
  clear(): void {
    for (const buffer of [...this.#slots, this.#params, this.#staging]) if (buffer) this.#memory.destroy(buffer);
    this.#slots.length = 0;
    this.#params = undefined;
    this.#staging = undefined;
    this.paramsOwner = undefined;
    this.#version++;
  }

  slot(index: number): GPUBuffer {
    return this.#slots[index]!;
  }

  get params(): GPUBuffer {
    return this.#params!;
  }

  get staging(): GPUBuffer {
    return this.#staging!;
  }

  #grow(buffer: GPUBuffer | undefined, bytes: number, usage: number, label: string): GPUBuffer | undefined {
    if (bytes === 0 || (buffer && buffer.size >= bytes)) return undefined;
    const grown = this.#memory.create(label, roundUp(bytes), usage);
    if (buffer) this.#memory.destroy(buffer);
    this.#version++;
    return grown;
  }
}

/** The next of eight steps between powers of two: at most an eighth is wasted, and shapes that vary a little share it. */
function roundUp(bytes: number): number {
  const step = Math.max(256, 2 ** (Math.ceil(Math.log2(bytes)) - 3));
  return Math.ceil(bytes / step) * step;
}
