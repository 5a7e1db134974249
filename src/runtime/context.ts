/** One GPU device and what an engine keeps on it. A device that is lost takes all of this with it. */

import type { DeviceTraits } from "../kernels/kernel.ts";
import { Arena } from "./arena.ts";
import { Checks } from "./checks.ts";
import { type AdapterSummary, adapterSummary, infoOf, type OpenedDevice, traitsOf } from "./device.ts";
import { DeviceLostError } from "./errors.ts";
import { Memory, USAGE } from "./memory.ts";
import { PipelineCache } from "./pipelines.ts";

/** What is written before the GPU is awaited, in bytes. */
const FLUSH_BYTES = 8 << 20;

export class DeviceContext {
  readonly device: GPUDevice;
  readonly adapter: AdapterSummary;
  /** What kernels are chosen by. */
  readonly traits: DeviceTraits;
  readonly memory: Memory;
  readonly arena: Arena;
  readonly pipelines: PipelineCache;
  /** Bound where a kernel's optional input is absent. */
  readonly absent: GPUBuffer;
  readonly #opened: OpenedDevice;
  /** Rejecters of the waits under way, called when the device is lost. */
  readonly #waits = new Set<(error: Error) => void>();
  #turn: Promise<unknown> = Promise.resolve();
  #unflushed = 0;
  /** Why nothing can be done here any more. */
  #gone: Error | undefined;

  private constructor(opened: OpenedDevice, checks: Checks, remedy: string) {
    const { device, adapter } = opened;
    this.#opened = opened;
    this.device = device;
    this.adapter = adapter ?? adapterSummary(infoOf(device));
    this.traits = traitsOf(device, this.adapter);
    this.memory = new Memory(device);
    this.arena = new Arena(device, this.memory);
    this.pipelines = new PipelineCache(device);
    this.absent = this.memory.create(checks, "absent operand", 256, USAGE.storage);
    device.lost.then(({ reason, message }) => {
      this.#end(new DeviceLostError(reason ?? "unknown", message, remedy));
    });
  }

  /** @param remedy what to do when the device is lost, for the message */
  static async open(opened: OpenedDevice, remedy: string): Promise<DeviceContext> {
    const checks = new Checks(opened.device);
    const context = new DeviceContext(opened, checks, remedy);
    try {
      await context.wait(checks.done());
      return context;
    } catch (error) {
      context.dispose();
      throw error;
    }
  }

  /** Set once the device is lost. */
  get lost(): DeviceLostError | undefined {
    return this.#gone instanceof DeviceLostError ? this.#gone : undefined;
  }

  /** @throws DeviceLostError when the device is lost or replaced, Error when its engine was disposed */
  requireAlive(): void {
    if (this.#gone) throw this.#gone;
  }

  /** Runs `work` after all that asked for its turn before, whatever became of that. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(() => {
      this.requireAlive();
      return work();
    });
    this.#turn = result.catch(() => {});
    return result;
  }

  /** Awaits the GPU: fails at once when the device is lost, and lets `idle` know of the wait. */
  async wait<T>(promise: Promise<T>): Promise<T> {
    const over = this.#opened.idle?.();
    let reject: (error: Error) => void = () => {};
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

  /** Told of bytes that go through the queue. */
  wrote(bytes: number): void {
    this.#unflushed += bytes;
  }

  /** Waits until the GPU has taken what was written, if that is much; says whether it was. */
  async flushWrites(checks: Checks): Promise<boolean> {
    if (this.#unflushed < FLUSH_BYTES) return false;
    this.#unflushed = 0;
    checks.within("uploads", () => this.device.queue.submit([]));
    await this.wait(this.device.queue.onSubmittedWorkDone());
    return true;
  }

  /** Another device has taken the place of this one, which is lost. */
  replaced(): void {
    this.#gone = new DeviceLostError("replaced", "this was made on an earlier device of its engine", "make it again");
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
