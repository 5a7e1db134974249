/**
 * The memory that all programs of an engine share, one run after the other: slots for activations, the parameters of the
 * launches, and two buffers to read back from, so that a run can follow while the one before it is read. Buffers only
 * grow, and runs of shapes seen before allocate nothing; where one was replaced the version moves on, and programs bind
 * again.
 *
 * Each slot is a buffer of its own because WebGPU refuses one buffer bound both read and read_write in a dispatch, even
 * for ranges that do not overlap.
 */

import { Checks } from "./checks.ts";
import { type Memory, USAGE } from "./memory.ts";

/** What a run needs, in bytes. */
export interface ArenaNeeds {
  readonly slots: readonly number[];
  readonly params: number;
  /** For the optional outputs that a launch leaves out. */
  readonly unwritten: number;
  /** For what is read back. */
  readonly staging: number;
}

interface Need {
  readonly label: string;
  readonly bytes: number;
  readonly usage: number;
}

/** One of the two runs that may be under way: what it is read back through. */
export interface RunSlot {
  /** Of its staging buffer. */
  readonly label: string;
  busy: boolean;
  /** When it is not busy any more; never rejects. */
  free: Promise<void>;
}

export class Arena {
  readonly #device: GPUDevice;
  readonly #memory: Memory;
  readonly #buffers = new Map<string, GPUBuffer>();
  readonly #runs: readonly RunSlot[] = ["arena read-back 0", "arena read-back 1"].map((label) => ({
    ...{ label, busy: false, free: Promise.resolve() },
  }));
  #version = 0;
  /** The program whose parameters stand in the params buffer. */
  paramsOwner: object | undefined;

  constructor(device: GPUDevice, memory: Memory) {
    this.#device = device;
    this.#memory = memory;
  }

  /** Changes whenever a buffer handed out before has been replaced. */
  get version(): number {
    return this.#version;
  }

  slot(index: number): GPUBuffer {
    return this.#buffers.get(slotLabel(index))!;
  }

  get params(): GPUBuffer {
    return this.#buffers.get(PARAMS)!;
  }

  /** Bound where a kernel's optional output is absent. */
  get unwritten(): GPUBuffer {
    return this.#buffers.get(UNWRITTEN)!;
  }

  /**
   * Sees to it that the buffers are at least this long; gives nothing to wait for when they are.
   * @throws GpuError when there is not the memory for it: all is as it was before then, as far as that still fits
   */
  reserve({ slots, params, unwritten, staging }: ArenaNeeds): Promise<void> | undefined {
    const needs: Need[] = slots.map((bytes, i) => ({ label: slotLabel(i), bytes, usage: USAGE.storage }));
    needs.push({ label: PARAMS, bytes: params, usage: USAGE.uniform });
    needs.push({ label: UNWRITTEN, bytes: unwritten, usage: USAGE.storage });
    // both at once, so that runs that overlap for the first time allocate nothing
    for (const { label } of this.#runs) needs.push({ label, bytes: staging, usage: USAGE.readBack });
    const short = needs.filter(({ label, bytes }) => (this.#buffers.get(label)?.size ?? 0) < bytes);
    return short.length > 0 ? this.#grow(short) : undefined;
  }

  /** A slot for one more run; waits while two are under way. To be called by one at a time. */
  async runSlot(): Promise<RunSlot> {
    const idle = (): RunSlot | undefined => this.#runs.find(({ busy }) => !busy);
    while (!idle()) await Promise.race(this.#runs.map(({ free }) => free));
    return idle()!;
  }

  /** The slot is taken until `end` settles. */
  occupy(slot: RunSlot, end: Promise<unknown>): void {
    slot.busy = true;
    const release = (): void => {
      slot.busy = false;
    };
    slot.free = end.then(release, release);
  }

  staging({ label }: RunSlot): GPUBuffer {
    return this.#buffers.get(label)!;
  }

  /** Frees everything, once the runs under way are over. */
  async clear(): Promise<void> {
    await this.#ended();
    for (const label of [...this.#buffers.keys()]) this.#free(label);
    this.#moved();
  }

  async #ended(): Promise<void> {
    await Promise.all(this.#runs.map(({ free }) => free));
  }

  async #grow(needs: readonly Need[]): Promise<void> {
    if (needs.some(({ usage }) => usage === USAGE.readBack)) await this.#ended(); // they may be mapped
    const before = needs.map(({ label, usage }) => ({ label, bytes: this.#buffers.get(label)?.size ?? 0, usage }));
    try {
      await this.#replace(needs.map((need) => ({ ...need, bytes: roundUp(need.bytes) })));
    } catch (error) {
      await this.#replace(before).catch(() => {}); // then the next run makes what it needs
      throw error;
    }
  }

  /** Old ones go before new ones come: there may not be room for both. All come, or none. */
  async #replace(needs: readonly Need[]): Promise<void> {
    const checks = new Checks(this.#device);
    if (needs.some(({ usage }) => usage !== USAGE.readBack)) this.#moved();
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

  #free(label: string): void {
    const buffer = this.#buffers.get(label);
    if (buffer) this.#memory.destroy(buffer);
    this.#buffers.delete(label);
  }

  /** What programs were bound to is gone. */
  #moved(): void {
    this.#version++;
    this.paramsOwner = undefined;
  }
}

const PARAMS = "arena params";
const UNWRITTEN = "arena unwritten";

function slotLabel(index: number): string {
  return `arena slot ${index}`;
}

/** The next of eight steps between powers of two: at most an eighth is wasted, and shapes that vary a little share it. */
function roundUp(bytes: number): number {
  const step = Math.max(256, 2 ** (Math.ceil(Math.log2(bytes)) - 3));
  return Math.ceil(bytes / step) * step;
}
