/**
 * Weights as a checkpoint stores them: a declaration says which tensors, of which shapes, and how they come to lie on the
 * GPU. Checking a checkpoint, allocating and filling all go by it.
 */

import type { Engine } from "../runtime/engine.ts";
import type { LinearWeights, NormWeights } from "../runtime/ops.ts";
import { type QuantizedTable, quantizedTable } from "../runtime/quantize.ts";
import type { Shape, Table, Tensor } from "../runtime/tensor.ts";
import { asTable } from "../runtime/upload.ts";

/** Storage of weights. `q8` is f32, but for the encoder's linear layers: int8 with a scale for each output. */
export type WeightStorage = "f32" | "f16" | "q8";

/** Storage of everything that is not int8. */
export function activationsOf(storage: WeightStorage): "f32" | "f16" {
  return storage === "q8" ? "f32" : storage;
}

/** One piece of a tree of weights. */
export interface Stored<W> {
  /** By our names (see `nameTensors`). */
  readonly tensors: readonly (readonly [name: string, shape: Shape])[];
  allocate(room: Room): W;
}

/** A tree of weights, with what is stored in the place of each piece. */
export type Declared<W> = Stored<W> | (W extends object ? { readonly [K in keyof W]: Declared<W[K]> } : W);

/** Where weights are allocated. What two declarations name is there once: a tied decoder is the word table itself. */
export interface Room {
  table(rows: number, cols: number, names: readonly string[], rowsPerPart?: number): Table;
  tensor(shape: Shape, name: string): Tensor;
  /** The weight of a linear layer of the encoder: int8 where the model is. */
  encoderWeight(rows: number, cols: number, names: readonly string[]): Pick<LinearWeights, "weight" | "scales">;
  once<T>(key: string, make: () => T): T;
}

/** y = W x + b. Several layers on the same input are one, one below the other: each has its share of the rows. */
export function linear(
  rows: number,
  cols: number,
  layers: string | readonly string[],
  { encoder = false, ...given }: { encoder?: boolean; weights?: readonly string[]; biases?: readonly string[] } = {},
): Stored<LinearWeights> {
  const names = typeof layers === "string" ? [layers] : layers;
  const weights = given.weights ?? names.map((name) => `${name}.weight`);
  const biases = given.biases ?? names.map((name) => `${name}.bias`);
  const share = rows / names.length;
  return {
    tensors: [
      ...weights.map((name): [string, Shape] => [name, [share, cols]]),
      ...biases.map((name): [string, Shape] => [name, [share]]),
    ],
    allocate: (room) =>
      room.once(names.join(), () => {
        const weight = encoder
          ? room.encoderWeight(rows, cols, weights)
          : { weight: room.table(rows, cols, weights), scales: undefined };
        const bias = biases.length > 0 ? room.table(rows, 1, biases, weight.weight.rowsPerPart) : undefined;
        return { ...weight, bias };
      }),
  };
}

export function norm(size: number, name: string): Stored<NormWeights> {
  const [gamma, beta] = [`${name}.weight`, `${name}.bias`];
  return {
    tensors: [
      [gamma, [size]],
      [beta, [size]],
    ],
    allocate: (room) => ({ gamma: room.tensor([size], gamma), beta: room.tensor([size], beta) }),
  };
}

/** A matrix that a single storage binding may be too small for. */
export function table(rows: number, cols: number, name: string): Stored<Table> {
  return { tensors: [[name, [rows, cols]]], allocate: (room) => room.table(rows, cols, [name]) };
}

export function tensor(shape: Shape, name: string): Stored<Tensor> {
  return { tensors: [[name, shape]], allocate: (room) => room.tensor(shape, name) };
}

/** What a declaration asks for, each tensor once. */
export function tensorsOf(declared: unknown): Map<string, Shape> {
  if (typeof declared !== "object" || declared === null) return new Map();
  if (isStored(declared)) return new Map(declared.tensors);
  return new Map(Object.values(declared).flatMap((part) => [...tensorsOf(part)]));
}

export function allocateIn<W>(room: Room, declared: Declared<W>): W {
  if (typeof declared !== "object" || declared === null) return declared as W;
  if (isStored(declared)) return declared.allocate(room) as W;
  if (Array.isArray(declared)) return declared.map((part) => allocateIn(room, part)) as W;
  return Object.fromEntries(Object.entries(declared).map(([name, part]) => [name, allocateIn(room, part)])) as W;
}

function isStored(declared: object): declared is Stored<unknown> {
  return "allocate" in declared;
}

/** What is allocated on the GPU and still empty. */
export interface Allocated {
  readonly tensors: readonly Tensor[];
  /** What goes where: our names of the stored tensors, end to end, into a table. */
  readonly contents: readonly { readonly into: Table | QuantizedTable; readonly names: readonly string[] }[];
}

/** An empty room, and what is in it so far. */
export function roomOn(engine: Engine, storage: WeightStorage): { readonly room: Room; readonly allocated: Allocated } {
  const dtype = activationsOf(storage);
  const tensors: Tensor[] = [];
  const contents: { into: Table | QuantizedTable; names: readonly string[] }[] = [];
  const made = new Map<string, unknown>();
  const room: Room = {
    table: (rows, cols, names, rowsPerPart) =>
      room.once(names.join(" + "), () => {
        const into = engine.table(names.join(" + "), rows, cols, dtype, rowsPerPart);
        tensors.push(...into.parts);
        contents.push({ into, names });
        return into;
      }),
    tensor: (shape, name) =>
      room.once(name, () => {
        const result = engine.tensor(name, shape, dtype);
        tensors.push(result);
        contents.push({ into: asTable(result), names: [name] });
        return result;
      }),
    encoderWeight(rows, cols, names) {
      if (storage !== "q8") return { weight: room.table(rows, cols, names), scales: undefined };
      const into = quantizedTable(engine, names.join(" + "), rows, cols);
      tensors.push(...into.codes.parts, ...into.scales.parts);
      contents.push({ into, names });
      return { weight: into.codes, scales: into.scales };
    },
    once<T>(key: string, make: () => T): T {
      if (!made.has(key)) made.set(key, make());
      return made.get(key) as T;
    },
  };
  return { room, allocated: { tensors, contents } };
}
