/** A recording made ready to run: placed in memory, bound to buffers, given its inputs, encoded into a pass. */

import type { Checks } from "./checks.ts";
import type { CompiledKernel, DeviceContext } from "./context.ts";
import type { Arena, Need } from "./memory.ts";
import { requireBytes, USAGE } from "./memory.ts";
import type { Dispatch, Operand, Recording, Ref, ScalarPlace } from "./recorder.ts";
import { bytesOf, type InputData, requireType, sizeOf, Tensor, writeElements } from "./tensor.ts";

/** Of a program, by the names it was recorded with: values of its inputs, and a number for each of its scalars. */
export type ProgramInputs = Readonly<Record<string, InputData | number>>;

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

/** Where the values of a recording lie: in buffers of an arena, whose names begin so. */
export interface Place {
  readonly arena: Arena;
  readonly prefix: string;
  readonly placement: Placement;
}

export function bufferOf({ arena, prefix, placement }: Place, { id, tensor }: Ref): GPUBuffer {
  return tensor?.buffer ?? arena.buffer(`${prefix} slot ${placement.slotOf[id]}`);
}

export function paramsOf({ arena, prefix }: Place): GPUBuffer {
  return arena.buffer(`${prefix} params`);
}

/** The buffers for the slots and for the parameters. */
export function needsOf({ prefix, placement }: Place, { params }: Steps): Need[] {
  return [
    ...placement.slotBytes.map((bytes, i) => ({ label: `${prefix} slot ${i}`, bytes, usage: USAGE.storage })),
    { label: `${prefix} params`, bytes: params.byteLength, usage: USAGE.uniform },
  ];
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

/** Writes inputs, and the parameters where they are due or have scalars; nothing of either is wrong. */
export function writeInputs(
  queue: GPUQueue,
  place: Place,
  { params, places }: Steps,
  { values, numbers }: CheckedInputs,
  due: boolean,
): void {
  for (const [ref, data] of values) writeElements(queue, bufferOf(place, ref), 0, data);
  const view = new DataView(params.buffer);
  for (const { scalar, offset } of places) {
    const value = numbers[scalar.name];
    if (value === undefined) continue;
    if (scalar.type === "f32") view.setFloat32(offset, value, true);
    else view.setUint32(offset, value, true);
  }
  if ((due || places.length > 0) && params.byteLength > 0) queue.writeBuffer(paramsOf(place), 0, params);
}

/**
 * A bind group for each dispatch.
 * @throws GpuError by the name of the tensor that has no memory, or of the kernel that cannot be bound
 */
export async function bindSteps(
  context: DeviceContext,
  { dispatches, compiled, paramOffsets }: Steps,
  place: Place,
  checks: Checks,
): Promise<GPUBindGroup[]> {
  const tensors = new Set<Tensor>();
  const boundTo = (operand: Operand): GPUBufferBinding => {
    const size = bytesOf(operand.shape, operand.dtype);
    const tensor = operand instanceof Tensor ? operand : operand.tensor;
    if (!tensor) return { buffer: bufferOf(place, operand as Ref), size };
    tensors.add(tensor);
    return { buffer: tensor.buffer, offset: tensor.offset, size };
  };
  const groups = dispatches.map(({ label, operands, params }, i) => {
    const { bindings, layout } = compiled[i]!;
    const entries = bindings.map(({ binding, name, access }): GPUBindGroupEntry => {
      if (access === "uniform") {
        return { binding, resource: { buffer: paramsOf(place), offset: paramOffsets[i]!, size: params.byteLength } };
      }
      return { binding, resource: boundTo(operands.get(name)!) };
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

export interface CheckedInputs {
  readonly values: readonly (readonly [Ref, InputData])[];
  /** Of scalars, by name. */
  readonly numbers: Readonly<Record<string, number>>;
}

/**
 * Holds what a program is given against what it was recorded for.
 * @param all whether none may be left out
 * @throws TypeError for an input that there is not, that is missing or of another type, RangeError for one of another size
 */
export function checkInputs(
  label: string,
  { inputs: refs, scalars }: Pick<Recording, "inputs" | "scalars">,
  inputs: ProgramInputs,
  all: boolean,
): CheckedInputs {
  const values: [Ref, InputData][] = [];
  const numbers: Record<string, number> = {};
  for (const [name, given] of Object.entries(inputs)) {
    const ref = refs.get(name);
    const type = scalars.get(name)?.type;
    if (type) {
      if (typeof given !== "number" || (type === "u32" && given >>> 0 !== given)) {
        throw new TypeError(`${label}: scalar ${name} is ${given}, not a number of ${type}`);
      }
      numbers[name] = given;
    } else if (!ref) throw new TypeError(`${label}: no input named ${name}`);
    else {
      const data = given as InputData;
      const size = sizeOf(ref.shape);
      requireType(`${label}: input ${name}`, ref.dtype, data);
      if (data.length !== size) {
        throw new RangeError(`${label}: input ${name} has ${data.length} elements, [${ref.shape}] needs ${size}`);
      }
      values.push([ref, data]);
    }
  }
  for (const name of [...refs.keys(), ...scalars.keys()]) {
    if (all && inputs[name] === undefined) throw new TypeError(`${label}: input ${name} is missing`);
  }
  return { values, numbers };
}

/**
 * Refuses what a device cannot hold, before memory is asked for.
 * @throws RangeError by the name of the value that no binding can hold, or of outputs that one buffer cannot be read from
 */
export function requireRoom({ refs, outputs }: Recording, limits: GPUSupportedLimits): void {
  const names = new Map([...outputs].map(([name, ref]) => [ref, name]));
  let read = 0;
  for (const ref of refs) {
    const bytes = bytesOf(ref.shape, ref.dtype);
    const output = names.get(ref);
    if (output) read += bytes;
    requireBytes(`${output ?? ref.name} [${ref.shape}]`, bytes, limits.maxStorageBufferBindingSize, "storage binding");
  }
  requireBytes(`what is read back (${[...names.values()]})`, read, limits.maxBufferSize, "buffer");
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
  const end = dispatches.length;
  const first = refs.map(() => end);
  const last = refs.map(() => -1);
  const use = ({ id, tensor }: Ref, time: number): void => {
    if (tensor) return; // a state has a place of its own
    first[id] = Math.min(first[id]!, time);
    last[id] = Math.max(last[id]!, time);
  };
  for (const [time, { operands }] of dispatches.entries()) {
    for (const operand of operands.values()) if (!(operand instanceof Tensor)) use(operand, time);
  }
  for (const ref of inputs.values()) {
    use(ref, -1);
    use(ref, ends === "kept" ? end : 0);
  }
  for (const ref of outputs.values()) {
    if (ends === "kept") use(ref, -1);
    use(ref, end);
  }

  const slots: { bytes: number; busyUntil: number }[] = [];
  const slotOf = refs.map((): (typeof slots)[number] | undefined => undefined);
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
    slotOf[id] = slot;
  }
  slots.sort((a, b) => b.bytes - a.bytes); // so that those of different programs match, and the arena stays small
  return { slotOf: slotOf.map((slot) => slots.indexOf(slot!)), slotBytes: slots.map(({ bytes }) => bytes) };
}
