/**
 * Memory by name: slots for activations, the parameters of the launches, and what is read back from. An engine has one
 * that all its programs share, one run after the other. Buffers only grow, and runs of shapes seen before allocate
 * nothing; where one was replaced the version moves on, and programs bind again.
 *
 * Each slot is a buffer of its own because WebGPU refuses one buffer bound both read and read_write in a dispatch, even
 * for ranges that do not overlap.
 */

import { Checks } from "./checks.ts";
import type { Memory } from "./memory.ts";

/** A buffer that a program needs, which others by that label share with it. */
export interface Need {
  readonly label: string;
  readonly bytes: number;
  readonly usage: number;
}

export class Arena {
  readonly #memory: Memory;
  readonly #buffers = new Map<string, GPUBuffer>();
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

  get bytes(): number {
    let bytes = 0;
    for (const { size } of this.#buffers.values()) bytes += size;
    return bytes;
  }

  /** Those of `needs` that are longer than what is there. */
  lacking(needs: readonly Need[]): Need[] {
    return needs.filter(({ label, bytes }) => this.#bytes(label) < bytes);
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
