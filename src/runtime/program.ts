/**
 * A recorded computation, ready to replay: its pipelines are compiled, its memory is placed. A run writes the inputs,
 * submits one command buffer with one compute pass, and reads the outputs back. Once a shape has run, running it again
 * creates no buffer, bind group or pipeline.
 */

import { float16ToFloat32 } from "../files/float16.ts";
import { type BoundProgram, bindProgram } from "./bound.ts";
import type { Engine } from "./engine.ts";
import { GpuError, guarded } from "./errors.ts";
import { checkInputs, type InputData } from "./inputs.ts";
import type { CompiledKernel } from "./pipelines.ts";
import { type KernelTime, timedPasses } from "./profiler.ts";
import { type Placement, placeRefs, type Recording, type Ref } from "./recorder.ts";
import { bindSteps, encodeSteps, type Steps, stepsOf } from "./steps.ts";
import { bytesOf, sizeOf } from "./tensor.ts";

/** f16 outputs come as f32. */
export type OutputData = Float32Array | Uint32Array;

export interface RunOptions {
  /** Aborted, the run rejects at once with the signal's reason; what is not submitted yet never will be. */
  readonly signal?: AbortSignal | undefined;
  /** Receives the GPU time of every kernel (needs the feature timestamp-query); such a run is slower as a whole. */
  readonly profile?: ((times: readonly KernelTime[]) => void) | undefined;
}

/** What one kernel launch of a program is. */
export interface Launch {
  /** `matmul 128x768x768` */
  readonly label: string;
  readonly kernel: string;
  /** Floating-point operations, as `flopsOf` counts them. */
  readonly flops: number;
  /** That it binds, each operand once: an upper bound of the memory traffic, caches aside. */
  readonly bytes: number;
}

export class Program {
  readonly label: string;
  /** Kernel launches in one run. */
  readonly dispatches: number;
  readonly #engine: Engine;
  /** Of the engine's device. */
  readonly #born: number;
  readonly #recording: Recording;
  readonly #placement: Placement;
  readonly #steps: Steps;
  readonly #outputs: readonly { name: string; ref: Ref; offset: number; bytes: number }[];
  readonly #stagingBytes: number;
  #bindGroups: readonly GPUBindGroup[] = [];
  /** Of the arena, when the bind groups were made. */
  #arenaVersion = -1;

  /** Use `Engine.record`. */
  constructor(engine: Engine, born: number, label: string, recording: Recording, compiled: readonly CompiledKernel[]) {
    this.#engine = engine;
    this.#born = born;
    this.label = label;
    this.#recording = recording;
    this.#placement = placeRefs(recording);
    this.dispatches = recording.dispatches.length;
    this.#steps = stepsOf(recording, compiled, engine.device.limits.minUniformBufferOffsetAlignment);
    let offset = 0;
    this.#outputs = [...recording.outputs].map(([name, ref]) => {
      const output = { name, ref, offset, bytes: bytesOf(ref.shape, ref.dtype) };
      offset += output.bytes;
      return output;
    });
    this.#stagingBytes = offset;
  }

  /** One for each dispatch, in the order of a profile. */
  get launches(): Launch[] {
    return this.#recording.dispatches.map(({ label, kernel, flops, operands }) => {
      let bytes = 0;
      for (const operand of new Set(operands.values())) bytes += bytesOf(operand.shape, operand.dtype);
      return { label, kernel, flops, bytes };
    });
  }

  /** Bytes that the kernels of one run bind: an upper bound of the memory traffic, caches aside. */
  get bytesMoved(): number {
    return this.launches.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /**
   * Runs with these inputs, by name. Runs of one engine queue up; they never fail for coming at the same time.
   * @returns the outputs by name, flat and row-major.
   */
  run(inputs: Readonly<Record<string, InputData>>, options: RunOptions = {}): Promise<Record<string, OutputData>> {
    const outputs = this.#engine.enqueue(async () => {
      try {
        return await this.#run(inputs, options);
      } catch (error) {
        this.#arenaVersion = -1; // whatever was bound may be broken: bind afresh next time
        if (error instanceof GpuError && error.kind === "out-of-memory") this.#engine.arena.clear();
        throw error;
      }
    });
    return options.signal ? untilAborted(outputs, options.signal) : outputs;
  }

  /**
   * The same program with memory of its own, for the app's own command encoders.
   * @throws GpuError when the memory for it is not there, DeviceLostError
   */
  bind(): Promise<BoundProgram> {
    return bindProgram(this.#engine, this.#born, this.label, this.#recording, this.#steps);
  }

  async #run(inputs: Readonly<Record<string, InputData>>, options: RunOptions): Promise<Record<string, OutputData>> {
    options.signal?.throwIfAborted();
    this.#engine.requireGeneration(this.#born);
    const { device, arena } = this.#engine;
    this.#prepare();
    this.#write(inputs);
    const profiled = options.profile && timedPasses(device, this.#recording.dispatches);
    const { checked } = guarded(device, this.label, () => {
      const encoder = device.createCommandEncoder({ label: this.label });
      this.#encode(encoder, profiled?.passOf);
      for (const { ref, offset, bytes } of this.#outputs) {
        encoder.copyBufferToBuffer(this.#bufferOf(ref), 0, arena.staging, offset, bytes);
      }
      profiled?.resolve(encoder);
      device.queue.submit([encoder.finish()]);
    });
    const outputs = await this.#engine.waitFor(this.#readBack(checked));
    if (profiled) options.profile?.(await this.#engine.waitFor(profiled.read()));
    return outputs;
  }

  /** Gives the arena the size this program needs and binds its buffers; does nothing when both stand already. */
  #prepare(): void {
    const { device, arena, memory, dummy } = this.#engine;
    const { params } = this.#steps;
    arena.reserve(this.#placement.slotBytes, params.byteLength, this.#stagingBytes);
    if (this.#arenaVersion !== arena.version) {
      const buffers = { params: arena.params, dummy, of: (ref: Ref) => this.#bufferOf(ref) };
      this.#bindGroups = bindSteps(device, this.#steps, buffers, (checked) => this.#engine.watch(checked));
      this.#arenaVersion = arena.version;
    }
    if (arena.paramsOwner !== this) {
      device.queue.writeBuffer(arena.params, 0, params);
      arena.paramsOwner = this;
    }
    memory.check();
  }

  #write(inputs: Readonly<Record<string, InputData>>): void {
    const { inputs: refs } = this.#recording;
    for (const [name, data] of Object.entries(checkInputs(this.label, refs, inputs, "all"))) {
      this.#engine.writeBuffer(this.#bufferOf(refs.get(name)!), 0, data);
    }
  }

  #bufferOf({ id }: Ref): GPUBuffer {
    return this.#engine.arena.slot(this.#placement.slotOf[id]!);
  }

  #encode(encoder: GPUCommandEncoder, passOf?: (dispatch: number) => GPUComputePassDescriptor): void {
    let pass: GPUComputePassEncoder | undefined;
    encodeSteps(this.#steps, this.#bindGroups, (i) => {
      if (passOf) {
        pass?.end(); // timestamps sit on pass boundaries: one pass per kernel while profiling
        pass = encoder.beginComputePass(passOf(i));
      } else {
        pass ??= encoder.beginComputePass({ label: this.label });
      }
      return pass;
    });
    pass?.end();
  }

  async #readBack(checked: Promise<void>): Promise<Record<string, OutputData>> {
    if (this.#outputs.length === 0) {
      await this.#engine.device.queue.onSubmittedWorkDone();
      await checked;
      return {};
    }
    const { staging } = this.#engine.arena;
    const mapped = staging.mapAsync(1, 0, this.#stagingBytes); // GPUMapMode.READ
    mapped.catch(() => {});
    try {
      await checked; // the more telling error first
    } catch (error) {
      await mapped.then(
        () => staging.unmap(),
        () => {},
      );
      throw error;
    }
    await mapped;
    const range = staging.getMappedRange(0, this.#stagingBytes);
    const results: Record<string, OutputData> = {};
    for (const { name, ref, offset } of this.#outputs) {
      const length = sizeOf(ref.shape);
      if (ref.dtype === "f16") results[name] = float16ToFloat32(new Uint16Array(range, offset, length));
      else if (ref.dtype === "f32") results[name] = new Float32Array(range, offset, length).slice();
      else results[name] = new Uint32Array(range, offset, length).slice();
    }
    staging.unmap();
    return results;
  }
}

/** @throws the signal's reason as soon as it is aborted */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
