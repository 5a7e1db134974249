/** Writes a checkpoint as one safetensors file, slice by slice: no tensor is ever held whole. */
import type { Checkpoint, CheckpointTensor } from "./checkpoint.ts";
import { bitsOf, isConvertible, type StoredDType, type TargetDType } from "./dtype.ts";
import { quote } from "./faults.ts";
import { MAX_HEADER_BYTES } from "./safetensors.ts";

export interface WriteOptions {
  /** Type to convert floating-point tensors to; as stored when left out. Integers and booleans stay as they are. */
  readonly dtype?: TargetDType;
  /** For `__metadata__`. Hugging Face's loaders want `format: "pt"`. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** What can be written: a checkpoint, or tensors from elsewhere. */
export interface WritableTensors extends Pick<Checkpoint, "name" | "read" | "chunks"> {
  readonly tensors: ReadonlyMap<string, Pick<CheckpointTensor, "name" | "dtype" | "shape" | "elements">>;
}

export interface PlannedTensor {
  readonly name: string;
  /** As it will be written. */
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  readonly elements: number;
  /** What to convert to; `undefined` for what is written as stored. */
  readonly target: TargetDType | undefined;
}

/** A file that is yet to be written. */
export interface SafetensorsPlan {
  /** The first bytes of the file: the header with its length. */
  readonly header: Uint8Array<ArrayBuffer>;
  /** In the order of their data. */
  readonly tensors: readonly PlannedTensor[];
  /** Of the whole file. */
  readonly bytes: number;
}

const SLICE_BYTES = 4_194_304;

/** Where the first tensor's bytes may begin; the crate aligns so, by spaces after the header. */
const ALIGNMENT = 8;

/**
 * Lays the file out as the safetensors crate does: wide types first, so that every tensor is aligned, then by name.
 * Tensors that share bytes in the checkpoint are written apart. Reads nothing.
 * @throws RangeError for a type that cannot be read, a name that the format reserves, a header beyond the format's limit
 */
export function planSafetensors(checkpoint: WritableTensors, { dtype, metadata }: WriteOptions = {}): SafetensorsPlan {
  const tensors = [...checkpoint.tensors.values()].map(({ name, dtype: stored, shape, elements }): PlannedTensor => {
    const at = `${checkpoint.name}: tensor ${quote(name)}`;
    if (!isConvertible(stored)) throw new RangeError(`${at} is ${stored}, which is not read`);
    if (name === "__metadata__") throw new RangeError(`${at} has a name that safetensors keeps for itself: rename it`);
    const target = isFloat(stored) && dtype?.toUpperCase() !== stored ? dtype : undefined;
    const written: StoredDType = target === undefined ? stored : target === "f16" ? "F16" : "F32";
    return { name, dtype: written, shape, elements, target };
  });
  tensors.sort((a, b) => bitsOf(b.dtype) - bitsOf(a.dtype) || (a.name < b.name ? -1 : 1));

  const entries = metadata ? [`"__metadata__":${JSON.stringify(metadata)}`] : [];
  let end = 0;
  for (const { name, dtype, shape, elements } of tensors) {
    const begin = end;
    end += (elements * bitsOf(dtype)) / 8;
    entries.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`);
  }
  const json = new TextEncoder().encode(`{${entries.join(",")}}`);
  const length = Math.ceil(json.length / ALIGNMENT) * ALIGNMENT;
  if (length > MAX_HEADER_BYTES) {
    throw new RangeError(
      `${checkpoint.name}: the header would be ${length} bytes, at most ${MAX_HEADER_BYTES} are read`,
    );
  }
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  return { header, tensors, bytes: header.length + end };
}

/**
 * The bytes of the file in order, in slices of about 4 MiB; not to be written to.
 * @throws what the checkpoint's `read` does; OverflowError when a value is beyond the type asked for
 */
export async function* writeSafetensors(
  checkpoint: WritableTensors,
  { header, tensors }: SafetensorsPlan,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  yield header;
  for (const { name, dtype, elements, target } of tensors) {
    if (target !== undefined) {
      for await (const slice of checkpoint.chunks(name, target, SLICE_BYTES)) yield bytesOf(slice);
      continue;
    }
    const step = (SLICE_BYTES * 8) / bitsOf(dtype);
    for (let offset = 0; offset < elements; offset += step) {
      yield bytesOf(await checkpoint.read(name, { offset, count: Math.min(step, elements - offset) }));
    }
  }
}

const isFloat = (dtype: StoredDType): boolean => ["F64", "F32", "F16", "BF16"].includes(dtype);

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView<ArrayBuffer>): Uint8Array<ArrayBuffer> =>
  new Uint8Array(buffer, byteOffset, byteLength);
