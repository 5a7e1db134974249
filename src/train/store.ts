/** Where checkpoints are kept: a disk, a browser's storage, memory. */

import { bytesSource, type Folder } from "../files/bytes.ts";

/** A file that is yet to be written; its bytes are made as they are asked for, once. */
export interface StoredFile {
  readonly path: string;
  readonly bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

export interface Store {
  /** For messages. */
  readonly name: string;
  /** Names of the folders that are whole, in any order. */
  list(): Promise<readonly string[]>;
  /**
   * A folder of these files, in place of one that has its name: whole, or, when this rejects, as before. Files are read in
   * their order, each to its end before the next.
   */
  write(folder: string, files: AsyncIterable<StoredFile>): Promise<void>;
  open(folder: string): Promise<Folder | undefined>;
  remove(folder: string): Promise<void>;
}

/** Keeps everything in memory, for as long as it lives. */
export function memoryStore(name = "memory"): Store {
  const folders = new Map<string, ReadonlyMap<string, Uint8Array>>();
  return {
    name,
    list: async () => [...folders.keys()],
    async write(folder, files) {
      const held = new Map<string, Uint8Array>();
      for await (const { path, bytes } of files) held.set(path, await joined(bytes));
      folders.set(folder, held);
    },
    async open(folder) {
      const held = folders.get(folder);
      return (
        held && {
          name: `${name}/${folder}`,
          async open(path) {
            const bytes = held.get(path);
            return bytes && bytesSource(`${name}/${folder}/${path}`, bytes);
          },
        }
      );
    },
    async remove(folder) {
      folders.delete(folder);
    },
  };
}

async function joined(slices: StoredFile["bytes"]): Promise<Uint8Array> {
  const kept: Uint8Array[] = [];
  for await (const slice of slices) kept.push(slice.slice());
  const whole = new Uint8Array(kept.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const slice of kept) {
    whole.set(slice, at);
    at += slice.length;
  }
  return whole;
}
