/** Flat buffers as tensors of a file, read from the GPU and written to it slice by slice. */

import type { Content } from "../bert/stored.ts";
import type { Checkpoint, ElementRange } from "../files/checkpoint.ts";
import { numbersToFloat16 } from "../files/float16.ts";
import { planSafetensors, type WritableTensors, writeSafetensors } from "../files/safetensors_writer.ts";
import type { Engine } from "../runtime/engine.ts";
import { streamTable, type Table } from "../runtime/table.ts";
import { type Shape, sizeOf, type Tensor } from "../runtime/tensor.ts";
import { ALIGNED, type FlatKind, type FlatWeights } from "./flat.ts";
import type { KeptTensors } from "./model_folder.ts";
import { readTensor } from "./read.ts";

/** What a file calls a tensor of a kind; of several names, under which it is written, the first is read. */
export type Naming = (name: string, kind: FlatKind) => readonly [string, ...string[]];

/** Reads a frozen tensor from where it came from. */
export type ReadFrozen = (name: string, range: ElementRange) => Promise<Float32Array<ArrayBuffer>>;

/** Where a tensor of a checkpoint lies: from this element of the table on. */
interface Place {
  /** Ours. */
  readonly name: string;
  readonly table: Table;
  readonly start: number;
  readonly kind: FlatKind;
  readonly shape: Shape;
}

/** By the names of the file. @param shapes by our names */
function placesIn(
  flat: FlatWeights,
  shapes: ReadonlyMap<string, Shape>,
  kinds: readonly FlatKind[],
  naming: Naming,
): Map<string, Place> {
  const places = new Map<string, Place>();
  for (const kind of kinds) {
    for (const { into, names } of flat.contents.f32) {
      const table = tableOf(flat, into, kind);
      for (const [i, name] of names.entries()) {
        const shape = shapes.get(name)!;
        for (const called of naming(name, kind))
          places.set(called, { name, table, start: i * sizeOf(shape), kind, shape });
      }
    }
  }
  return places;
}

function addFrozen(
  places: Map<string, Place>,
  { frozen }: FlatWeights,
  shapes: ReadonlyMap<string, Shape>,
  naming: Naming,
): void {
  const kind = "weights";
  for (const { into, names } of frozen) {
    for (const [i, name] of names.entries()) {
      const shape = shapes.get(name)!;
      const place = { name, table: into as Table, start: i * sizeOf(shape), kind, shape } as const;
      for (const called of naming(name, kind)) places.set(called, place);
    }
  }
}

/** The same table of another kind. */
function tableOf({ places, parts }: FlatWeights, into: Content["into"], kind: FlatKind): Table {
  const table = into as Table; // nothing that is trained is int8
  const part = ({ label, shape }: Tensor): Tensor => {
    const { part, start } = places.get(label)!;
    return parts[part]![kind]!.part(label, shape, start);
  };
  return { ...table, parts: table.parts.map(part) };
}

/**
 * A safetensors file of what the GPU holds.
 * @param kept tensors of other origin that it has as well
 * @param readFrozen of what it holds in f16 alone, where weights are written
 * @throws while it is read: GpuError, DeviceLostError
 */
export function flatFile(
  engine: Engine,
  flat: FlatWeights,
  shapes: ReadonlyMap<string, Shape>,
  kinds: readonly FlatKind[],
  naming: Naming,
  { kept = new Map(), readFrozen }: { readonly kept?: KeptTensors; readonly readFrozen?: ReadFrozen } = {},
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const places = placesIn(flat, shapes, kinds, naming);
  if (readFrozen) addFrozen(places, flat, shapes, naming);
  const tensors = [...places].map(([name, { shape, kind }]) => {
    const dtype = kind === "copies" ? "F16" : "F32";
    return [name, { name, dtype, shape, elements: sizeOf(shape) }] as const;
  });
  const others = [...kept].map(
    ([name, { shape }]) => [name, { name, dtype: "F32", shape, elements: sizeOf(shape) }] as const,
  );
  const source: WritableTensors = {
    name: "model",
    tensors: new Map([...tensors, ...others]),
    async read(called, range) {
      const values = kept.get(called)?.values;
      const { offset = 0, count = 0 } = range!;
      if (values) return values.slice(offset, offset + count);
      const place = places.get(called)!;
      const inF16 = place.kind === "weights" && place.table.parts[0]!.dtype === "f16";
      return inF16 ? readFrozen!(place.name, range!) : readRange(engine, place, range!);
    },
    chunks: () => {
      throw new TypeError("what is trained is written as it is");
    },
  };
  return writeSafetensors(source, planSafetensors(source, { metadata: { format: "pt" } }));
}

async function readRange(
  engine: Engine,
  { table, start, kind }: Place,
  { offset = 0, count = 0 }: ElementRange,
): Promise<Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>> {
  const values = new Float32Array(count);
  const perPart = table.rowsPerPart * table.cols;
  for (let done = 0; done < count; ) {
    const at = start + offset + done;
    const part = table.parts[Math.floor(at / perPart)]!;
    const within = at % perPart;
    const begin = Math.floor(within / ALIGNED) * ALIGNED;
    const end = Math.min(sizeOf(part.shape), within + count - done);
    const range = part.part(part.label, [end - begin], begin);
    values.set((await readTensor(engine, range)).subarray(within - begin), done);
    done += end - within;
  }
  return kind === "copies" ? numbersToFloat16(values) : values;
}

/**
 * Fills flat buffers from such a file.
 * @throws RangeError with all tensors that it lacks or that have another shape, before anything is written
 */
export async function fillFlat(
  engine: Engine,
  flat: FlatWeights,
  shapes: ReadonlyMap<string, Shape>,
  kinds: readonly FlatKind[],
  naming: Naming,
  checkpoint: Checkpoint,
): Promise<void> {
  const faults: string[] = [];
  for (const [name, { shape }] of placesIn(flat, shapes, kinds, naming)) {
    const found = checkpoint.tensors.get(name)?.shape.join(", ");
    if (found !== shape.join(", "))
      faults.push(`${name} is ${found === undefined ? "missing" : `[${found}]`}, [${shape.join(", ")}] is trained`);
  }
  if (faults.length > 0) throw new RangeError(`${checkpoint.name}: ${faults.join("; ")}`);
  const allocation = engine.allocate(); // for its flushes
  for (const kind of kinds) {
    const elements = async function* (names: readonly string[]) {
      for (const name of names) yield* checkpoint.chunks(naming(name, kind)[0], kind === "copies" ? "f16" : "f32");
    };
    for (const { into, names } of flat.contents.f32) {
      await streamTable(allocation, tableOf(flat, into, kind), elements(names));
    }
  }
  await allocation.done();
}
