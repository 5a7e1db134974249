/**
 * What torch.save wrote before 1.6, and writes still when asked to: five pickles one after the other (a magic number, the
 * protocol's version, a description of the machine, the state dict, the keys of the storages), then every storage in
 * the order of the keys, its number of elements (8 bytes, little-endian) before it (torch/serialization.py, _legacy_save).
 */
import type { ByteSource } from "../bytes.ts";
import { bitsOf } from "../dtype.ts";
import { PyTorchError, quote } from "../faults.ts";
import { describeValue, MAX_PICKLE_BYTES, PickleError, type PickleRules, readPickle } from "./pickle.ts";
import { type Saved, type Storage, torchRules } from "./rebuild.ts";

const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;
const COUNT_BYTES = 8;

/** Enough for a hundred tensors; where it is not, more is read. */
const FIRST_BYTES = 131_072;

interface Pickles {
  readonly root: unknown;
  readonly storages: ReadonlyMap<string, Storage>;
  /** In the order of their data. */
  readonly keys: readonly string[];
  readonly end: number;
}

/** @throws PyTorchError, PickleError */
export async function readLegacy(source: ByteSource): Promise<Saved> {
  const { root, storages, keys, end } = await readPickles(source);
  const refuse = (fault: string) => new PyTorchError(source.name, [fault]);
  const begins = new Map<string, number>();
  let at = end;
  for (const key of keys) {
    const storage = storages.get(key);
    if (storage === undefined) throw refuse(`storage ${quote(key)} is listed, but no tensor is a view of it`);
    if (begins.has(key)) throw refuse(`storage ${quote(key)} is listed twice`);
    const { dtype, elements } = storage;
    const bytes = (elements * bitsOf(dtype)) / 8;
    const place = `storage ${quote(key)}, ${elements} x ${dtype} at byte ${at},`;
    if (at + COUNT_BYTES + bytes > source.size) {
      throw refuse(`${place} ends at byte ${at + COUNT_BYTES + bytes}, the file has ${source.size}: it is cut short`);
    }
    const head = await source.read(at, COUNT_BYTES);
    const count = new DataView(head.buffer, head.byteOffset).getBigUint64(0, true);
    if (count !== BigInt(elements)) throw refuse(`${place} has ${count} elements by its own account`);
    begins.set(key, at + COUNT_BYTES);
    at += COUNT_BYTES + bytes;
  }
  const missing = [...storages.keys()].find((key) => !begins.has(key));
  if (missing !== undefined)
    throw refuse(`storage ${quote(missing)} is not listed among the ${keys.length} that follow`);
  if (at !== source.size) throw refuse(`the storages end at byte ${at}, the file has ${source.size}`);
  return { root, begins };
}

/** How long the pickles are is known only once they are read: reads more and more of the file until they end. */
async function readPickles(source: ByteSource): Promise<Pickles> {
  const most = Math.min(source.size, MAX_PICKLE_BYTES);
  for (let length = FIRST_BYTES; ; length *= 4) {
    const bytes = await source.read(0, Math.min(length, most));
    try {
      return parsePickles(bytes);
    } catch (error) {
      if (!(error instanceof PickleError && error.cut) || length >= most) throw error;
    }
  }
}

function parsePickles(bytes: Uint8Array): Pickles {
  let at = 0;
  const next = (what: string, rules: PickleRules): unknown => {
    try {
      const { value, end } = readPickle(bytes, at, rules);
      at = end;
      return value;
    } catch (error) {
      throw error instanceof PickleError ? new PickleError(`${what}: ${error.message}`, error.cut) : error;
    }
  };
  // The rules know no more than one file's names, wherever in it they stand.
  const { rules, storages } = torchRules();
  const magic = next("magic number", rules);
  if (magic !== MAGIC) throw new PickleError(`a pickle, but not of torch.save: it begins with ${describeValue(magic)}`);
  const protocol = next("protocol version", rules);
  if (protocol !== PROTOCOL)
    throw new PickleError(`torch.save's protocol ${describeValue(protocol)}, ${PROTOCOL} is read`);
  const system = next("system", rules);
  const little = system instanceof Map ? system.get("little_endian") : undefined;
  if (little !== true) throw new PickleError(`little_endian is ${describeValue(little ?? null)}, only true is read`);
  const root = next("state dict", rules);
  const keys = next("storage keys", rules);
  if (!Array.isArray(keys) || !keys.every((key): key is string => typeof key === "string")) {
    throw new PickleError(`the list of storage keys is ${describeValue(keys)}`);
  }
  return { root, storages, keys, end: at };
}
