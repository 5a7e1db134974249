/**
 * Opens a file of torch.save, such as pytorch_model.bin, as a file of tensors: a state dict, alone or as the entry
 * `state_dict` of a larger dict. Nothing in it is executed. Tensors that share a storage share bytes of the file; views
 * out of row-major order have strides. Whatever a tensor says of itself is held against its storage first.
 */
import type { ByteSource } from "../bytes.ts";
import { bitsOf } from "../dtype.ts";
import { faultList, looksLike, PyTorchError, quote, type Report } from "../faults.ts";
import type { TensorInfo } from "../safetensors.ts";
import type { CheckpointFile } from "../shards.ts";
import { readArchive } from "./archive.ts";
import { readLegacy } from "./legacy.ts";
import { describeValue, PickleError } from "./pickle.ts";
import { isTensor, type Saved, type StoredTensor } from "./rebuild.ts";
import { isRowMajor } from "./strided.ts";

/** Views can repeat elements without end: what all tensors take may exceed the file this many times, and 16 MiB. */
const MOST_REPEATED = 16;
const MOST_REPEATED_BYTES = 16_777_216;

const MOST_NAMES = 5;

/** Whether a file that begins so may be one of torch.save. At byte 8 a safetensors file has a `{`. */
export function isPyTorch(head: Uint8Array): boolean {
  return head[8] !== 0x7b && (isZip(head) || isPickle(head));
}

const isZip = ([p, k, three, four]: Uint8Array): boolean => p === 0x50 && k === 0x4b && three === 3 && four === 4;

/** Of protocol 2 or later. */
const isPickle = ([proto, version]: Uint8Array): boolean => proto === 0x80 && version !== undefined && version <= 5;

/**
 * Reads and checks what is beside the data. The source stays open and is the caller's to close.
 * @throws PyTorchError with every fault found; whatever the source's own `read` throws
 */
export async function openPyTorch(source: ByteSource, warn: Report): Promise<CheckpointFile> {
  const { root, begins } = await readSaved(source);
  const nested = root instanceof Map ? root.get("state_dict") : undefined;
  const dict: unknown = nested instanceof Map ? nested : root;
  const faults = faultList();
  const tensors = new Map<string, TensorInfo>();
  const others: unknown[] =
    dict !== root && root instanceof Map ? [...root.keys()].filter((key) => key !== "state_dict") : [];
  for (const [name, value] of dict instanceof Map ? dict : []) {
    if (typeof name !== "string" || !isTensor(value)) {
      others.push(name);
      continue;
    }
    const tensor = place(name, value, begins, (fault) => faults.add(`tensor ${quote(name)}: ${fault}`));
    if (tensor !== undefined) tensors.set(name, tensor);
  }
  if (faults.list.length === 0) checkSum(tensors, source, faults.add);
  if (faults.list.length === 0 && tensors.size === 0) {
    faults.add(`it holds ${describeValue(dict)}, not a state dict with tensors${list(others)}`);
  }
  if (faults.list.length > 0) throw new PyTorchError(source.name, faults.list);
  if (others.length > 0)
    warn(`${source.name}: ${others.length} entries that are no tensors are left out${list(others)}`);
  return { source, tensors, metadata: new Map() };
}

async function readSaved(source: ByteSource): Promise<Saved> {
  const head = await source.read(0, Math.min(16, source.size));
  try {
    if (isZip(head)) return await readArchive(source);
    if (isPickle(head)) return await readLegacy(source);
  } catch (error) {
    throw error instanceof PickleError ? new PyTorchError(source.name, [error.message]) : error;
  }
  throw new PyTorchError(source.name, [`neither a zip archive nor a pickle, as torch.save writes${looksLike(head)}`]);
}

/** A tensor with its place in the file; `undefined`, with the fault reported, when it reaches out of its storage. */
function place(
  name: string,
  { storage, offset, shape, strides }: StoredTensor,
  begins: Saved["begins"],
  report: Report,
): TensorInfo | undefined {
  const { dtype } = storage;
  const size = bitsOf(dtype) / 8;
  const elements = shape.reduce((product, length) => product * length, 1);
  if (strides.length !== shape.length) {
    report(`it has ${shape.length} sizes, but ${strides.length} strides`);
    return undefined;
  }
  if ([offset, ...shape, ...strides].some((number) => number < 0)) {
    report(`size [${shape}], strides [${strides}], offset ${offset}: none may be negative`);
    return undefined;
  }
  const last = shape.reduce((sum, length, axis) => sum + (length - 1) * strides[axis]!, offset);
  // A sum or product past 2^53 is rounded, but not to less than any file has.
  if (elements > 0 && last >= storage.elements) {
    report(`its last element is number ${last} of a storage of ${storage.elements}`);
    return undefined;
  }
  // Sizes of 0 aside: what is read here must be writable as safetensors.
  if (!Number.isSafeInteger(shape.reduce((product, length) => product * Math.max(length, 1), 8 * size))) {
    report(`[${shape}] x ${dtype} is more than 2^53 bits`);
    return undefined;
  }
  const begin = begins.get(storage.key)! + (elements > 0 ? offset * size : 0);
  const view = isRowMajor(shape, strides) ? {} : { strides };
  return { name, dtype, shape, elements, begin, bytes: elements * size, ...view };
}

function checkSum(tensors: ReadonlyMap<string, TensorInfo>, source: ByteSource, report: Report): void {
  let sum = 0;
  for (const { bytes } of tensors.values()) sum += bytes;
  if (sum > MOST_REPEATED * source.size + MOST_REPEATED_BYTES) {
    report(
      `the tensors repeat a file of ${source.size} bytes until they take ${sum}, more than ${MOST_REPEATED} times as much`,
    );
  }
}

function list(names: readonly unknown[]): string {
  if (names.length === 0) return "";
  const first = names.slice(0, MOST_NAMES).map(describeValue).join(", ");
  return `: ${first}${names.length > MOST_NAMES ? ", ..." : ""}`;
}
