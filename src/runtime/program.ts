/**
 * A recorded computation, ready to replay: its pipelines are compiled, its memory is placed. A run writes the inputs,
 * submits one command buffer with one compute pass, and reads the outputs back. Once a shape has run, running it again
 * creates no buffer, bind group or pipeline.
 */

import type { Engine } from "./engine.ts";
import { GpuError, guarded } from "./errors.ts";
import { float16ToFloat32 } from "./float16.ts";
import type { CompiledKernel } from "./pipelines.ts";
import { type KernelTime, timedPasses } from "./profiler.ts";
import { type Placement, placeRefs, type Recording, type Ref } from "./recorder.ts";
import { bytesOf, sizeOf, Tensor } from "./tensor.ts";

export type InputData = Float32Array | Uint32Array | Int32Array | Uint16Array;
/** f16 outputs come as f32. */
export type OutputData = Float32Array | Uint32Array;

export interface RunOptions {
  /** Checked before the work is submitted and when it is done; the run then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Receives the GPU time of every kernel (needs the feature timestamp-query); such a run is slower as a whole. */
  readonly profile?: ((times: readonly KernelTime[]) => void) | undefined;
}

interface Step {
  readonly compiled: CompiledKernel;
  readonly paramOffset: number;
  bindGroup: GPUBindGroup | undefined;
}

export class Program {
  readonly label: string;
  /** Kernel launches in one run. */
  readonly dispatches: number;
  readonly #engine: Engine;
  readonly #recording: Recording;
  readonly #placement: Placement;
  readonly #steps: readonly Step[];
  readonly #params: Uint8Array;
  readonly #outputs: readonly { name: string; ref: Ref; offset: number; bytes: number }[];
  readonly #stagingBytes: number;
  #generation = -1;

  /** Use `Engine.record`. */
  constructor(engine: Engine, label: string, recording: Recording, compiled: readonly CompiledKernel[]) {
    this.#engine = engine;
    this.label = label;
    this.#recording = recording;
    this.#placement = placeRefs(recording);
    this.dispatches = recording.dispatches.length;
    const align = engine.device.limits.minUniformBufferOffsetAlignment;
    let paramBytes = 0;
    this.#steps = recording.dispatches.map(({ params }, i) => {
      const step: Step = { compiled: compiled[i]!, paramOffset: paramBytes, bindGroup: undefined };
      paramBytes += Math.ceil(params.byteLength / align) * align;
      return step;
    });
    this.#params = new Uint8Array(paramBytes);
    recording.dispatches.forEach(({ params }, i) => {
      this.#params.set(params, this.#steps[i]!.paramOffset);
    });
    let offset = 0;
    this.#outputs = [...recording.outputs].map(([name, ref]) => {
      const output = { name, ref, offset, bytes: bytesOf(ref.shape, ref.dtype) };
      offset += output.bytes;
      return output;
    });
    this.#stagingBytes = offset;
  }

  /** Bytes that the kernels of one run bind: an upper bound of the memory traffic, caches aside. */
  get bytesMoved(): number {
    let bytes = 0;
    for (const { operands } of this.#recording.dispatches) {
      for (const operand of operands.values()) bytes += bytesOf(operand.shape, operand.dtype);
    }
    return bytes;
  }

  /**
   * Runs with these inputs, by name. Runs of one engine queue up; they never fail for coming at the same time.
   * @returns the outputs by name, flat and row-major.
   */
  run(inputs: Readonly<Record<string, InputData>>, options: RunOptions = {}): Promise<Record<string, OutputData>> {
    return this.#engine.enqueue(async () => {
      try {
        return await this.#run(inputs, options);
      } catch (error) {
        this.#generation = -1; // whatever was bound may be broken: bind afresh next time
        if (error instanceof GpuError && error.kind === "out-of-memory") this.#engine.arena.clear();
        throw error;
      }
    });
  }

  async #run(inputs: Readonly<Record<string, InputData>>, options: RunOptions): Promise<Record<string, OutputData>> {
    options.signal?.throwIfAborted();
    const { device, arena } = this.#engine;
    this.#prepare();
    this.#write(inputs);
    const profiled = options.profile && timedPasses(device, this.#recording.dispatches);
    const { checked } = guarded(device, this.label, () => {
      const encoder = device.createCommandEncoder({ label: this.label });
      this.#encode(encoder, profiled?.passOf);
      for (const { ref, offset, bytes } of this.#outputs) {
        encoder.copyBufferToBuffer(arena.slot(this.#placement.slotOf[ref.id]!), 0, arena.staging, offset, bytes);
      }
      profiled?.resolve(encoder);
      device.queue.submit([encoder.finish()]);
    });
    const outputs = await this.#engine.waitFor(this.#readBack(checked));
    if (profiled) options.profile?.(await this.#engine.waitFor(profiled.read()));
    options.signal?.throwIfAborted();
    return outputs;
  }

  /** Gives the arena the size this program needs and binds its buffers; does nothing when both stand already. */
  #prepare(): void {
    const { device, arena, memory, dummy } = this.#engine;
    arena.reserve(this.#placement.slotBytes, this.#params.byteLength, this.#stagingBytes);
    if (this.#generation !== arena.generation) {
      this.#recording.dispatches.forEach(({ label, operands, params }, i) => {
        const { compiled, paramOffset } = this.#steps[i]!;
        const entries = compiled.bindings.map(({ binding, name, access }): GPUBindGroupEntry => {
          if (access === "uniform") {
            return { binding, resource: { buffer: arena.params, offset: paramOffset, size: params.byteLength } };
          }
          const operand = operands.get(name);
          if (operand === undefined) return { binding, resource: { buffer: dummy } };
          const buffer = operand instanceof Tensor ? operand.buffer : arena.slot(this.#placement.slotOf[operand.id]!);
          return { binding, resource: { buffer, size: bytesOf(operand.shape, operand.dtype) } };
        });
        const { result, checked } = guarded(device, label, () =>
          device.createBindGroup({ label, layout: compiled.layout, entries }),
        );
        this.#steps[i]!.bindGroup = result;
        this.#engine.watch(checked);
      });
      this.#generation = arena.generation;
    }
    if (arena.paramsOwner !== this) {
      device.queue.writeBuffer(arena.params, 0, this.#params as Uint8Array<ArrayBuffer>);
      arena.paramsOwner = this;
    }
    memory.check();
  }

  #write(inputs: Readonly<Record<string, InputData>>): void {
    for (const name of Object.keys(inputs)) {
      if (!this.#recording.inputs.has(name)) throw new TypeError(`${this.label}: no input named ${name}`);
    }
    for (const [name, ref] of this.#recording.inputs) {
      const data = inputs[name];
      const expected = sizeOf(ref.shape);
      if (data === undefined) throw new TypeError(`${this.label}: input ${name} is missing`);
      if (data.length !== expected) {
        throw new RangeError(
          `${this.label}: input ${name} has ${data.length} elements, [${ref.shape}] needs ${expected}`,
        );
      }
      this.#engine.writeBuffer(this.#engine.arena.slot(this.#placement.slotOf[ref.id]!), 0, data);
    }
  }

  #encode(encoder: GPUCommandEncoder, passOf?: (dispatch: number) => GPUComputePassDescriptor): void {
    let pass = passOf ? undefined : encoder.beginComputePass({ label: this.label });
    let current: GPUComputePipeline | undefined;
    this.#recording.dispatches.forEach(({ workgroups }, i) => {
      if (passOf) {
        pass?.end(); // timestamps sit on pass boundaries: one pass per kernel while profiling
        pass = encoder.beginComputePass(passOf(i));
        current = undefined;
      }
      const { compiled, bindGroup } = this.#steps[i]!;
      if (current !== compiled.pipeline) pass!.setPipeline(compiled.pipeline);
      current = compiled.pipeline;
      pass!.setBindGroup(0, bindGroup!);
      pass!.dispatchWorkgroups(...workgroups);
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
