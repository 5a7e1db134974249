/**
 * Weights as a checkpoint stores them. One function spells a tree of weights; called with a list it says which tensors, of
 * which shapes, with a room it allocates them.
 */

import type { Room } from "../runtime/allocation.ts";
import type { LinearWeights, NormWeights } from "../runtime/ops.ts";
import { type QuantizedTable, quantizedTable } from "../runtime/quantize.ts";
import { allocateTable, asTable, type Table } from "../runtime/table.ts";
import type { Shape, Tensor } from "../runtime/tensor.ts";

/** Storage of weights. `q8` is f32, but for the encoder's linear layers: int8 with a scale for each output. */
export type WeightStorage = "f32" | "f16" | "q8";

/** What it may be called: fp32 and fp16 are what other libraries say. */
export type StorageName = WeightStorage | "fp32" | "fp16";

/** @throws RangeError for what is none */
export function storageOf(dtype: StorageName): WeightStorage {
  const storage = String(dtype).replace(/^fp/, "f");
  if (["f32", "f16", "q8"].includes(storage)) return storage as WeightStorage;
  throw new RangeError(`no dtype ${JSON.stringify(dtype)}; there are f32 (or fp32), f16 (or fp16), q8`);
}

/** Storage of everything that is not int8. */
export function activationsOf(storage: WeightStorage): "f32" | "f16" {
  return storage === "q8" ? "f32" : storage;
}

/** The pieces of a tree, by our names (see `nameTensors`). What is named twice is there once, as a tied decoder is. */
export interface Stored {
  tensor(shape: Shape, name: string): Tensor;
  /** For what a storage binding may be too small for. @param shape of each; several stand one below the other */
  table(shape: Shape, names: readonly string[], rowsPerPart?: number): Table;
  /** int8 where the model's storage is. */
  encoderTable(shape: Shape, names: readonly string[]): Pick<LinearWeights, "weight" | "scales">;
}

/** y = W x + b, W [rows, cols] */
export function linear(
  stored: Stored,
  [rows, cols]: readonly [rows: number, cols: number],
  name: string,
  { weight = `${name}.weight`, bias = `${name}.bias` }: { weight?: string; bias?: string | null } = {},
): LinearWeights {
  const table = stored.table([rows, cols], [weight]);
  return { weight: table, bias: bias === null ? undefined : stored.table([rows], [bias], table.rowsPerPart) };
}

/** Layers of the encoder on the same input are one, one below the other. @param shape of each */
export function encoderLinear(
  stored: Stored,
  [rows, cols]: readonly [rows: number, cols: number],
  ...names: string[]
): LinearWeights {
  const of = (part: string): string[] => names.map((name) => `${name}.${part}`);
  const { weight, scales } = stored.encoderTable([rows, cols], of("weight"));
  return { weight, scales, bias: stored.table([rows], of("bias"), weight.rowsPerPart) };
}

export function norm(stored: Stored, size: number, name: string): NormWeights {
  return { gamma: stored.tensor([size], `${name}.weight`), beta: stored.tensor([size], `${name}.bias`) };
}

/** Takes note of each tensor. What it gives back has no memory, and is not to be used. */
export function listInto(shapes: Map<string, Shape>): Stored {
  const table = (shape: Shape, names: readonly string[]): Table => {
    for (const name of names) shapes.set(name, shape);
    return { rows: 0, cols: 0, rowsPerPart: 0, parts: [] };
  };
  return {
    tensor: (shape, name) => table(shape, [name]) as never,
    table,
    encoderTable: (shape, names) => ({ weight: table(shape, names) }),
  };
}

/** What goes where: our names of the stored tensors, end to end, into a table. */
export interface Content {
  readonly into: Table | QuantizedTable;
  readonly names: readonly string[];
}

/** Allocates each tensor once. @param contents takes note of what goes into it */
export function allocateInto(contents: Content[], room: Room, storage: WeightStorage): Stored {
  const dtype = activationsOf(storage);
  const made = new Map<string, Table>();
  /** @param make is not called for names that are there */
  const once = (names: readonly string[], make: (label: string) => Table): Table => {
    const label = names.join(" + ");
    const known = made.get(label);
    if (known) return known;
    const into = make(label);
    made.set(label, into);
    contents.push({ into, names });
    return into;
  };
  const table: Stored["table"] = ([rows, cols = 1], names, rowsPerPart) =>
    once(names, (label) => allocateTable(room, label, rows! * names.length, cols, dtype, rowsPerPart));
  return {
    tensor: (shape, name) => once([name], () => asTable(room.tensor(name, shape, dtype))).parts[0]!,
    table,
    encoderTable(shape, names) {
      if (storage !== "q8") return { weight: table(shape, names) };
      const [rows, cols] = shape;
      const into = quantizedTable(room, names.join(" + "), rows! * names.length, cols!);
      contents.push({ into, names });
      return { weight: into.codes, scales: into.scales };
    },
  };
}
