/** Every GPU buffer of an engine is made and destroyed here, so that what is alive can be counted. */

import { guarded } from "./errors.ts";

export interface MemoryUse {
  /** Live GPU buffers. */
  readonly buffers: number;
  /** Bytes they take. */
  readonly bytes: number;
}

export class BufferOwner {
  readonly #device: GPUDevice;
  readonly #live = new Map<GPUBuffer, number>();
  #bytes = 0;
  #fault: unknown;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  get use(): MemoryUse {
    return { buffers: this.#live.size, bytes: this.#bytes };
  }

  /** @throws RangeError when the device cannot have a buffer of this size; both numbers are in the message. */
  create(label: string, bytes: number, usage: number): GPUBuffer {
    const most = this.#device.limits.maxBufferSize;
    if (bytes > most)
      throw new RangeError(`${label}: ${bytes} bytes asked, a buffer of this device holds at most ${most}`);
    const { result: buffer, checked } = guarded(this.#device, label, () =>
      this.#device.createBuffer({ label, size: bytes, usage }),
    );
    // Running out of memory is only known later: it is raised at the next check, before any result is believed.
    checked.catch((error: unknown) => {
      this.#fault ??= error;
    });
    this.#live.set(buffer, bytes);
    this.#bytes += bytes;
    return buffer;
  }

  destroy(buffer: GPUBuffer): void {
    const bytes = this.#live.get(buffer);
    if (bytes === undefined) return;
    this.#live.delete(buffer);
    this.#bytes -= bytes;
    buffer.destroy();
  }

  destroyAll(): void {
    for (const buffer of [...this.#live.keys()]) this.destroy(buffer);
  }

  /** Throws the first allocation that failed since the last check. */
  check(): void {
    const fault = this.#fault;
    this.#fault = undefined;
    if (fault !== undefined) throw fault;
  }
}
