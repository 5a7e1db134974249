/**
 * Every GPU buffer of an engine is made and destroyed here, so that what is alive can be counted; and the buffers that
 * programs share, by name.
 */

import { Checks } from "./checks.ts";

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

/** @throws RangeError with both numbers for what is more than a `holder` of the device holds */
export function requireBytes(what: string, bytes: number, most: number, holder: "buffer" | "storage binding"): void {
  if (bytes > most)
    throw new RangeError(`${what} takes ${bytes} bytes, a ${holder} of this device holds at most ${most}`);
}

export class Memory {
  readonly device: GPUDevice;
  readonly #live = new Map<GPUBuffer, number>();
  #bytes = 0;
  #closed = false;

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
    const most = this.#closed ? 0 : this.device.limits.maxBufferSize; // of a closed one others say why first
    requireBytes(label, bytes, most, "buffer");
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

  /** And nothing is made from now on. */
  destroyAll(): void {
    this.#closed = true;
    for (const buffer of this.#live.keys()) this.destroy(buffer);
  }
}

/** A buffer that a program needs, which others by that label share with it. */
export interface Need {
  readonly label: string;
  readonly bytes: number;
  readonly usage: number;
}

/** After so many runs buffers are looked over: one that a rare giant grew is given back. */
const RUNS = 16;
/** Smaller ones are kept in any case. */
const KEPT_BYTES = 1_048_576;

export class Arena {
  readonly #memory: Memory;
  readonly #buffers = new Map<string, GPUBuffer>();
  /** The most bytes of each buffer that a run needed, and how many runs there were, since the last look. */
  readonly #needed = new Map<string, number>();
  #runs = 0;
  /** Changes whenever a buffer handed out before has been replaced. */
  version = 0;
  /** The program whose parameters stand in their buffer. */
  paramsOwner: object | undefined;

  constructor(memory: Memory) {
    this.#memory = memory;
  }

  buffer(label: string): GPUBuffer {
    return this.#buffers.get(label)!;
  }

  /** Those of `needs` that are longer than what is there. */
  lacking(needs: readonly Need[]): Need[] {
    return needs.filter(({ label, bytes }) => this.#bytes(label) < bytes);
  }

  /**
   * To be told of every run. Buffers of which the last sixteen or so needed less than a quarter are given back; the next
   * run that needs more makes it anew.
   * @param idle waits until no run is under way
   */
  async shrink(needs: readonly Need[], idle: () => Promise<void>): Promise<void> {
    for (const { label, bytes } of needs) this.#needed.set(label, Math.max(bytes, this.#needed.get(label) ?? 0));
    if (++this.#runs < RUNS) return;
    const spare = [...this.#buffers].filter(
      ([label, { size }]) => size > KEPT_BYTES && size > 4 * (this.#needed.get(label) ?? 0),
    );
    this.#runs = 0;
    this.#needed.clear();
    if (spare.length === 0) return;
    await idle();
    for (const [label] of spare) this.#free(label);
  }

  /**
   * Makes buffers of these lengths.
   * @throws GpuError when there is not the memory for them: all is as it was before then, as far as that still fits
   */
  async grow(needs: readonly Need[]): Promise<void> {
    const before = needs.map((need) => ({ ...need, bytes: this.#bytes(need.label) }));
    try {
      await this.#replace(needs);
    } catch (error) {
      await this.#replace(before).catch(() => {}); // then the next run makes what it needs
      throw error;
    }
  }

  /** Frees everything. */
  clear(): void {
    for (const label of this.#buffers.keys()) this.#free(label);
  }

  /** Old ones go before new ones come: there may not be room for both. All come, or none. */
  async #replace(needs: readonly Need[]): Promise<void> {
    const checks = new Checks(this.#memory.device);
    for (const { label } of needs) this.#free(label);
    try {
      for (const { label, bytes, usage } of needs) {
        if (bytes > 0) this.#buffers.set(label, this.#memory.create(checks, label, bytes, usage));
      }
      await checks.done();
    } catch (error) {
      for (const { label } of needs) this.#free(label);
      throw error;
    }
  }

  #bytes(label: string): number {
    return this.#buffers.get(label)?.size ?? 0;
  }

  #free(label: string): void {
    const buffer = this.#buffers.get(label);
    if (buffer) this.#memory.destroy(buffer);
    this.#buffers.delete(label);
    this.version++;
    this.paramsOwner = undefined;
  }
}
