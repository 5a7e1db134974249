/**
 * Records a computation for one shape: which kernels run on what, in which order. Recording touches no GPU memory;
 * `Engine.record` turns the result into a `Program` that is replayed.
 */

import {
  type Binding,
  bindingsOf,
  type DeviceTraits,
  type Kernel,
  type KernelPlan,
  type ParamField,
  packParams,
  paramsOf,
  specialize,
} from "../kernels/kernel.ts";
import { type DType, type Shape, Tensor } from "./tensor.ts";

/** A value of a program: an input, an intermediate or an output, which live in the arena, or a state. */
export interface Ref {
  readonly id: number;
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: DType;
  /** Of a state: where it lives. */
  readonly tensor?: Tensor;
}

export type Operand = Ref | Tensor;

/** A number that is set at each run, without recording again. */
export interface ScalarInput {
  readonly name: string;
  readonly type: "f32" | "u32";
}

/** Where a scalar stands in the parameters of a launch. */
export interface ScalarPlace {
  readonly scalar: ScalarInput;
  /** In bytes. */
  readonly offset: number;
}

/** One kernel launch, as data. */
export interface Dispatch {
  /** `matmul 128x768x768` */
  readonly label: string;
  readonly kernel: string;
  /** What the kernel was planned for. */
  readonly shape: object;
  /** Specialised WGSL: also the key of the pipeline cache. Launches of the same kernel share it. */
  readonly source: string;
  readonly params: Uint8Array;
  readonly scalars: readonly ScalarPlace[];
  readonly workgroups: KernelPlan["workgroups"];
  /** By binding name; for one that was not given stands a value that nobody reads. */
  readonly operands: ReadonlyMap<string, Operand>;
}

/** What `Recorder` collects. */
export interface Recording {
  readonly dispatches: readonly Dispatch[];
  readonly refs: readonly Ref[];
  readonly inputs: ReadonlyMap<string, Ref>;
  readonly scalars: ReadonlyMap<string, ScalarInput>;
  readonly outputs: ReadonlyMap<string, Ref>;
}

export class Recorder {
  /** What kernels are chosen and planned by. */
  readonly traits: DeviceTraits;
  readonly #sources: SourceCache;
  readonly #dispatches: Dispatch[] = [];
  readonly #refs: Ref[] = [];
  /** Stands for inputs that are not given. */
  readonly #absent: Ref = this.temporary("absent", [4], "u32");
  readonly #inputs = new Map<string, Ref>();
  readonly #scalars = new Map<string, ScalarInput>();
  readonly #outputs = new Map<string, Ref>();
  readonly #written = new Set<Operand>();

  /** @param sources shared by the recordings of a device */
  constructor(traits: DeviceTraits, sources: SourceCache = new SourceCache()) {
    this.traits = traits;
    this.#sources = sources;
  }

  /** A value the caller provides at every run. */
  input(name: string, shape: Shape, dtype: DType): Ref {
    requireNew(name, this.#inputs, this.#scalars);
    const ref = this.temporary(name, shape, dtype);
    this.#inputs.set(name, ref);
    this.#written.add(ref);
    return ref;
  }

  /** A number the caller provides at every run: a learning rate, a step, a length. For the `scalars` of `dispatch`. */
  scalar(name: string, type: "f32" | "u32"): ScalarInput {
    requireNew(name, this.#inputs, this.#scalars);
    const scalar: ScalarInput = { name, type };
    this.#scalars.set(name, scalar);
    return scalar;
  }

  /**
   * A tensor that kernels may write: a weight in training, a moment, a cache. What one run writes the next one reads, of
   * this program or of another.
   */
  state(tensor: Tensor): Ref {
    let ref = this.#refs.find((ref) => ref.tensor === tensor);
    if (ref === undefined) {
      ref = { ...this.temporary(tensor.label, tensor.shape, tensor.dtype), tensor };
      this.#refs[ref.id] = ref;
      this.#written.add(ref);
    }
    return ref;
  }

  /** An intermediate value. Its memory is shared with others whose lives do not overlap. */
  temporary(name: string, shape: Shape, dtype: DType): Ref {
    const ref: Ref = { id: this.#refs.length, name, shape, dtype };
    this.#refs.push(ref);
    return ref;
  }

  /** What is marked so far. */
  get outputs(): ReadonlyMap<string, Ref> {
    return this.#outputs;
  }

  /** Marks a value to be read back, under this name. */
  output(name: string, ref: Ref): void {
    requireNew(name, this.#outputs);
    this.#checkOperand(`output ${name}`, ref, false);
    this.#outputs.set(name, ref);
  }

  /**
   * Adds a launch on `shape` of the kernel that was chosen, or of its substitute. Operands are given by the binding
   * names of the WGSL; of those that are written the kernel may declare some `optional`.
   * @param scalars by fields of the WGSL's Params, in place of what the plan says
   * @throws TypeError for an operand that the kernel has no binding for, that is read before it was written, that belongs
   *   to another recorder, or that one launch would write and bind twice; for a tensor that is written and no state
   */
  dispatch<S>(
    chosen: Kernel<S>,
    shape: S,
    operands: Readonly<Record<string, Operand | undefined>>,
    scalars: Readonly<Record<string, ScalarInput>> = {},
  ): void {
    const kernel = this.traits.avoid?.of(chosen, shape, this.traits) ?? chosen;
    const plan = kernel.plan(shape, this.traits.limits);
    const label = `${kernel.name} ${plan.label}`;
    const { source, bindings, fields } = this.#sources.of(kernel, plan);
    const written = new Set(bindings.filter(({ access }) => access === "read_write").map(({ name }) => name));
    for (const name of Object.keys(operands)) {
      if (!bindings.some((binding) => binding.name === name && binding.access !== "uniform")) {
        throw new TypeError(`${label}: no binding named ${name}; there are ${namesOf(bindings)}`);
      }
    }
    const given = new Map<string, Operand>();
    for (const { name, access } of bindings) {
      if (access === "uniform") continue;
      const writes = written.has(name);
      let operand = operands[name];
      if (operand) this.#checkOperand(`${label}: ${name}`, operand, writes);
      else if (!writes)
        operand = this.#absent; // WebGPU wants something bound
      else if (kernel.optional?.includes(name)) operand = this.temporary(name, [4], "u32");
      else throw new TypeError(`${label}: binding ${name} is written but not given`);
      for (const [other, bound] of given) {
        // WebGPU refuses a launch that binds the same memory twice, unless it only reads it, or writes other parts of it
        const mixed = writes !== written.has(other);
        if ((writes || mixed) && memoryOf(bound, mixed) === memoryOf(operand, mixed)) {
          throw new TypeError(`${label}: ${other} and ${name} are the same memory, and written`);
        }
      }
      given.set(name, operand);
    }
    for (const name of written) this.#written.add(given.get(name)!);
    this.#dispatches.push({
      label,
      kernel: kernel.name,
      shape: shape as object,
      source,
      params: packParams(fields, plan.params),
      scalars: Object.entries(scalars).map(([field, scalar]) => this.#placeOf(label, fields, field, scalar)),
      workgroups: plan.workgroups,
      operands: given,
    });
  }

  finish(): Recording {
    return {
      dispatches: this.#dispatches,
      refs: this.#refs,
      inputs: this.#inputs,
      scalars: this.#scalars,
      outputs: this.#outputs,
    };
  }

  #placeOf(label: string, fields: readonly ParamField[], field: string, scalar: ScalarInput): ScalarPlace {
    const index = fields.findIndex(({ name, type }) => name === field && type === scalar.type);
    if (index < 0) throw new TypeError(`${label}: no param ${field} of ${scalar.type}; there are ${namesOf(fields)}`);
    if (this.#scalars.get(scalar.name) !== scalar) throw foreign(`${label}: ${field}`, scalar);
    return { scalar, offset: 4 * index };
  }

  /** @param writes or reads */
  #checkOperand(what: string, operand: Operand, writes: boolean): void {
    if (operand instanceof Tensor) {
      if (writes) throw new TypeError(`${what} would write ${operand.label}; give it as state(tensor)`);
    } else if (this.#refs[operand.id] !== operand) throw foreign(what, operand);
    else if (!writes && !this.#written.has(operand)) {
      throw new TypeError(`${what} reads ${operand.name}, which nothing has written`);
    }
  }
}

function requireNew(name: string, ...known: readonly ReadonlyMap<string, unknown>[]): void {
  if (known.some((names) => names.has(name))) throw new TypeError(`the program has a ${name} already`);
}

function foreign(what: string, { name }: { readonly name: string }): TypeError {
  return new TypeError(`${what} is ${name} of another recorder`);
}

function namesOf(named: readonly { readonly name: string }[]): string {
  return named.map(({ name }) => name).join(", ");
}

/** @param whole of a part of a tensor, the memory of the whole */
function memoryOf(operand: Operand, whole: boolean): object {
  const tensor = operand instanceof Tensor ? operand : operand.tensor;
  return whole ? (tensor?.buffer ?? operand) : (tensor ?? operand);
}

interface Specialised {
  readonly source: string;
  readonly bindings: readonly Binding[];
  readonly fields: readonly ParamField[];
}

/** Kernels by the constants of their plans: made once, however many launches and programs use them. */
export class SourceCache {
  readonly #made = new Map<string, Specialised>();

  of({ source }: Pick<Kernel<never>, "source">, { constants }: Pick<KernelPlan, "constants">): Specialised {
    const key = JSON.stringify(constants) + source;
    let made = this.#made.get(key);
    if (made === undefined) {
      made = { source: specialize(source, constants), bindings: bindingsOf(source), fields: paramsOf(source) };
      this.#made.set(key, made);
    }
    return made;
  }
}
