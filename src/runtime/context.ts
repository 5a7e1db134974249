/** One GPU device and what an engine keeps on it. A device that is lost takes all of this with it. */

import type { DeviceTraits } from "../kernels/kernel.ts";
import { Arena } from "./arena.ts";
import { type AdapterSummary, adapterSummary, infoOf, type OpenedDevice, traitsOf } from "./device.ts";
import { DeviceLostError } from "./errors.ts";
import { Memory } from "./memory.ts";
import { PipelineCache } from "./pipelines.ts";

export class DeviceContext {
  readonly device: GPUDevice;
  readonly adapter: AdapterSummary;
  /** What kernels are chosen by. */
  readonly traits: DeviceTraits;
  readonly memory: Memory;
  readonly arena: Arena;
  readonly pipelines: PipelineCache;
  readonly #opened: OpenedDevice;
  /** Rejecters of the waits under way, called when the device is lost. */
  readonly #waits = new Set<(error: Error) => void>();
  #turn: Promise<unknown> = Promise.resolve();
  /** When the last two runs end. */
  readonly #ends: Promise<unknown>[] = [];
  #runs = 0;
  /** Set once the device is lost. */
  lost: DeviceLostError | undefined;
  /** Why nothing can be done here any more. */
  #gone: Error | undefined;

  /** @param renewed whether another device takes its place when it is lost */
  constructor(opened: OpenedDevice, renewed: boolean) {
    const { device, adapter } = opened;
    this.#opened = opened;
    this.device = device;
    this.adapter = adapter ?? adapterSummary(infoOf(device));
    this.traits = traitsOf(device, this.adapter);
    this.memory = new Memory(device);
    this.arena = new Arena(this.memory);
    this.pipelines = new PipelineCache(device);
    const remedy = renewed
      ? "the next call gets another device and loads again; record programs anew"
      : "make another device, create an Engine on it and load again";
    device.lost.then(({ reason, message }) => {
      this.lost = new DeviceLostError(reason, message, remedy);
      this.#end(this.lost);
    });
  }

  /** @throws DeviceLostError when the device is lost, Error when its engine was disposed */
  requireAlive(): void {
    if (this.#gone) throw this.#gone;
  }

  /** Does `work` after all that asked for its turn before, whatever became of that. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(() => {
      this.requireAlive();
      return work();
    });
    this.#turn = result.catch(() => {});
    return result;
  }

  /**
   * Starts a run, in its turn: two are under way at a time, a third waits for the first.
   * @param start submits it, and gives what it ends with; by its place, 0 or 1, it shares nothing with the other one
   */
  async startRun<T>(start: (place: number) => Promise<T>): Promise<{ readonly end: Promise<T> }> {
    const place = this.#runs++ % 2;
    await this.#ends[place];
    const end = this.wait(start(place));
    this.#ends[place] = end.catch(() => {}); // told to whoever asks for it
    return { end };
  }

  /** Waits until no run is under way. */
  async idle(): Promise<void> {
    await Promise.all(this.#ends);
  }

  /** Awaits the GPU: fails at once when the device is lost, and lets `idle` know of the wait. */
  async wait<T>(promise: Promise<T>): Promise<T> {
    const over = this.#opened.idle?.();
    let reject!: (error: Error) => void;
    try {
      return await new Promise<T>((resolve, rejectWait) => {
        reject = rejectWait;
        if (this.#gone) reject(this.#gone);
        this.#waits.add(reject);
        promise.then(resolve, reject);
      });
    } catch (error) {
      throw this.#gone ?? error;
    } finally {
      this.#waits.delete(reject);
      over?.();
    }
  }

  /** Frees all buffers, and the device if the engine opened it. Safe to call twice. */
  dispose(): void {
    this.#end(new Error("the engine was disposed; create a new one"));
    this.memory.destroyAll();
    this.#opened.close?.();
  }

  #end(reason: Error): void {
    this.#gone ??= reason;
    for (const reject of this.#waits) reject(this.#gone);
  }
}
