/**
 * Checkpoints in a browser's own storage, its origin private file system. A folder is one file there: its files end to end,
 * then what they are. Browsers replace a file when it is closed, by all of what was written or not at all.
 */

import { filesFolder } from "../files/chosen_files.ts";
import type { Store } from "./store.ts";

const SUFFIX = ".folder";
/** The last bytes of a file that is whole: how long the list of its files is, u32, and this. */
const MARK = "bwgpu1\r\n";
const TAIL = 4 + MARK.length;

/**
 * In pages and workers alike; of those that go on with a run one at a time writes.
 * @param directory of `navigator.storage.getDirectory()`, for this run alone
 */
export function opfsStore(directory: FileSystemDirectoryHandle): Store {
  const name = directory.name === "" ? "opfs" : directory.name;
  const filesOf = async (folder: string): Promise<Map<string, Blob> | undefined> => {
    const handle = await directory.getFileHandle(folder + SUFFIX).catch(unlessMissing);
    return handle && parted(await handle.getFile());
  };
  return {
    name,
    async list() {
      const folders: string[] = [];
      for await (const entry of directory.keys()) {
        const folder = entry.endsWith(SUFFIX) ? entry.slice(0, -SUFFIX.length) : "";
        if (folder !== "" && (await filesOf(folder))) folders.push(folder);
      }
      return folders;
    },
    async write(folder, files) {
      const storing = async <T>(work: Promise<T>): Promise<T> => {
        try {
          return await work;
        } catch (error) {
          const { name: kind, message } = error as Error;
          throw new Error(`${name}/${folder}: it cannot be written (${kind}): ${message}`, { cause: error });
        }
      };
      const handle = await storing(directory.getFileHandle(folder + SUFFIX, { create: true }));
      const file = await storing(handle.createWritable());
      try {
        const sizes: [path: string, bytes: number][] = [];
        for await (const { path, bytes } of files) {
          let size = 0;
          for await (const slice of bytes) {
            await storing(file.write(slice as Uint8Array<ArrayBuffer>));
            size += slice.length;
          }
          sizes.push([path, size]);
        }
        const list = new Blob([JSON.stringify(sizes)]);
        const length = new DataView(new ArrayBuffer(4));
        length.setUint32(0, list.size);
        await storing(file.write(new Blob([list, length, MARK])));
        await storing(file.close());
      } catch (error) {
        await file.abort().catch(() => {}); // the first error is the one to tell
        if (!(await filesOf(folder))) await directory.removeEntry(folder + SUFFIX).catch(() => {});
        throw error;
      }
    },
    async open(folder) {
      const files = await filesOf(folder);
      return files && filesFolder(`${name}/${folder}`, files);
    },
    async remove(folder) {
      await directory.removeEntry(folder + SUFFIX).catch(unlessMissing);
    },
  };
}

/** The files that one was made of; undefined where it is not whole, such as one that nothing was written to yet. */
async function parted(file: Blob): Promise<Map<string, Blob> | undefined> {
  const tail = await file.slice(-TAIL).arrayBuffer();
  if (tail.byteLength < TAIL || new TextDecoder().decode(tail.slice(4)) !== MARK) return undefined;
  const end = file.size - TAIL - new DataView(tail).getUint32(0);
  const sizes = JSON.parse(await file.slice(Math.max(0, end), -TAIL).text()) as [path: string, bytes: number][];
  const files = new Map<string, Blob>();
  let at = 0;
  for (const [path, bytes] of sizes) {
    files.set(path, file.slice(at, at + bytes));
    at += bytes;
  }
  return at === end ? files : undefined;
}

function unlessMissing(error: Error): undefined {
  if (error.name !== "NotFoundError") throw error;
}
