/** Every GPU buffer of an engine is made and destroyed here, so that what is alive can be counted. */

import type { Checks } from "./checks.ts";

export interface MemoryUse {
  /** Live GPU buffers. */
  readonly buffers: number;
  /** Bytes they take. */
  readonly bytes: number;
}

/** GPUBufferUsage, by what a buffer is for: the constants' object need not exist outside browsers. */
export const USAGE: Readonly<Record<"storage" | "uniform" | "readBack" | "queries", number>> = {
  storage: 0x80 | 0x04 | 0x08, // STORAGE | COPY_SRC | COPY_DST
  uniform: 0x40 | 0x08, // UNIFORM | COPY_DST
  readBack: 0x01 | 0x08, // MAP_READ | COPY_DST
  queries: 0x200 | 0x04, // QUERY_RESOLVE | COPY_SRC
};

export class Memory {
  readonly device: GPUDevice;
  readonly #live = new Map<GPUBuffer, number>();
  #bytes = 0;

  constructor(device: GPUDevice) {
    this.device = device;
  }

  get use(): MemoryUse {
    return { buffers: this.#live.size, bytes: this.#bytes };
  }

  /**
   * Running out of memory is only known later, when `checks` are done; whoever waits for them destroys the buffer then.
   * @throws RangeError when the device cannot have a buffer of this size; both numbers are in the message
   */
  create(checks: Checks, label: string, bytes: number, usage: number): GPUBuffer {
    const most = this.device.limits.maxBufferSize;
    if (bytes > most)
      throw new RangeError(`${label}: ${bytes} bytes asked, a buffer of this device holds at most ${most}`);
    const buffer = checks.within(label, () => this.device.createBuffer({ label, size: bytes, usage }));
    this.#live.set(buffer, bytes);
    this.#bytes += bytes;
    return buffer;
  }

  /** Safe to call twice. */
  destroy(buffer: GPUBuffer): void {
    const bytes = this.#live.get(buffer);
    if (bytes === undefined) return;
    this.#live.delete(buffer);
    this.#bytes -= bytes;
    buffer.destroy();
  }

  destroyAll(): void {
    for (const buffer of this.#live.keys()) this.destroy(buffer);
  }
}
