/** The engine: one GPU device, its pipelines, the memory on it, and the queue of programs that run on it. */

import type { DeviceTraits } from "../kernels/kernel.ts";
import { Arena } from "./arena.ts";
import { type AdapterSummary, adapterSummary, deviceDescriptor, type IdleHook, subgroupSizeOf } from "./device.ts";
import { DeviceLostError, NoWebGpuError } from "./errors.ts";
import { BufferOwner, type MemoryUse } from "./memory.ts";
import { PipelineCache } from "./pipelines.ts";
import { type InputData, Program } from "./program.ts";
import { Recorder } from "./recorder.ts";
import { BYTES, bytesOf, type DType, type Shape, type Table, Tensor } from "./tensor.ts";

export interface EngineOptions {
  /** A device of yours: never destroyed by the engine, its error handlers untouched. Without it one is requested. */
  readonly device?: GPUDevice | undefined;
  /** Described in reports; read from the device when it is not given. */
  readonly adapter?: AdapterSummary | undefined;
  /** What `tuneMatmul` found on this device, as `parseMatmulTuning` reads it from wherever it was kept. */
  readonly tuning?: DeviceTraits["tuning"];
  /** Called when the engine begins to wait for the GPU; what it returns is called when the wait is over. */
  readonly idle?: IdleHook | undefined;
  /** Called by `dispose`, for whoever made the device on the engine's behalf. */
  readonly close?: (() => void) | undefined;
}

const WEIGHT = 0x80 | 0x04 | 0x08; // STORAGE | COPY_SRC | COPY_DST
const MATRIX_FEATURE = "chromium-experimental-subgroup-matrix";
const FLUSH_BYTES = 32 << 20;

export class Engine {
  readonly device: GPUDevice;
  readonly adapter: AdapterSummary;
  /** Measured on this device; programs that are recorded after it was set use it. */
  tuning: DeviceTraits["tuning"];
  readonly memory: BufferOwner;
  readonly arena: Arena;
  readonly pipelines: PipelineCache;
  /** Bound where a kernel's optional operand is absent. */
  readonly dummy: GPUBuffer;
  readonly #idle: IdleHook | undefined;
  readonly #close: (() => void) | undefined;
  /** Rejecters of the waits under way, called when the device is lost. */
  readonly #waits = new Set<(error: Error) => void>();
  #lostError: DeviceLostError | undefined;
  #disposed = false;
  #tail: Promise<unknown> = Promise.resolve();
  #fault: unknown;
  #unflushed = 0;

  private constructor(device: GPUDevice, options: EngineOptions) {
    this.device = device;
    this.adapter = options.adapter ?? adapterSummary(device.adapterInfo);
    this.tuning = options.tuning;
    this.#idle = options.idle;
    this.#close = options.close;
    this.memory = new BufferOwner(device);
    this.arena = new Arena(this.memory);
    this.pipelines = new PipelineCache(device);
    this.dummy = this.memory.create("dummy", 256, WEIGHT);
    device.lost.then(({ reason, message }) => {
      this.#lostError = new DeviceLostError(reason ?? "unknown", message);
      for (const reject of this.#waits) reject(this.#lostError);
    });
  }

  /**
   * @throws NoWebGpuError when no device is given and this environment has no WebGPU or no adapter. In Node use
   * `createEngine` of `bert-webgpu/node`, which brings WebGPU with it.
   */
  static async create(options: EngineOptions = {}): Promise<Engine> {
    if (options.device) return new Engine(options.device, options);
    const gpu = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
    if (!gpu) {
      throw new NoWebGpuError(
        "this environment has no WebGPU (navigator.gpu is missing): use a browser with WebGPU on a secure (https or localhost) page, or createEngine of bert-webgpu/node",
      );
    }
    const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
    if (!adapter) {
      throw new NoWebGpuError(
        "WebGPU is there but offers no adapter: look at chrome://gpu, update the graphics driver",
      );
    }
    const device = await adapter.requestDevice(deviceDescriptor(adapter));
    return new Engine(device, { adapter: adapterSummary(adapter.info), close: () => device.destroy(), ...options });
  }

  /** Whether programs may store tensors in f16. */
  get hasF16(): boolean {
    return this.device.features.has("shader-f16");
  }

  /** What kernels are chosen by. */
  get traits(): DeviceTraits {
    const { device, adapter, tuning } = this;
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
    const buffer = this.memory.create(label, bytes, WEIGHT);
    return new Tensor(label, shape, dtype, buffer, ({ buffer }) => this.memory.destroy(buffer));
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
    this.#requireAlive();
    const recorder = new Recorder(this.traits);
    build(recorder);
    const recording = recorder.finish();
    const compiled = await Promise.all(
      recording.dispatches.map(({ source, label }) => this.pipelines.get(source, label)),
    );
    return new Program(this, label, recording, compiled);
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

  /** Awaits the GPU: fails at once when the device is lost, and lets `idle` know of the wait. */
  async waitFor<T>(promise: Promise<T>): Promise<T> {
    const done = this.#idle?.();
    let reject: (error: Error) => void = () => {};
    try {
      const result = await new Promise<T>((resolve, rejectWait) => {
        reject = rejectWait;
        if (this.#lostError) reject(this.#lostError);
        this.#waits.add(reject);
        promise.then(resolve, reject);
      });
      this.#raiseFault();
      return result;
    } catch (error) {
      this.#raiseFault(); // a bind group that failed explains whatever the wait ended with
      throw this.#lostError ?? error;
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

  /** Frees every buffer of this engine, and the device if the engine requested it. Safe to call twice. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.memory.destroyAll();
    this.#close?.();
  }

  #requireAlive(): void {
    if (this.#lostError) throw this.#lostError;
    if (this.#disposed) throw new Error("the engine was disposed; create a new one");
  }
}
