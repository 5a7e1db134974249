/** A checkpoint: the tensors of one safetensors file, or of several with an index, under one set of names. */
import type { Scalar } from "../kernels/kernel.ts";
import type { ByteSource, Folder } from "./bytes.ts";
import {
  bitsOf,
  type ConvertibleDtype,
  convert,
  DTYPES,
  type Elements,
  elementsOf,
  isConvertible,
  type ScalarArray,
} from "./dtype.ts";
import { quote, SafetensorsError } from "./faults.ts";
import { openSafetensors, type SafetensorsFile, type TensorInfo } from "./safetensors.ts";
import { openShards, type Shards } from "./shards.ts";

export interface CheckpointTensor extends TensorInfo {
  /** A key of the checkpoint's `files`. */
  readonly file: string;
}

/** Elements in row-major order, counted from 0; all of them when left out. */
export interface ElementRange {
  readonly offset?: number;
  readonly count?: number;
}

export interface Checkpoint {
  /** For messages. */
  readonly name: string;
  readonly tensors: ReadonlyMap<string, CheckpointTensor>;
  readonly files: ReadonlyMap<string, SafetensorsFile>;
  /** What is odd but harmless. */
  readonly warnings: readonly string[];
  /**
   * The elements as stored; possibly a view of the source's memory, not to be written to.
   * @throws RangeError for an unknown tensor or a range outside it, TypeError for a type that cannot be read (F8, F4, C64)
   */
  read(tensor: string, range?: ElementRange): Promise<Elements>;
  /** The elements as f32. @throws as `read`, and OverflowError for an F64 beyond f32 */
  readFloats(tensor: string, range?: ElementRange): Promise<Float32Array<ArrayBuffer>>;
  /**
   * All elements in order, slice by slice, as f32 or as the bits of f16. A slice and what its conversion needs stay within
   * `maxBytes` (4 MiB by default). Every slice but the last is a multiple of 4 elements: uploads to a GPU are aligned.
   * What is stored as asked is not copied: not to be written to.
   * @throws as `read`, and OverflowError when a finite value is beyond the type asked for
   */
  chunks(tensor: string, target: Scalar, maxBytes?: number): AsyncIterable<ScalarArray>;
  /** Closes the files; safe to call twice. Reads fail from then on. */
  close(): Promise<void>;
}

const SINGLE_FILE = "model.safetensors";
const INDEX_FILE = "model.safetensors.index.json";

/** What else a model folder may hold. */
const OTHER_FORMATS = {
  "pytorch_model.bin": "PyTorch",
  "pytorch_model.bin.index.json": "PyTorch",
  "tf_model.h5": "TensorFlow",
  "bert_model.ckpt.index": "TensorFlow",
  "flax_model.msgpack": "Flax",
};

const CHUNK_BYTES = 4 << 20;

/**
 * Opens a model folder's weights: model.safetensors, or the files of model.safetensors.index.json. Reads and validates
 * the headers, not the data.
 * @throws SafetensorsError with every fault of every file, or when there is no such file
 */
export async function openCheckpoint(folder: Folder): Promise<Checkpoint> {
  const source = await folder.open(SINGLE_FILE);
  if (source !== undefined) return checkpointOf(folder.name, await openAlone(SINGLE_FILE, source));
  const shards = await openShards(folder, INDEX_FILE);
  if (shards !== undefined) return checkpointOf(folder.name, shards);
  for (const [file, writer] of Object.entries(OTHER_FORMATS)) {
    const other = await folder.open(file);
    if (other === undefined) continue;
    await other.close();
    const remedy = "save it again with transformers: model.save_pretrained(folder, safe_serialization=True)";
    throw new SafetensorsError(folder.name, [`no ${SINGLE_FILE}, only ${file}, the format of ${writer}; ${remedy}`]);
  }
  throw new SafetensorsError(folder.name, [`neither ${SINGLE_FILE} nor ${INDEX_FILE} is there`]);
}

/** One safetensors file of any name. The checkpoint owns `source`, which is closed also when this fails. */
export async function openCheckpointFile(source: ByteSource): Promise<Checkpoint> {
  return checkpointOf(source.name, await openAlone(source.name, source));
}

async function openAlone(name: string, source: ByteSource): Promise<Shards> {
  try {
    return { files: new Map([[name, await openSafetensors(source)]]), warnings: [] };
  } catch (error) {
    await source.close();
    throw error;
  }
}

function checkpointOf(name: string, { files, warnings }: Shards): Checkpoint {
  const tensors = new Map<string, CheckpointTensor>();
  for (const [file, { tensors: own }] of files) {
    for (const [key, tensor] of own) tensors.set(key, { ...tensor, file });
  }
  let closed = false;

  function find(key: string): { tensor: CheckpointTensor; dtype: ConvertibleDtype } {
    const tensor = tensors.get(key);
    if (tensor === undefined) throw new RangeError(`${name}: no tensor ${quote(key)} among its ${tensors.size}`);
    const { dtype } = tensor;
    if (isConvertible(dtype)) return { tensor, dtype };
    const readable = DTYPES.filter(isConvertible).join(", ");
    throw new TypeError(`${name}: tensor ${quote(key)} is ${dtype}, which is not read; these are: ${readable}`);
  }

  async function read(key: string, range: ElementRange = {}): Promise<Elements> {
    const { tensor, dtype } = find(key);
    const { offset = 0, count = tensor.elements - offset } = range;
    const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(count);
    if (!whole || offset < 0 || count < 0 || offset + count > tensor.elements) {
      throw new RangeError(
        `${name}: elements ${offset}..${offset + count} of ${quote(key)} asked, it has ${tensor.elements}`,
      );
    }
    if (closed) throw new Error(`${name}: the checkpoint is closed`);
    const size = bitsOf(dtype) / 8;
    const { source } = files.get(tensor.file)!;
    return elementsOf(await source.read(tensor.begin + offset * size, count * size), dtype);
  }

  async function readFloats(key: string, range: ElementRange = {}): Promise<Float32Array<ArrayBuffer>> {
    const elements = await read(key, range);
    return convert(elements, find(key).dtype, "f32", key, range.offset) as Float32Array<ArrayBuffer>;
  }

  async function* chunks(key: string, target: Scalar, maxBytes: number = CHUNK_BYTES): AsyncGenerator<ScalarArray> {
    const { tensor, dtype } = find(key);
    const stored = bitsOf(dtype) / 8;
    const asIs = dtype.toLowerCase() === target;
    // The stored element, the result, and at worst a float64 between them.
    const bytesPerElement = stored + (asIs ? 0 : 8 + (target === "f16" ? 2 : 4));
    const step = Math.max(1, Math.floor(maxBytes / bytesPerElement / 4)) * 4;
    for (let offset = 0; offset < tensor.elements; offset += step) {
      const elements = await read(key, { offset, count: Math.min(step, tensor.elements - offset) });
      yield convert(elements, dtype, target, key, offset);
    }
  }

  async function close(): Promise<void> {
    closed = true;
    for (const { source } of files.values()) await source.close();
  }

  return { name, tensors, files, warnings, read, readFloats, chunks, close };
}
