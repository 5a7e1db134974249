/**
 * One GPU device and what an engine keeps on it: memory, compiled kernels, whose turn it is. A device that is lost takes all
 * of this with it.
 */

import { type Binding, bindingsOf, type DeviceTraits } from "../kernels/kernel.ts";
import { Checks } from "./checks.ts";
import { type AdapterSummary, adapterSummary, infoOf, type OpenedDevice, traitsOf } from "./device.ts";
import { DeviceLostError, DisposedError, GpuError } from "./errors.ts";
import { Arena, Memory } from "./memory.ts";

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
    this.traits = { ...traitsOf(device, this.adapter), attention: opened.attention };
    this.memory = new Memory(device);
    this.arena = new Arena(this.memory);
    this.pipelines = new PipelineCache(device);
    const remedy = renewed
      ? "the next call gets another device and loads again"
      : "make another device, create an Engine on it and load again";
    device.lost.then(({ reason, message }) => {
      this.lost = new DeviceLostError(reason, message, remedy);
      this.#end(this.lost);
    });
  }

  /** @throws DeviceLostError when the device is lost, DisposedError when its engine was disposed */
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
    this.#end(new DisposedError("the engine was disposed; create a new one"));
    this.memory.destroyAll();
    this.#opened.close?.();
  }

  #end(reason: Error): void {
    this.#gone ??= reason;
    for (const reject of this.#waits) reject(this.#gone);
  }
}

export interface CompiledKernel {
  /** Shared by all that were compiled from the same. */
  readonly source: string;
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly bindings: readonly Binding[];
}

export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #compiled = new Map<string, Promise<CompiledKernel>>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** Compiles `source` (entry point `main`), or shares the compilation that is done or under way. */
  get(source: string, label: string): Promise<CompiledKernel> {
    let compiled = this.#compiled.get(source);
    if (compiled === undefined) {
      compiled = this.#compile(source, label);
      this.#compiled.set(source, compiled);
      // A failure is not remembered: the device may have run out of memory for a moment only.
      compiled.catch(() => this.#compiled.delete(source));
    }
    return compiled;
  }

  async #compile(source: string, label: string): Promise<CompiledKernel> {
    const device = this.#device;
    const bindings = bindingsOf(source);
    const checks = new Checks(device);
    const { layout, module, compiling } = checks.within(label, () => {
      const layout = this.#layoutOf(bindings);
      const module = device.createShaderModule({ label, code: source });
      const compiling = device.createComputePipelineAsync({
        label,
        layout: device.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: "main" },
      });
      return { layout, module, compiling };
    });
    try {
      const pipeline = await compiling;
      await checks.done();
      return { source, pipeline, layout, bindings };
    } catch (error) {
      this.#layouts.clear(); // one may have failed with the rest
      const faults = describeMessages(source, (await module.getCompilationInfo()).messages);
      if (!faults) await checks.done();
      throw new GpuError("compile", label, faults || String(error));
    }
  }

  /** Explicit layouts: Dawn deduplicates them, while `layout: "auto"` makes a new one (5 ms) for every pipeline. */
  #layoutOf(bindings: readonly Binding[]): GPUBindGroupLayout {
    const key = bindings.map(({ binding, access }) => `${binding}:${access}`).join();
    let layout = this.#layouts.get(key);
    if (layout === undefined) {
      layout = this.#device.createBindGroupLayout({
        label: key,
        entries: bindings.map(({ binding, access }) => ({
          binding,
          visibility: 4, // GPUShaderStage.COMPUTE; the constant's object need not exist outside browsers
          buffer: { type: access === "uniform" ? "uniform" : access === "read" ? "read-only-storage" : "storage" },
        })),
      });
      this.#layouts.set(key, layout);
    }
    return layout;
  }
}

/** The compiler's errors, each with its line of the source. */
export function describeMessages(source: string, messages: readonly GPUCompilationMessage[]): string {
  const lines = source.split("\n");
  return messages
    .filter(({ type }) => type === "error")
    .map(({ lineNum, message }) => `line ${lineNum}: ${message}\n    ${lines[lineNum - 1]?.trim().slice(0, 200)}`)
    .join("\n");
}
