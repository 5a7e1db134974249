/**
 * What torch.save writes since 1.6: a zip archive of NAME/data.pkl, the state dict; NAME/data/KEY, one file for every
 * storage; NAME/byteorder, in newer versions (torch/serialization.py, _save).
 */
import type { ByteSource } from "../bytes.ts";
import { bitsOf } from "../dtype.ts";
import { faultList, PyTorchError, quote } from "../faults.ts";
import { MAX_PICKLE_BYTES, PickleError, readPickle } from "./pickle.ts";
import { type Saved, torchRules } from "./rebuild.ts";
import { findContent, readZipDirectory, type ZipEntry } from "./zip.ts";

/** @throws PyTorchError, PickleError */
export async function readArchive(source: ByteSource): Promise<Saved> {
  const directory = await readZipDirectory(source);
  const { entries } = directory;
  const pickles = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  const refuse = (fault: string) => new PyTorchError(source.name, [fault]);
  if (pickles.length !== 1) {
    throw refuse(`a zip archive with ${pickles.length} files NAME/data.pkl, torch.save writes 1`);
  }
  const root = pickles[0]!.slice(0, -"data.pkl".length);
  if (entries.has(`${root}constants.pkl`))
    throw refuse("a program of TorchScript; save the model's state_dict() instead");
  const content = async (entry: ZipEntry, most: number): Promise<Uint8Array> => {
    const { name, size } = entry;
    if (size > most) throw refuse(`entry ${quote(name)} has ${size} bytes, at most ${most} are read`);
    return source.read(await findContent(source, entry, directory), size);
  };

  const byteOrder = entries.get(`${root}byteorder`);
  if (byteOrder !== undefined) {
    const order = new TextDecoder().decode(await content(byteOrder, 64));
    if (order !== "little") throw refuse(`its byte order is ${quote(order)}, only "little" is read`);
  }
  const bytes = await content(entries.get(pickles[0]!)!, MAX_PICKLE_BYTES);
  const { rules, storages } = torchRules();
  const { value, end } = readPickle(bytes, 0, rules);
  if (end !== bytes.length) throw new PickleError(`${bytes.length - end} bytes follow the end of the pickle`);

  const faults = faultList();
  const begins = new Map<string, number>();
  for (const { key, dtype, elements } of storages.values()) {
    const name = `${root}data/${key}`;
    const entry = entries.get(name);
    const needed = (elements * bitsOf(dtype)) / 8;
    if (entry === undefined) faults.add(`storage ${quote(key)} is missing: there is no entry ${quote(name)}`);
    else if (entry.size !== needed) {
      faults.add(`storage ${quote(key)}, ${elements} x ${dtype}, takes ${needed} bytes, its entry has ${entry.size}`);
    } else if (faults.list.length === 0) begins.set(key, await findContent(source, entry, directory));
  }
  if (faults.list.length > 0) throw new PyTorchError(source.name, faults.list);
  return { root: value, begins };
}
