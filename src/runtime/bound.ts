/**
 * A program with memory of its own, for apps that record their GPU work themselves. Its inputs and outputs are buffers
 * that stay where they are; between two of its passes nothing of the engine's touches them.
 */

import { Checks } from "./checks.ts";
import type { DeviceContext } from "./context.ts";
import { DisposedError } from "./errors.ts";
import { Arena } from "./memory.ts";
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
  writeInputs,
} from "./steps.ts";

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
  write(inputs: ProgramInputs): void;
  /**
   * Adds the program to the app's work: in a compute pass of its own, or within one that is open. Nothing is submitted.
   * @throws DeviceLostError, or DisposedError after `dispose`
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
  const { queue } = context.device;
  const steps: Steps = { ...shared, params: shared.params.slice() };
  const arena = new Arena(context.memory);
  const place: Place = { arena, prefix: `${label}:`, placement: placeRefs(recording, "kept") };
  const needs = needsOf(place, steps);
  const checks = new Checks(context.device);
  let groups: GPUBindGroup[];
  try {
    await context.wait(arena.grow(needs));
    checks.within(label, () => writeInputs(queue, place, steps, { values: [], numbers: {} }, true));
    groups = await bindSteps(context, steps, place, checks);
  } catch (error) {
    arena.clear();
    throw error;
  }
  const buffersOf = (refs: ReadonlyMap<string, Ref>): Record<string, GPUBuffer> =>
    Object.fromEntries([...refs].map(([name, ref]) => [name, bufferOf(place, ref)]));
  let disposed = false;
  const requireSound = (): void => {
    if (disposed) throw new DisposedError(`${label}: it was disposed; bind it again`);
    context.requireAlive();
    if (checks.fault) throw checks.fault;
  };
  return {
    inputs: buffersOf(recording.inputs),
    outputs: buffersOf(recording.outputs),
    bytes: needs.reduce((sum, { bytes }) => sum + bytes, 0),
    write(inputs) {
      requireSound();
      const checked = checkInputs(label, recording, inputs, false);
      checks.within(label, () => writeInputs(queue, place, steps, checked, false));
    },
    encode(target) {
      requireSound();
      if ("dispatchWorkgroups" in target) return encodeSteps(steps, groups, () => target);
      const pass = target.beginComputePass({ label });
      encodeSteps(steps, groups, () => pass);
      pass.end();
    },
    dispose() {
      disposed = true;
      arena.clear();
    },
  };
}
