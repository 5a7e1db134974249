/** The engine: one GPU device, its pipelines, the memory on it, and the queue of programs that run on it. */

import type { DeviceTraits } from "../kernels/kernel.ts";
import type { Arena } from "./arena.ts";
import { type AdapterSummary, subgroupSizeOf } from "./device.ts";
import { DeviceLostError } from "./errors.ts";
import { type Home, type OpenedDevice, openBrowserDevice, settle } from "./home.ts";
import type { InputData } from "./inputs.ts";
import type { BufferOwner, MemoryUse } from "./memory.ts";
import type { PipelineCache } from "./pipelines.ts";
import { Program } from "./program.ts";
import { Recorder } from "./recorder.ts";
import { BYTES, bytesOf, type DType, type Shape, type Table, Tensor } from "./tensor.ts";

export interface EngineOptions extends Partial<Omit<OpenedDevice, "device">> {
  /**
   * A device of yours: never destroyed by the engine, its error handlers untouched. Without it the engine opens one,
   * and another one in its place when that is lost.
   */
  readonly device?: GPUDevice | undefined;
  /** Opens the engine's own device. Default: the best one of the browser. */
  readonly open?: (() => Promise<OpenedDevice>) | undefined;
  /** What `tuneMatmul` found on this device, as `parseMatmulTuning` reads it from wherever it was kept. */
  readonly tuning?: DeviceTraits["tuning"];
  /** Chooses kernels as for this other device, within the limits of its own: for tests and tools. */
  readonly traits?: OtherTraits | undefined;
}

/** What sets the choice of kernels for a device apart, less what every device has of its own. */
export type OtherTraits = Omit<DeviceTraits, "limits" | "tuning">;

const WEIGHT = 0x80 | 0x04 | 0x08; // STORAGE | COPY_SRC | COPY_DST
const MATRIX_FEATURE = "chromium-experimental-subgroup-matrix";
const FLUSH_BYTES = 8 << 20;

export class Engine {
  /** Measured on this device; programs that are recorded after it was set use it. */
  tuning: DeviceTraits["tuning"];
  readonly #open: (() => Promise<OpenedDevice>) | undefined;
  readonly #otherTraits: OtherTraits | undefined;
  #home: Home;
  #generation = 0;
  #renewal: Promise<void> | undefined;
  /** Rejecters of the waits under way, called when the device is lost. */
  readonly #waits = new Set<(error: Error) => void>();
  #disposed = false;
  #tail: Promise<unknown> = Promise.resolve();
  #fault: unknown;
  #unflushed = 0;

  private constructor(
    opened: OpenedDevice,
    { open, tuning, traits }: Pick<EngineOptions, "open" | "tuning" | "traits">,
  ) {
    this.#open = open;
    this.#otherTraits = traits;
    this.tuning = tuning;
    this.#home = this.#settle(opened);
  }

  /**
   * @throws NoWebGpuError when no device is given and this environment has no WebGPU or no adapter. In Node use
   * `createEngine` of `bert-webgpu/node`, which brings WebGPU with it.
   */
  static async create(options: EngineOptions = {}): Promise<Engine> {
    const { device, open = openBrowserDevice, tuning, traits } = options;
    if (device) return new Engine({ ...options, device }, { tuning, traits });
    return new Engine(await open(), { open, tuning, traits });
  }

  get device(): GPUDevice {
    return this.#home.device;
  }

  get adapter(): AdapterSummary {
    return this.#home.adapter;
  }

  get memory(): BufferOwner {
    return this.#home.memory;
  }

  get arena(): Arena {
    return this.#home.arena;
  }

  get pipelines(): PipelineCache {
    return this.#home.pipelines;
  }

  /** Bound where a kernel's optional operand is absent. */
  get dummy(): GPUBuffer {
    return this.#home.dummy;
  }

  /** Devices this engine has had before this one. What was made on an earlier one, tensors and programs, is gone. */
  get generation(): number {
    return this.#generation;
  }

  /**
   * Sees to it that there is a device: one of its own that was lost is replaced. Models do this by themselves and load
   * their weights again.
   * @throws DeviceLostError when the device that was lost is not its own
   */
  async ready(): Promise<void> {
    this.#requireOpen();
    const { lost } = this.#home;
    if (!lost) return;
    if (!this.#open) throw lost;
    this.#renewal ??= this.#renew(this.#open).finally(() => {
      this.#renewal = undefined;
    });
    await this.#renewal;
  }

  async #renew(open: () => Promise<OpenedDevice>): Promise<void> {
    const before = JSON.stringify(this.adapter);
    this.#home.leave();
    const opened = await open();
    if (this.#disposed) opened.close?.();
    this.#requireOpen();
    this.#home = this.#settle(opened);
    // measured on another adapter, or by another driver
    if (JSON.stringify(this.adapter) !== before) this.tuning = undefined;
    this.#generation++;
    this.#fault = undefined;
  }

  #settle(opened: OpenedDevice): Home {
    const remedy = this.#open
      ? "the next call gets another device and loads again"
      : "make another device, create an Engine on it and load again";
    return settle(opened, remedy, ({ lost }) => {
      for (const reject of this.#waits) reject(lost!);
    });
  }

  /** Whether programs may store tensors in f16. */
  get hasF16(): boolean {
    return this.device.features.has("shader-f16");
  }

  /** What kernels are chosen by. */
  get traits(): DeviceTraits {
    const { device, adapter, tuning } = this;
    if (this.#otherTraits) return { ...this.#otherTraits, limits: device.limits, ...(tuning && { tuning }) };
    const { matrixUnits, subgroupMaxSize } = adapter;
    const subgroupSize = subgroupSizeOf(device);
    const multiplies = device.features.has(MATRIX_FEATURE) && matrixUnits && subgroupMaxSize;
    return {
      limits: device.limits,
      software: adapter.software,
      vendor: adapter.vendor.toLowerCase(),
      ...(subgroupSize !== undefined && { subgroupSize }),
      ...(multiplies && { matrixUnits, subgroupMaxSize }),
      ...(tuning && { tuning }),
    };
  }

  /** Live buffers and bytes. */
  get memoryUse(): MemoryUse {
    return this.memory.use;
  }

  /** @throws RangeError when one storage binding cannot hold it: use `table` for a matrix that large. */
  tensor(label: string, shape: Shape, dtype: DType): Tensor {
    this.#requireAlive();
    const bytes = bytesOf(shape, dtype);
    const most = this.device.limits.maxStorageBufferBindingSize;
    if (bytes > most) {
      throw new RangeError(
        `${label} [${shape}] takes ${bytes} bytes, a storage binding of this device holds at most ${most}`,
      );
    }
    const { memory } = this.#home;
    const buffer = memory.create(label, bytes, WEIGHT);
    return new Tensor(label, shape, dtype, buffer, ({ buffer }) => memory.destroy(buffer));
  }

  /** A [rows, cols] matrix, spread over as many tensors as the device's binding size asks for. */
  table(label: string, rows: number, cols: number, dtype: DType, rowsPerPart?: number): Table {
    const most = Math.floor(this.device.limits.maxStorageBufferBindingSize / (cols * BYTES[dtype]));
    const perPart = rowsPerPart ?? (rows <= most ? rows : Math.floor(most / 8) * 8);
    if (perPart < 1) {
      throw new RangeError(
        `${label}: one row takes ${cols * BYTES[dtype]} bytes, a storage binding of this device holds at most ${this.device.limits.maxStorageBufferBindingSize}`,
      );
    }
    const parts: Tensor[] = [];
    for (let row = 0; row < rows; row += perPart) {
      const partLabel = rows <= perPart ? label : `${label} rows ${row}..`;
      parts.push(this.tensor(partLabel, [Math.min(perPart, rows - row), cols], dtype));
    }
    return { rows, cols, rowsPerPart: perPart, parts };
  }

  /** Writes `data` into `buffer` from `byteOffset`, a multiple of 4; an odd f16 at the end is padded with zero. */
  writeBuffer(buffer: GPUBuffer, byteOffset: number, data: InputData): void {
    const { device } = this;
    const even = data.byteLength - (data.byteLength % 4);
    if (even > 0) {
      device.queue.writeBuffer(buffer, byteOffset, data.buffer as ArrayBuffer, data.byteOffset, even);
    }
    if (even < data.byteLength) {
      const rest = Uint16Array.of(data[data.length - 1]!, 0);
      device.queue.writeBuffer(buffer, byteOffset + even, rest);
    }
    this.#unflushed += data.byteLength;
  }

  /** Lets the GPU take what has been written, once that is much: WebGPU keeps a copy of every write until then. */
  async flushWrites(): Promise<void> {
    if (this.#unflushed < FLUSH_BYTES) return;
    this.#unflushed = 0;
    this.device.queue.submit([]);
    await this.waitFor(this.device.queue.onSubmittedWorkDone());
    this.memory.check();
  }

  /** Records a program and compiles its kernels, all at the same time. */
  async record(label: string, build: (recorder: Recorder) => void): Promise<Program> {
    await this.ready();
    const recorder = new Recorder(this.traits);
    build(recorder);
    const recording = recorder.finish();
    const { pipelines } = this.#home;
    const generation = this.#generation;
    const compiled = await this.#whileIdle(
      Promise.all(recording.dispatches.map(({ source, label }) => pipelines.get(source, label))),
    );
    return new Program(this, generation, label, recording, compiled);
  }

  /** Runs `work` after all that was enqueued before it, whatever became of that. */
  enqueue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(() => {
      this.#requireAlive();
      return work();
    });
    this.#tail = result.catch(() => {});
    return result;
  }

  /** Awaits the GPU, and raises what `watch` saw fail: a bind group that failed explains whatever the wait ended with. */
  async waitFor<T>(promise: Promise<T>): Promise<T> {
    try {
      return await this.#whileIdle(promise);
    } finally {
      this.#raiseFault();
    }
  }

  /** Fails at once when the device is lost, and lets `idle` know of the wait. */
  async #whileIdle<T>(promise: Promise<T>): Promise<T> {
    const { idle, lost } = this.#home;
    const done = idle?.();
    let reject: (error: Error) => void = () => {};
    try {
      return await new Promise<T>((resolve, rejectWait) => {
        reject = rejectWait;
        if (lost) reject(lost);
        this.#waits.add(reject);
        promise.then(resolve, reject);
      });
    } catch (error) {
      throw this.#home.lost ?? error;
    } finally {
      this.#waits.delete(reject);
      done?.();
    }
  }

  #raiseFault(): void {
    const fault = this.#fault;
    this.#fault = undefined;
    if (fault !== undefined) throw fault;
  }

  /** Raises a failure of `checked` at the end of the next wait. */
  watch(checked: Promise<void>): void {
    checked.catch((error: unknown) => {
      this.#fault ??= error;
    });
  }

  /** Frees every buffer of this engine, and the device if the engine opened it. Safe to call twice. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#home.leave();
  }

  /** @throws DeviceLostError when the device is lost, or is another one than that of `generation` */
  requireGeneration(generation: number): void {
    this.#requireAlive();
    if (generation === this.#generation) return;
    throw new DeviceLostError("replaced", "this was made on an earlier device of its engine", "make it again");
  }

  #requireOpen(): void {
    if (this.#disposed) throw new Error("the engine was disposed; create a new one");
  }

  #requireAlive(): void {
    if (this.#home.lost) throw this.#home.lost;
    this.#requireOpen();
  }
}
