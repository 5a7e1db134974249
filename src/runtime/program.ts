/**
 * A recorded computation, ready to replay: its pipelines are compiled, its memory is placed. A run writes the inputs,
 * submits one command buffer with one compute pass, and reads the outputs back. Once a shape has run, running it again
 * creates no buffer, bind group or pipeline.
 */

import { float16ToFloat32 } from "../files/float16.ts";
import { requireKnown } from "../files/options.ts";
import { flopsOf } from "../kernels/work.ts";
import { type BoundProgram, bindProgram } from "./bound.ts";
import { Checks } from "./checks.ts";
import type { CompiledKernel, DeviceContext } from "./context.ts";
import type { Need } from "./memory.ts";
import { USAGE } from "./memory.ts";
import { type KernelTime, type TimedPasses, timedPasses } from "./profiler.ts";
import type { Recording, Ref } from "./recorder.ts";
import {
  bindSteps,
  bufferOf,
  checkInputs,
  encodeSteps,
  needsOf,
  type Place,
  type ProgramInputs,
  placeRefs,
  type Steps,
  stepsOf,
  writeInputs,
} from "./steps.ts";
import { bytesOf, sizeOf } from "./tensor.ts";

/** f16 outputs come as f32. */
export type OutputData = Float32Array | Uint32Array;

export interface RunOptions {
  /** Aborted, the run rejects at once with the signal's reason; what is not submitted yet never will be. */
  readonly signal?: AbortSignal | undefined;
  /** Receives the GPU time of every kernel (needs the feature timestamp-query); such a run is slower as a whole. */
  readonly profile?: ((times: readonly KernelTime[]) => void) | undefined;
}

export interface SubmitOptions extends Pick<RunOptions, "signal"> {
  /** `false`: this run's outputs are not wanted, and nothing is read back. Default true. */
  readonly readBack?: boolean | undefined;
}

/** A run that the device has taken. */
export interface Submission {
  /**
   * The outputs by name, flat and row-major, once they are computed; none where `readBack` was false.
   * @throws DeviceLostError
   */
  read(): Promise<Record<string, OutputData>>;
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

interface Output {
  readonly name: string;
  readonly ref: Ref;
  /** In the staging buffer. */
  readonly offset: number;
  readonly bytes: number;
}

export class Program {
  readonly label: string;
  /** Kernel launches in one run. */
  readonly dispatches: number;
  readonly #context: DeviceContext;
  readonly #recording: Recording;
  readonly #place: Place;
  readonly #steps: Steps;
  readonly #outputs: Output[] = [];
  #stagingBytes = 0;
  readonly #needs: readonly Need[];
  #bindGroups: readonly GPUBindGroup[] = [];
  /** Of the arena, when the bind groups were made. */
  #arenaVersion = -1;

  /** Use `Engine.record`. */
  constructor(context: DeviceContext, label: string, recording: Recording, compiled: readonly CompiledKernel[]) {
    this.#context = context;
    this.label = label;
    this.#recording = recording;
    this.#place = { arena: context.arena, prefix: "arena", placement: placeRefs(recording) };
    this.dispatches = recording.dispatches.length;
    this.#steps = stepsOf(recording, compiled, context.device.limits.minUniformBufferOffsetAlignment);
    for (const [name, ref] of recording.outputs) {
      const bytes = bytesOf(ref.shape, ref.dtype);
      this.#outputs.push({ name, ref, offset: this.#stagingBytes, bytes });
      this.#stagingBytes += bytes;
    }
    const staging = STAGING.map((label) => ({ label, bytes: this.#stagingBytes, usage: USAGE.readBack }));
    const needs = [...needsOf(this.#place, this.#steps), ...staging];
    const { maxBufferSize: most } = context.device.limits;
    this.#needs = needs.map((need) => ({ ...need, bytes: Math.min(most, roundUp(need.bytes, 256)) }));
  }

  /** One for each dispatch, in the order of a profile. */
  get launches(): Launch[] {
    return this.#recording.dispatches.map(({ label, kernel, shape, operands }) => {
      let bytes = 0;
      for (const operand of new Set(operands.values())) bytes += bytesOf(operand.shape, operand.dtype);
      return { label, kernel, flops: flopsOf(kernel, shape), bytes };
    });
  }

  /** Bytes of the buffers that a run takes, by their names: programs share those that are called alike. */
  get memory(): ReadonlyMap<string, number> {
    return new Map(this.#needs.map(({ label, bytes }) => [label, bytes]));
  }

  /** Bytes that the kernels of one run bind: an upper bound of the memory traffic, caches aside. */
  get bytesMoved(): number {
    return this.launches.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /**
   * Runs with these inputs and scalars, by name. Runs of one engine queue up; they never fail for coming at the same time.
   * Inputs are read when the run's turn comes: leave them as they are until it is over.
   * @returns the outputs by name, flat and row-major.
   * @throws GpuError for what this run asked of the device, DeviceLostError, TypeError and RangeError for inputs,
   * TypeError for an unknown option
   */
  run(inputs: ProgramInputs, options: RunOptions = {}): Promise<Record<string, OutputData>> {
    const { signal, profile } = options;
    const run = async (): Promise<Record<string, OutputData>> => {
      requireKnown("run", options, { signal: 1, profile: 1 });
      const { outputs, timed } = await this.#submit(inputs, { signal, profiled: profile !== undefined });
      try {
        const values = await outputs;
        if (timed) profile!(await this.#context.wait(timed.read()));
        return values;
      } finally {
        timed?.dispose();
      }
    };
    return untilAborted(run(), signal);
  }

  /**
   * Hands one run to the device without waiting for it to be computed, so that the next may follow: two are under way at
   * a time, a third waits for the first. Order is kept: what one run writes into a state the next one reads.
   * @throws as `run`
   */
  submit(inputs: ProgramInputs, options: SubmitOptions = {}): Promise<Submission> {
    const submit = async (): Promise<Submission> => {
      requireKnown("submit", options, { signal: 1, readBack: 1 });
      const { outputs } = await this.#submit(inputs, options);
      return { read: () => outputs };
    };
    return untilAborted(submit(), options.signal);
  }

  /**
   * The same program with memory of its own, for the app's own command encoders.
   * @throws GpuError when the memory for it is not there, DeviceLostError
   */
  bind(): Promise<BoundProgram> {
    return bindProgram(this.#context, this.label, this.#recording, this.#steps);
  }

  async #submit(
    inputs: ProgramInputs,
    { signal, readBack = true, profiled }: SubmitOptions & { readonly profiled?: boolean },
  ): Promise<Started> {
    const context = this.#context;
    const { arena, device } = context;
    const checked = checkInputs(this.label, this.#recording, inputs, true);
    const checks = new Checks(device);
    let timed: TimedPasses | undefined;
    try {
      const { end } = await context.inTurn(async () => {
        signal?.throwIfAborted();
        await this.#prepare(checks);
        if (profiled) timed = await context.wait(timedPasses(context, checks, this.#recording.dispatches));
        return context.startRun((place) => {
          signal?.throwIfAborted();
          return checks.within(this.label, () => {
            writeInputs(device.queue, this.#place, this.#steps, checked, arena.paramsOwner !== this);
            arena.paramsOwner = this;
            return this.#launch(readBack ? this.#outputs : [], arena.buffer(STAGING[place]!), timed);
          });
        });
      });
      await context.wait(checks.done());
      return { outputs: end, timed };
    } catch (error) {
      timed?.dispose();
      arena.paramsOwner = undefined;
      throw error;
    }
  }

  /** Sees to it that the memory is there and bound; does nothing when both stand already. */
  async #prepare(checks: Checks): Promise<void> {
    const context = this.#context;
    const { arena } = context;
    await arena.shrink(this.#needs, () => context.idle());
    const lacking = arena.lacking(this.#needs);
    if (lacking.length > 0) {
      await context.idle(); // what is read back from may be mapped
      await context.wait(arena.grow(lacking));
    }
    if (this.#arenaVersion === arena.version) return;
    this.#bindGroups = await bindSteps(context, this.#steps, this.#place, checks);
    this.#arenaVersion = arena.version;
  }

  /** Submits, and reads the outputs back. */
  #launch(
    outputs: readonly Output[],
    staging: GPUBuffer,
    timed: TimedPasses | undefined,
  ): Promise<Record<string, OutputData>> {
    const { device } = this.#context;
    const encoder = device.createCommandEncoder({ label: this.label });
    this.#encode(encoder, timed?.passOf);
    for (const { ref, offset, bytes } of outputs) {
      encoder.copyBufferToBuffer(bufferOf(this.#place, ref), ref.tensor?.offset ?? 0, staging, offset, bytes);
    }
    timed?.resolve(encoder);
    device.queue.submit([encoder.finish()]);
    if (outputs.length === 0) return device.queue.onSubmittedWorkDone().then(() => ({}));
    return staging.mapAsync(1, 0, this.#stagingBytes).then(() => {
      try {
        return valuesOf(staging.getMappedRange(0, this.#stagingBytes), outputs);
      } finally {
        staging.unmap();
      }
    });
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
}

/** A run that is submitted. */
interface Started {
  readonly outputs: Promise<Record<string, OutputData>>;
  readonly timed: TimedPasses | undefined;
}

/** By the place of a run: both are there from the first one on, so that runs that overlap allocate nothing. */
const STAGING = ["arena read-back 0", "arena read-back 1"];

/**
 * The next of four sizes between two powers of two: at most a quarter more, and shapes that vary a little share it.
 * @param least what a step is at least
 */
export function roundUp(size: number, least: number): number {
  const step = Math.max(least, 2 ** (Math.ceil(Math.log2(size)) - 3));
  return Math.ceil(size / step) * step;
}

function valuesOf(range: ArrayBuffer, outputs: readonly Output[]): Record<string, OutputData> {
  const values: Record<string, OutputData> = {};
  for (const { name, ref, offset } of outputs) {
    const length = sizeOf(ref.shape);
    if (ref.dtype === "f16") values[name] = float16ToFloat32(new Uint16Array(range, offset, length));
    else values[name] = new (ref.dtype === "f32" ? Float32Array : Uint32Array)(range, offset, length).slice();
  }
  return values;
}

/** @throws the signal's reason as soon as it is aborted */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
