/**
 * A program with memory of its own, for apps that record their GPU work themselves. Its inputs and outputs are buffers
 * that stay where they are; between two of its passes nothing of the engine's touches them.
 */

import type { Engine } from "./engine.ts";
import { checkInputs, type InputData } from "./inputs.ts";
import { placeRefs, type Recording, type Ref } from "./recorder.ts";
import { bindSteps, encodeSteps, type Steps } from "./steps.ts";

const STORAGE = 0x80 | 0x04 | 0x08; // GPUBufferUsage STORAGE | COPY_SRC | COPY_DST
const UNIFORM = 0x40 | 0x08; // UNIFORM | COPY_DST

export interface BoundProgram {
  /** Storage buffers that the app fills before the pass: with `write`, with a copy, or with kernels of its own. */
  readonly inputs: Readonly<Record<string, GPUBuffer>>;
  /** Storage buffers that may be copied from; row-major, in the order of their shapes. */
  readonly outputs: Readonly<Record<string, GPUBuffer>>;
  /** Bytes on the GPU, weights aside. */
  readonly bytes: number;
  /** Writes inputs through the device's queue: before whatever is submitted next. */
  write(inputs: Readonly<Record<string, InputData>>): void;
  /**
   * Adds the program to the app's work: in a compute pass of its own, or within one that is open. Nothing is submitted.
   * @throws DeviceLostError, or Error after `dispose`
   */
  encode(target: GPUCommandEncoder | GPUComputePassEncoder): void;
  /** Frees the buffers. What was submitted before still runs. Safe to call twice. */
  dispose(): void;
}

/** Use `Program.bind`. @throws GpuError when the memory for it is not there */
export async function bindProgram(
  engine: Engine,
  generation: number,
  label: string,
  recording: Recording,
  steps: Steps,
): Promise<BoundProgram> {
  engine.requireGeneration(generation);
  const { device, memory } = engine;
  const { slotOf, slotBytes } = placeRefs(recording, "kept");
  const owned: GPUBuffer[] = [];
  const create = (name: string, bytes: number, usage: number): GPUBuffer => {
    const buffer = memory.create(`${label}: ${name}`, bytes, usage);
    owned.push(buffer);
    return buffer;
  };
  let disposed = false;
  const dispose = (): void => {
    if (disposed) return;
    disposed = true;
    for (const buffer of owned) memory.destroy(buffer);
  };
  const checks: Promise<void>[] = [];
  let groups: GPUBindGroup[];
  const slots: GPUBuffer[] = [];
  try {
    slots.push(...slotBytes.map((bytes, i) => create(`slot ${i}`, bytes, STORAGE)));
    const params = create("params", Math.max(16, steps.params.byteLength), UNIFORM);
    device.queue.writeBuffer(params, 0, steps.params);
    const of = ({ id }: Ref): GPUBuffer => slots[slotOf[id]!]!;
    groups = bindSteps(device, steps, { params, dummy: engine.dummy, of }, (checked) => checks.push(checked));
    await engine.waitFor(Promise.all(checks));
    memory.check();
  } catch (error) {
    dispose();
    throw error;
  }
  const buffersOf = (refs: ReadonlyMap<string, Ref>): Record<string, GPUBuffer> =>
    Object.fromEntries([...refs].map(([name, { id }]) => [name, slots[slotOf[id]!]!]));
  const inputs = buffersOf(recording.inputs);
  const requireAlive = (): void => {
    if (disposed) throw new Error(`${label}: it was disposed; bind it again`);
    engine.requireGeneration(generation);
  };
  return {
    inputs,
    outputs: buffersOf(recording.outputs),
    bytes: owned.reduce((sum, { size }) => sum + size, 0),
    write(data) {
      requireAlive();
      for (const [name, values] of Object.entries(checkInputs(label, recording.inputs, data, "some"))) {
        engine.writeBuffer(inputs[name]!, 0, values);
      }
    },
    encode(target) {
      requireAlive();
      if ("dispatchWorkgroups" in target) return encodeSteps(steps, groups, () => target);
      const pass = target.beginComputePass({ label });
      encodeSteps(steps, groups, () => pass);
      pass.end();
    },
    dispose,
  };
}
