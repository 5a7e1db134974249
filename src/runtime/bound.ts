/**
 * A program with memory of its own, for apps that record their GPU work themselves. Its inputs and outputs are buffers
 * that stay where they are; between two of its passes nothing of the engine's touches them.
 */

import { Checks } from "./checks.ts";
import type { DeviceContext } from "./context.ts";
import { USAGE } from "./memory.ts";
import type { Recording, Ref } from "./recorder.ts";
import { bindSteps, checkInputs, encodeSteps, type Inputs, placeRefs, type Steps, setScalars } from "./steps.ts";
import { writeElements } from "./tensor.ts";

export interface BoundProgram {
  /** Storage buffers that the app fills before the pass: with `write`, with a copy, or with kernels of its own. */
  readonly inputs: Readonly<Record<string, GPUBuffer>>;
  /** Storage buffers that may be copied from; row-major, in the order of their shapes. */
  readonly outputs: Readonly<Record<string, GPUBuffer>>;
  /** Bytes on the GPU, weights aside. */
  readonly bytes: number;
  /**
   * Writes inputs and scalars through the device's queue: before whatever is submitted next. Should WebGPU find fault
   * with that, which is known later, the next call on this program throws it.
   */
  write(inputs: Inputs): void;
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
  context: DeviceContext,
  label: string,
  recording: Recording,
  shared: Steps,
): Promise<BoundProgram> {
  context.requireAlive();
  const { device, memory } = context;
  const steps: Steps = { ...shared, params: shared.params.slice() };
  const { slotOf, slotBytes } = placeRefs(recording, "kept");
  const checks = new Checks(device);
  const owned: GPUBuffer[] = [];
  const create = (name: string, bytes: number, usage: number): GPUBuffer => {
    const buffer = memory.create(checks, `${label}: ${name}`, bytes, usage);
    owned.push(buffer);
    return buffer;
  };
  let disposed = false;
  const dispose = (): void => {
    disposed = true;
    for (const buffer of owned) memory.destroy(buffer);
  };
  const slots: GPUBuffer[] = [];
  const bufferOf = ({ id, tensor }: Ref): GPUBuffer => tensor?.buffer ?? slots[slotOf[id]!]!;
  let params: GPUBuffer;
  let groups: GPUBindGroup[];
  try {
    slots.push(...slotBytes.map((bytes, i) => create(`slot ${i}`, bytes, USAGE.storage)));
    params = create("params", Math.max(16, steps.params.byteLength), USAGE.uniform);
    await context.wait(checks.done());
    checks.within(label, () => device.queue.writeBuffer(params, 0, steps.params));
    groups = await bindSteps(context, steps, { params, slot: bufferOf }, checks);
  } catch (error) {
    dispose();
    throw error;
  }
  const buffersOf = (refs: ReadonlyMap<string, Ref>): Record<string, GPUBuffer> =>
    Object.fromEntries([...refs].map(([name, ref]) => [name, bufferOf(ref)]));
  const requireSound = (): void => {
    if (disposed) throw new Error(`${label}: it was disposed; bind it again`);
    context.requireAlive();
    if (checks.fault) throw checks.fault;
  };
  return {
    inputs: buffersOf(recording.inputs),
    outputs: buffersOf(recording.outputs),
    bytes: owned.reduce((sum, { size }) => sum + size, 0),
    write(inputs) {
      requireSound();
      const values = checkInputs(label, recording, inputs, "some");
      checks.within(label, () => {
        for (const [ref, data] of values) writeElements(device.queue, bufferOf(ref), 0, data);
        if (steps.places.length === 0) return;
        setScalars(steps, inputs);
        device.queue.writeBuffer(params, 0, steps.params);
      });
    },
    encode(target) {
      requireSound();
      if ("dispatchWorkgroups" in target) return encodeSteps(steps, groups, () => target);
      const pass = target.beginComputePass({ label });
      encodeSteps(steps, groups, () => pass);
      pass.end();
    },
    dispose,
  };
}
