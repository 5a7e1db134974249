/** A recording made ready to run: placed in memory, bound to buffers, given its inputs, encoded into a pass. */

import type { Checks } from "./checks.ts";
import type { DeviceContext } from "./context.ts";
import type { CompiledKernel } from "./pipelines.ts";
import type { Dispatch, Operand, Recording, Ref, Scalar, ScalarPlace } from "./recorder.ts";
import { bytesOf, type InputData, requireType, sizeOf, Tensor } from "./tensor.ts";

/** Of a program, by the names it was recorded with: values of its inputs, and a number for each of its scalars. */
export type Inputs = Readonly<Record<string, InputData | number>>;

export interface Steps {
  readonly dispatches: readonly Dispatch[];
  /** By dispatch. */
  readonly compiled: readonly CompiledKernel[];
  /** The parameters of all dispatches, for one uniform buffer. */
  readonly params: Uint8Array<ArrayBuffer>;
  /** Where each dispatch's begin, in bytes. */
  readonly paramOffsets: readonly number[];
  /** Where the scalars stand in `params`. */
  readonly places: readonly ScalarPlace[];
}

/** What steps are bound to. */
export interface StepBuffers {
  readonly params: GPUBuffer;
  slot(ref: Ref): GPUBuffer;
}

/** @param align of offsets in uniform buffers */
export function stepsOf({ dispatches }: Recording, compiled: readonly CompiledKernel[], align: number): Steps {
  const paramOffsets: number[] = [];
  let bytes = 0;
  for (const { params } of dispatches) {
    paramOffsets.push(bytes);
    bytes += Math.ceil(params.byteLength / align) * align;
  }
  const params = new Uint8Array(bytes);
  for (const [i, dispatch] of dispatches.entries()) params.set(dispatch.params, paramOffsets[i]!);
  const places = dispatches.flatMap(({ scalars }, i) =>
    scalars.map(({ scalar, offset }) => ({ scalar, offset: paramOffsets[i]! + offset })),
  );
  return { dispatches, compiled, params, paramOffsets, places };
}

/** Puts the scalars that are given into the parameters. */
export function setScalars({ params, places }: Steps, inputs: Inputs): void {
  const view = new DataView(params.buffer);
  for (const { scalar, offset } of places) {
    const value = inputs[scalar.name];
    if (value === undefined) continue;
    if (scalar.type === "f32") view.setFloat32(offset, value as number, true);
    else view.setUint32(offset, value as number, true);
  }
}

/**
 * A bind group for each dispatch.
 * @throws GpuError by the name of the tensor that has no memory, or of the kernel that cannot be bound
 */
export async function bindSteps(
  context: DeviceContext,
  { dispatches, compiled, paramOffsets }: Steps,
  buffers: StepBuffers,
  checks: Checks,
): Promise<GPUBindGroup[]> {
  const tensors = new Set<Tensor>();
  const bufferOf = (operand: Operand): GPUBuffer => {
    const tensor = operand instanceof Tensor ? operand : operand.tensor;
    if (tensor) tensors.add(tensor);
    return tensor?.buffer ?? buffers.slot(operand as Ref);
  };
  const groups = dispatches.map(({ label, operands, params }, i) => {
    const { bindings, layout } = compiled[i]!;
    const entries = bindings.map(({ binding, name, access }): GPUBindGroupEntry => {
      if (access === "uniform") {
        return { binding, resource: { buffer: buffers.params, offset: paramOffsets[i]!, size: params.byteLength } };
      }
      const operand = operands.get(name)!;
      return { binding, resource: { buffer: bufferOf(operand), size: bytesOf(operand.shape, operand.dtype) } };
    });
    return checks.within(label, () => context.device.createBindGroup({ label, layout, entries }));
  });
  await context.wait(Promise.all([...tensors].map((tensor) => tensor.ready())));
  await context.wait(checks.done());
  return groups;
}

/** @param passOf gives the pass for a dispatch: one for all, or while profiling one for each */
export function encodeSteps(
  { dispatches, compiled }: Steps,
  bindGroups: readonly GPUBindGroup[],
  passOf: (dispatch: number) => GPUComputePassEncoder,
): void {
  let current: { pass: GPUComputePassEncoder; pipeline: GPUComputePipeline } | undefined;
  for (const [i, { workgroups }] of dispatches.entries()) {
    const pass = passOf(i);
    const { pipeline } = compiled[i]!;
    if (current?.pass !== pass || current.pipeline !== pipeline) pass.setPipeline(pipeline);
    current = { pass, pipeline };
    pass.setBindGroup(0, bindGroups[i]!);
    pass.dispatchWorkgroups(...workgroups);
  }
}

/**
 * Holds what a program is given against what it was recorded for.
 * @param which whether inputs may be left out
 * @returns the values of its inputs, the scalars aside
 * @throws TypeError for an input that there is not, that is missing or of another type, RangeError for one of another size
 */
export function checkInputs(
  label: string,
  { inputs: refs, scalars }: Pick<Recording, "inputs" | "scalars">,
  inputs: Inputs,
  which: "all" | "some",
): [ref: Ref, data: InputData][] {
  const values: [Ref, InputData][] = [];
  for (const [name, data] of Object.entries(inputs)) {
    const ref = refs.get(name);
    const scalar = scalars.get(name);
    if (scalar) checkScalar(label, scalar, data);
    else if (!ref) throw new TypeError(`${label}: no input named ${name}`);
    else {
      requireType(`${label}: input ${name}`, ref.dtype, data as InputData);
      const { length } = data as InputData;
      if (length !== sizeOf(ref.shape)) {
        throw new RangeError(
          `${label}: input ${name} has ${length} elements, [${ref.shape}] needs ${sizeOf(ref.shape)}`,
        );
      }
      values.push([ref, data as InputData]);
    }
  }
  for (const name of [...refs.keys(), ...scalars.keys()]) {
    if (which === "all" && inputs[name] === undefined) throw new TypeError(`${label}: input ${name} is missing`);
  }
  return values;
}

function checkScalar(label: string, { name, type }: Scalar, value: unknown): void {
  if (typeof value !== "number" || (type === "u32" && value >>> 0 !== value)) {
    throw new TypeError(`${label}: scalar ${name} is ${value}, it takes a number of ${type}`);
  }
}

/** Where every ref of a recording lives. */
export interface Placement {
  /** Slot of each ref, by its id; -1 for a ref that nothing uses. */
  readonly slotOf: readonly number[];
  /** Bytes needed of each slot, largest first. */
  readonly slotBytes: readonly number[];
}

/**
 * Assigns refs to slots so that two whose lives overlap never share one. A ref lives from its first to its last use;
 * inputs from the start, outputs to the end. Greedy: the smallest free slot that is large enough, else the largest.
 * @param ends `kept`: inputs and outputs live throughout, so that their slots are theirs alone
 */
export function placeRefs(recording: Recording, ends: "shared" | "kept" = "shared"): Placement {
  const { dispatches, refs, inputs, outputs } = recording;
  const first = refs.map(() => Number.POSITIVE_INFINITY);
  const last = refs.map(() => -1);
  dispatches.forEach(({ operands }, time) => {
    for (const operand of operands.values()) {
      if (operand instanceof Tensor || operand.tensor) continue;
      first[operand.id] = Math.min(first[operand.id]!, time);
      last[operand.id] = time;
    }
  });
  for (const { id } of inputs.values()) {
    first[id] = -1;
    last[id] = ends === "kept" ? dispatches.length : Math.max(last[id]!, 0);
  }
  for (const { id, tensor } of outputs.values()) {
    if (tensor) continue; // a state has a place of its own
    if (ends === "kept") first[id] = -1;
    last[id] = dispatches.length;
  }

  const slotOf = refs.map(() => -1);
  const slots: { bytes: number; busyUntil: number }[] = [];
  const byStart = refs.filter(({ id }) => last[id]! >= 0).sort((a, b) => first[a.id]! - first[b.id]!);
  for (const { id, shape, dtype } of byStart) {
    const bytes = bytesOf(shape, dtype);
    const free = slots.filter(({ busyUntil }) => busyUntil < first[id]!).sort((a, b) => a.bytes - b.bytes);
    let slot = free.find((candidate) => candidate.bytes >= bytes) ?? free.at(-1);
    if (slot === undefined) {
      slot = { bytes: 0, busyUntil: -1 };
      slots.push(slot);
    }
    slot.bytes = Math.max(slot.bytes, bytes);
    slot.busyUntil = last[id]!;
    slotOf[id] = slots.indexOf(slot);
  }
  // Largest first, so that the slots of different programs match and the arena stays small.
  const order = slots.map((_, i) => i).sort((a, b) => slots[b]!.bytes - slots[a]!.bytes);
  const rank = new Map(order.map((slot, i) => [slot, i]));
  return {
    slotOf: slotOf.map((slot) => (slot < 0 ? -1 : rank.get(slot)!)),
    slotBytes: order.map((slot) => slots[slot]!.bytes),
  };
}
