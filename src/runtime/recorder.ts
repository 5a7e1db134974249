/**
 * Records a computation for one shape: which kernels run on what, in which order. Recording touches no GPU memory;
 * `Engine.record` turns the result into a `Program` that is replayed.
 */

import {
  bindingsOf,
  type DeviceTraits,
  type Kernel,
  type KernelPlan,
  packParams,
  paramsOf,
  specialize,
} from "../kernels/kernel.ts";
import { flopsOf } from "../kernels/work.ts";
import { bytesOf, type DType, type Shape, Tensor } from "./tensor.ts";

/** A value that lives in the arena: an input, an intermediate or an output of a program. */
export interface Ref {
  readonly id: number;
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: DType;
}

export type Operand = Ref | Tensor;

/** One kernel launch, as data. */
export interface Dispatch {
  /** `matmul 128x768x768` */
  readonly label: string;
  readonly kernel: string;
  /** Specialised WGSL: also the key of the pipeline cache. */
  readonly source: string;
  readonly params: Uint8Array;
  readonly workgroups: KernelPlan["workgroups"];
  readonly flops: number;
  /** By binding name; an optional binding that is not given stands for the engine's dummy buffer. */
  readonly operands: ReadonlyMap<string, Operand>;
}

/** What `Recorder` collects. */
export interface Recording {
  readonly dispatches: readonly Dispatch[];
  readonly refs: readonly Ref[];
  readonly inputs: ReadonlyMap<string, Ref>;
  readonly outputs: ReadonlyMap<string, Ref>;
}

export class Recorder {
  /** What kernels are chosen and planned by. */
  readonly traits: DeviceTraits;
  readonly #dispatches: Dispatch[] = [];
  readonly #refs: Ref[] = [];
  readonly #inputs = new Map<string, Ref>();
  readonly #outputs = new Map<string, Ref>();
  readonly #written = new Set<number>();

  constructor(traits: DeviceTraits) {
    this.traits = traits;
  }

  /** A value the caller provides at every run. */
  input(name: string, shape: Shape, dtype: DType): Ref {
    if (this.#inputs.has(name)) throw new TypeError(`the program has an input named ${name} already`);
    const ref = this.temporary(name, shape, dtype);
    this.#inputs.set(name, ref);
    this.#written.add(ref.id);
    return ref;
  }

  /** An intermediate value. Its memory is shared with others whose lives do not overlap. */
  temporary(name: string, shape: Shape, dtype: DType): Ref {
    const ref: Ref = { id: this.#refs.length, name, shape, dtype };
    this.#refs.push(ref);
    return ref;
  }

  /** Marks a value to be read back, under this name. */
  output(name: string, ref: Ref): void {
    if (this.#outputs.has(name)) throw new TypeError(`the program has an output named ${name} already`);
    if (!this.#written.has(ref.id)) throw new TypeError(`output ${name}: nothing has written ${ref.name}`);
    this.#outputs.set(name, ref);
  }

  /**
   * Adds a launch of `kernel` on `shape`. Operands are given by the binding names of the WGSL.
   * @throws TypeError for an operand the kernel has no binding for, or one that is read before it was written.
   */
  dispatch<S>(kernel: Kernel<S>, shape: S, operands: Readonly<Record<string, Operand | undefined>>): void {
    const plan = kernel.plan(shape, this.traits.limits);
    const label = `${kernel.name} ${plan.label}`;
    const given = new Map<string, Operand>();
    const bindings = new Map(bindingsOf(kernel.source).map((binding) => [binding.name, binding]));
    for (const [name, operand] of Object.entries(operands)) {
      const binding = bindings.get(name);
      if (binding === undefined || binding.access === "uniform") {
        throw new TypeError(`${label}: no binding named ${name}; there are ${[...bindings.keys()].join(", ")}`);
      }
      if (operand === undefined) continue;
      if (!(operand instanceof Tensor)) {
        if (binding.access === "read_write") this.#written.add(operand.id);
        else if (!this.#written.has(operand.id)) {
          throw new TypeError(`${label}: ${name} reads ${operand.name}, which nothing has written`);
        }
      }
      given.set(name, operand);
    }
    for (const { name, access } of bindings.values()) {
      if (access === "read_write" && !given.has(name))
        throw new TypeError(`${label}: binding ${name} is written but not given`);
    }
    this.#dispatches.push({
      label,
      kernel: kernel.name,
      source: specialize(kernel.source, plan.constants),
      params: packParams(paramsOf(kernel.source), plan.params),
      workgroups: plan.workgroups,
      flops: flopsOf(kernel.name, shape as object),
      operands: given,
    });
  }

  finish(): Recording {
    return { dispatches: this.#dispatches, refs: this.#refs, inputs: this.#inputs, outputs: this.#outputs };
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
      if (operand instanceof Tensor) continue;
      first[operand.id] = Math.min(first[operand.id]!, time);
      last[operand.id] = time;
    }
  });
  for (const { id } of inputs.values()) {
    first[id] = -1;
    last[id] = ends === "kept" ? dispatches.length : Math.max(last[id]!, 0);
  }
  for (const { id } of outputs.values()) {
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
