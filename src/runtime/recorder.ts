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
export interface Scalar {
  readonly name: string;
  readonly type: "f32" | "u32";
}

/** Where a scalar stands in the parameters of a launch. */
export interface ScalarPlace {
  readonly scalar: Scalar;
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
  /** By binding name; what is not given is bound to a buffer that stands for it. */
  readonly operands: ReadonlyMap<string, Operand>;
}

/** What `Recorder` collects. */
export interface Recording {
  readonly dispatches: readonly Dispatch[];
  readonly refs: readonly Ref[];
  readonly inputs: ReadonlyMap<string, Ref>;
  readonly scalars: ReadonlyMap<string, Scalar>;
  readonly outputs: ReadonlyMap<string, Ref>;
}

export class Recorder {
  /** What kernels are chosen and planned by. */
  readonly traits: DeviceTraits;
  readonly #sources: SourceCache;
  readonly #dispatches: Dispatch[] = [];
  readonly #refs: Ref[] = [];
  readonly #inputs = new Map<string, Ref>();
  readonly #scalars = new Map<string, Scalar>();
  readonly #outputs = new Map<string, Ref>();
  readonly #written = new Set<Ref>();

  /** @param sources shared by the recordings of a device */
  constructor(traits: DeviceTraits, sources: SourceCache = new SourceCache()) {
    this.traits = traits;
    this.#sources = sources;
  }

  /** A value the caller provides at every run. */
  input(name: string, shape: Shape, dtype: DType): Ref {
    this.#requireNew(name);
    const ref = this.temporary(name, shape, dtype);
    this.#inputs.set(name, ref);
    this.#written.add(ref);
    return ref;
  }

  /** A number the caller provides at every run: a learning rate, a step, a length. For the `scalars` of `dispatch`. */
  scalar(name: string, type: "f32" | "u32"): Scalar {
    this.#requireNew(name);
    const scalar: Scalar = { name, type };
    this.#scalars.set(name, scalar);
    return scalar;
  }

  /**
   * A tensor that kernels may write: a weight in training, a moment, a cache. What one run writes the next one reads, of
   * this program or of another.
   */
  state(tensor: Tensor): Ref {
    const known = this.#refs.find((ref) => ref.tensor === tensor);
    if (known) return known;
    const { label: name, shape, dtype } = tensor;
    const ref: Ref = { id: this.#refs.length, name, shape, dtype, tensor };
    this.#refs.push(ref);
    this.#written.add(ref);
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
    this.#requireOwn(`output ${name}`, ref);
    if (!this.#written.has(ref)) throw new TypeError(`output ${name}: nothing has written ${ref.name}`);
    this.#outputs.set(name, ref);
  }

  /**
   * Adds a launch of `kernel` on `shape`. Operands are given by the binding names of the WGSL; of those that are written
   * the kernel may declare some `optional`.
   * @param scalars by fields of the WGSL's Params, in place of what the plan says
   * @throws TypeError for an operand that the kernel has no binding for, that is read before it was written, that belongs
   *   to another recorder, or that one launch would read and write at once; for a tensor that is written and no state
   */
  dispatch<S>(
    kernel: Kernel<S>,
    shape: S,
    operands: Readonly<Record<string, Operand | undefined>>,
    scalars: Readonly<Record<string, Scalar>> = {},
  ): void {
    const plan = kernel.plan(shape, this.traits.limits);
    const label = `${kernel.name} ${plan.label}`;
    const { source, bindings, fields } = this.#sources.of(kernel, plan);
    const given = new Map<string, Operand>();
    for (const [name, operand] of Object.entries(operands)) {
      const binding = bindings.get(name);
      if (binding === undefined || binding.access === "uniform") {
        throw new TypeError(`${label}: no binding named ${name}; there are ${[...bindings.keys()].join(", ")}`);
      }
      if (operand === undefined) continue;
      if (operand instanceof Tensor) {
        if (binding.access === "read_write") {
          throw new TypeError(`${label}: ${name} would write the tensor ${operand.label}; give it as state(tensor)`);
        }
      } else {
        this.#requireOwn(`${label}: ${name}`, operand);
        if (binding.access === "read" && !this.#written.has(operand)) {
          throw new TypeError(`${label}: ${name} reads ${operand.name}, which nothing has written`);
        }
      }
      given.set(name, operand);
    }
    for (const { name, access } of bindings.values()) {
      if (access !== "read_write") continue;
      const operand = given.get(name);
      if (operand) this.#written.add(operand as Ref);
      else if (!kernel.optional?.includes(name))
        throw new TypeError(`${label}: binding ${name} is written but not given`);
    }
    requireApart(label, given, bindings);
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

  #placeOf(label: string, fields: readonly ParamField[], field: string, scalar: Scalar): ScalarPlace {
    const index = fields.findIndex(({ name }) => name === field);
    if (index < 0) {
      const names = fields.map(({ name }) => name).join(", ");
      throw new TypeError(`${label}: Params has no ${field} to set; there are ${names || "none"}`);
    }
    if (this.#scalars.get(scalar.name) !== scalar) {
      throw new TypeError(`${label}: ${field} is the scalar ${scalar.name} of another recorder`);
    }
    const { type } = fields[index]!;
    if (type !== scalar.type) {
      throw new TypeError(`${label}: ${field} is ${type}, the scalar ${scalar.name} is ${scalar.type}`);
    }
    return { scalar, offset: 4 * index };
  }

  #requireNew(name: string): void {
    if (this.#inputs.has(name) || this.#scalars.has(name)) {
      throw new TypeError(`the program has an input named ${name} already`);
    }
  }

  #requireOwn(what: string, ref: Ref): void {
    if (this.#refs[ref.id] !== ref) throw new TypeError(`${what} is ${ref.name} of another recorder`);
  }
}

/** WebGPU refuses a launch that binds the same memory twice, unless it only reads it. */
function requireApart(
  label: string,
  given: ReadonlyMap<string, Operand>,
  bindings: ReadonlyMap<string, Binding>,
): void {
  const memoryOf = (operand: Operand): object => (operand instanceof Tensor ? operand : (operand.tensor ?? operand));
  const seen = new Map<object, string>();
  const written = [...given].filter(([name]) => bindings.get(name)!.access === "read_write");
  const read = [...given].filter(([name]) => bindings.get(name)!.access !== "read_write");
  for (const [name, operand] of [...written, ...read]) {
    const memory = memoryOf(operand);
    const other = seen.get(memory);
    if (other !== undefined) {
      const what = operand instanceof Tensor ? operand.label : operand.name;
      throw new TypeError(
        `${label}: ${what} is bound as ${other}, which is written, and as ${name}; give one of them a copy`,
      );
    }
    if (bindings.get(name)!.access === "read_write") seen.set(memory, name);
  }
}

interface Specialised {
  readonly source: string;
  /** By name. */
  readonly bindings: ReadonlyMap<string, Binding>;
  readonly fields: readonly ParamField[];
}

/** Kernels by the constants of their plans: made once, however many launches and programs use them. */
export class SourceCache {
  readonly #made = new Map<string, Map<string, Specialised>>();

  of(kernel: Pick<Kernel<never>, "source">, { constants }: Pick<KernelPlan, "constants">): Specialised {
    let byConstants = this.#made.get(kernel.source);
    if (byConstants === undefined) {
      byConstants = new Map();
      this.#made.set(kernel.source, byConstants);
    }
    const key = JSON.stringify(constants);
    let made = byConstants.get(key);
    if (made === undefined) {
      made = {
        source: specialize(kernel.source, constants),
        bindings: new Map(bindingsOf(kernel.source).map((binding) => [binding.name, binding])),
        fields: paramsOf(kernel.source),
      };
      byConstants.set(key, made);
    }
    return made;
  }
}
