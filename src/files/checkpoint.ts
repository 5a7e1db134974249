/** A checkpoint: the tensors of one file, or of several with an index, under one set of names. */
import type { ByteSource, Folder } from "./bytes.ts";
import {
  bitsOf,
  type ConvertibleDType,
  convert,
  DTYPES,
  elementsOf,
  isConvertible,
  type ScalarArray,
  type StoredElements,
  type TargetDType,
} from "./dtype.ts";
import { CheckpointError, quote } from "./faults.ts";
import { requireKnown } from "./options.ts";
import { isPyTorch, openPyTorch } from "./pytorch/state_dict.ts";
import { gather } from "./pytorch/strided.ts";
import { openSafetensors, type TensorInfo } from "./safetensors.ts";
import { type CheckpointFile, type OpenFile, openShards, type Shards } from "./shards.ts";

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
  readonly files: ReadonlyMap<string, CheckpointFile>;
  /** What is odd but harmless. */
  readonly warnings: readonly string[];
  /**
   * The elements as stored; possibly a view of the source's memory, not to be written to.
   * @throws RangeError for an unknown tensor or a range outside it, TypeError for a type that cannot be read (F8, F4, C64)
   * or for what a range has beside offset and count
   */
  read(tensor: string, range?: ElementRange): Promise<StoredElements>;
  /** The elements as f32. @throws as `read`, and OverflowError for an F64 beyond f32 */
  readFloats(tensor: string, range?: ElementRange): Promise<Float32Array<ArrayBuffer>>;
  /**
   * All elements in order, slice by slice, as f32 or as the bits of f16. A slice and what its conversion needs stay within
   * `maxBytes` (4 MiB by default; a tensor with strides takes another 4 MiB to gather its elements). Every slice but the last is a multiple of 4 elements: uploads to a GPU are aligned.
   * What is stored as asked is not copied: not to be written to.
   * @throws as `read`, and OverflowError when a finite value is beyond the type asked for
   */
  chunks(tensor: string, target: TargetDType, maxBytes?: number): AsyncIterable<ScalarArray>;
  /** Closes the files; safe to call twice. Reads fail from then on. */
  close(): Promise<void>;
}

/** In the order of preference; each format's index is at `${file}.index.json`. */
const FORMATS: readonly (readonly [file: string, open: OpenFile])[] = [
  ["model.safetensors", openSafetensors],
  ["pytorch_model.bin", openPyTorch],
];

/** What else a model folder may hold. */
const OTHER_FORMATS = {
  "tf_model.h5": "TensorFlow",
  "bert_model.ckpt.index": "TensorFlow",
  "flax_model.msgpack": "Flax",
};

const CHUNK_BYTES = 4_194_304;

/**
 * Opens a model folder's weights: model.safetensors or the files of its index, model.safetensors.index.json; where there
 * is neither, pytorch_model.bin or the files of its index. Reads and validates what is beside the data, not the data.
 * @param beside a safetensors file whose tensors belong to it, where there is one
 * @throws CheckpointError with every fault of every file, or when there is no such file
 */
export async function openCheckpoint(folder: Folder, beside?: string): Promise<Checkpoint> {
  const found = await openFiles(folder);
  const whole = checkpointOf(folder.name, found);
  if (beside === undefined) return whole;
  try {
    const source = await folder.open(beside);
    const more = source && (await openAlone(beside, source, openSafetensors));
    return more ? checkpointOf(folder.name, { ...found, files: new Map([...found.files, ...more.files]) }) : whole;
  } catch (error) {
    await whole.close();
    throw error;
  }
}

async function openFiles(folder: Folder): Promise<Shards> {
  for (const [file, open] of FORMATS) {
    const source = await folder.open(file);
    if (source !== undefined) return openAlone(file, source, open);
    const shards = await openShards(folder, `${file}.index.json`, open);
    if (shards !== undefined) return shards;
  }
  const wanted = FORMATS.map(([file]) => file).join(" nor ");
  for (const [file, writer] of Object.entries(OTHER_FORMATS)) {
    const other = await folder.open(file);
    if (other === undefined) continue;
    await other.close();
    const remedy = "save it again with transformers: model.save_pretrained(folder)";
    throw new CheckpointError(folder.name, [`neither ${wanted}, only ${file}, the format of ${writer}; ${remedy}`]);
  }
  throw new CheckpointError(folder.name, [`neither ${wanted} is there`]);
}

/**
 * One safetensors file, or one of torch.save, of any name: its first bytes tell. The checkpoint owns `source`, which is
 * closed also when this fails.
 */
export async function openCheckpointFile(source: ByteSource): Promise<Checkpoint> {
  return checkpointOf(
    source.name,
    await openAlone(source.name, source, async (_, warn) => {
      const head = await source.read(0, Math.min(16, source.size));
      return isPyTorch(head) ? openPyTorch(source, warn) : openSafetensors(source);
    }),
  );
}

async function openAlone(name: string, source: ByteSource, open: OpenFile): Promise<Shards> {
  const warnings: string[] = [];
  try {
    return { files: new Map([[name, await open(source, (warning) => warnings.push(warning))]]), warnings };
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

  function find(key: string): { tensor: CheckpointTensor; dtype: ConvertibleDType } {
    const tensor = tensors.get(key);
    if (tensor === undefined) throw new RangeError(`${name}: no tensor ${quote(key)} among its ${tensors.size}`);
    const { dtype } = tensor;
    if (isConvertible(dtype)) return { tensor, dtype };
    const readable = DTYPES.filter(isConvertible).join(", ");
    throw new TypeError(`${name}: tensor ${quote(key)} is ${dtype}, which is not read; these are: ${readable}`);
  }

  async function read(key: string, range: ElementRange = {}): Promise<StoredElements> {
    requireKnown("read", range, { offset: 1, count: 1 });
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
    const { strides } = tensor;
    const bytes = strides
      ? await gather(source, { ...tensor, strides }, size, offset, count)
      : await source.read(tensor.begin + offset * size, count * size);
    return elementsOf(bytes, dtype);
  }

  async function readFloats(key: string, range: ElementRange = {}): Promise<Float32Array<ArrayBuffer>> {
    const elements = await read(key, range);
    return convert(elements, find(key).dtype, "f32", key, range.offset) as Float32Array<ArrayBuffer>;
  }

  async function* chunks(
    key: string,
    target: TargetDType,
    maxBytes: number = CHUNK_BYTES,
  ): AsyncGenerator<ScalarArray> {
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
