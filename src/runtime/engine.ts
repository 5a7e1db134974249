/** The engine: what an app has of one GPU device, and gets again on another one when that is lost. */

import { type Names, requireKnown } from "../files/options.ts";
import type { DeviceTraits } from "../kernels/kernel.ts";
import { Allocation } from "./allocation.ts";
import { DeviceContext } from "./context.ts";
import { type AdapterSummary, type OpenedDevice, openBrowserDevice } from "./device.ts";
import type { MemoryUse } from "./memory.ts";
import { Program } from "./program.ts";
import { Recorder, SourceCache } from "./recorder.ts";
import { requireRoom } from "./steps.ts";
import type { DType, Shape, Tensor } from "./tensor.ts";

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
  /**
   * Whether a sequence's outputs are the same bits whatever it is batched with: kernels are then chosen for a usual number
   * of rows, which takes longer for a few. Default false: the same up to rounding.
   */
  readonly batchInvariant?: boolean | undefined;
  /** What not to launch on this device: `avoidKernels` of `bert-webgpu/kernels` makes it of doctor's list. */
  readonly avoid?: DeviceTraits["avoid"];
  /** Chooses kernels as for this other device, within the limits of its own: for tests and tools. */
  readonly traits?: OtherTraits | undefined;
}

/** What sets the choice of kernels for a device apart, less what every device has of its own. */
export type OtherTraits = Omit<DeviceTraits, "limits" | "tuning" | "batchInvariant" | "avoid">;

const OPTIONS: Names<EngineOptions> = {
  ...{ device: 1, open: 1, adapter: 1, idle: 1, close: 1 },
  ...{ attention: 1, tuning: 1, traits: 1, batchInvariant: 1, avoid: 1 },
};

type Open = (() => Promise<OpenedDevice>) | undefined;

export class Engine {
  /** Measured on this device; programs that are recorded after it was set use it. */
  tuning: DeviceTraits["tuning"];
  /** Used as `tuning` is. */
  avoid: DeviceTraits["avoid"];
  readonly #open: Open;
  readonly #options: EngineOptions;
  readonly #sources = new SourceCache();
  #context: DeviceContext;
  #generation = 0;
  #renewal: Promise<void> | undefined;
  #disposed = false;

  private constructor(context: DeviceContext, open: Open, options: EngineOptions) {
    this.#context = context;
    this.#open = open;
    this.#options = options;
    this.tuning = options.tuning;
    this.avoid = options.avoid;
  }

  /**
   * @throws NoWebGpuError when no device is given and this environment has no WebGPU or no adapter. In Node use
   * `createEngine` of `bert-webgpu/node`, which brings WebGPU with it. TypeError for an unknown option.
   */
  static async create(options: EngineOptions = {}): Promise<Engine> {
    requireKnown("Engine.create", options, OPTIONS);
    const { device } = options;
    const open = device ? undefined : (options.open ?? openBrowserDevice);
    return new Engine(new DeviceContext(open ? await open() : { ...options, device: device! }, !!open), open, options);
  }

  get device(): GPUDevice {
    return this.#context.device;
  }

  get adapter(): AdapterSummary {
    return this.#context.adapter;
  }

  /** Devices this engine has had before this one. What was made on an earlier one, tensors and programs, is gone. */
  get generation(): number {
    return this.#generation;
  }

  /** Whether programs may store tensors in f16. */
  get hasF16(): boolean {
    return this.device.features.has("shader-f16");
  }

  /** What kernels are chosen by. */
  get traits(): DeviceTraits {
    const { tuning, avoid } = this;
    const { traits } = this.#context;
    const { batchInvariant, traits: others = traits } = this.#options;
    return { ...others, limits: traits.limits, batchInvariant, tuning, avoid };
  }

  /** Live buffers and bytes. */
  get memoryUse(): MemoryUse {
    return this.#context.memory.use;
  }

  /**
   * Sees to it that there is a device: one of its own that was lost is replaced. Models do this by themselves and load
   * their weights again.
   * @throws DeviceLostError when the device that was lost is not its own
   */
  async ready(): Promise<void> {
    if (this.#disposed || !this.#open || !this.#context.lost) return this.#context.requireAlive();
    this.#renewal ??= this.#renew(this.#open).finally(() => {
      this.#renewal = undefined;
    });
    await this.#renewal;
  }

  /** A tensor on the GPU, to be written and to be freed by itself. @throws as `Allocation.tensor` */
  tensor(label: string, shape: Shape, dtype: DType): Tensor {
    return this.allocate().tensor(label, shape, dtype);
  }

  /** Tensors that are checked and freed together. */
  allocate(): Allocation {
    return new Allocation(this.#context);
  }

  /**
   * Records a program and compiles its kernels, all at the same time.
   * @throws GpuError for a kernel that does not compile, TypeError for what cannot be recorded, RangeError for a value
   * that a binding of the device cannot hold, DeviceLostError
   */
  async record(label: string, build: (recorder: Recorder) => void): Promise<Program> {
    await this.ready();
    const context = this.#context;
    const recorder = new Recorder(this.traits, this.#sources);
    build(recorder);
    const recording = recorder.finish();
    requireRoom(recording, context.device.limits);
    const compiling = recording.dispatches.map(({ source, label }) => context.pipelines.get(source, label));
    return new Program(context, label, recording, await context.wait(Promise.all(compiling)));
  }

  /** Frees the memory that runs share, once those under way are over. The next run takes what it needs. */
  releaseMemory(): Promise<void> {
    const context = this.#context;
    return context.inTurn(async () => {
      await context.idle();
      context.arena.clear();
    });
  }

  /** Frees every buffer of this engine, and the device if the engine opened it. Safe to call twice. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#context.dispose();
  }

  async #renew(open: () => Promise<OpenedDevice>): Promise<void> {
    const before = this.#context;
    before.dispose();
    const context = new DeviceContext(await open(), true);
    if (this.#disposed) {
      context.dispose();
      return context.requireAlive();
    }
    this.#context = context;
    // measured on another adapter, or by another driver
    if (JSON.stringify(context.adapter) !== JSON.stringify(before.adapter)) this.tuning = undefined;
    this.#generation++;
  }
}
