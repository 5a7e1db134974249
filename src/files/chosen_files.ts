/** Files that the user chose or dropped, as a folder; read in slices, never held whole. */

import { type ByteSource, type Folder, unsafePath } from "./bytes.ts";

/**
 * A file's path within the folder it was chosen with, without that folder's own name: `bert/1_Pooling/config.json` of
 * `<input type=file webkitdirectory>` is `1_Pooling/config.json`. A file chosen by itself is its name.
 */
export function filePath(file: File): string {
  // Node's File has none
  const whole: string | undefined = file.webkitRelativePath;
  return whole ? whole.slice(whole.indexOf("/") + 1) : file.name;
}

/**
 * A folder of files from an `<input>`, or of blobs by their paths, as a page gathers them from a dropped directory.
 * @param name for messages
 * @throws RangeError when two files have the same path
 */
export function filesFolder(name: string, files: readonly File[] | ReadonlyMap<string, Blob>): Folder {
  const byPath = new Map<string, Blob>();
  for (const [path, file] of files instanceof Map ? files : (files as readonly File[]).map(withPath)) {
    if (byPath.has(path)) throw new RangeError(`${name}: two files are called ${JSON.stringify(path)}, give one`);
    byPath.set(path, file);
  }
  return {
    name,
    async open(path) {
      const reason = unsafePath(path);
      if (reason !== undefined) throw new Error(`${name}: path ${JSON.stringify(path)} is refused: ${reason}`);
      const file = byPath.get(path);
      return file && blobSource(`${name}/${path}`, file);
    },
  };
}

const withPath = (file: File): readonly [string, Blob] => [filePath(file), file];

function blobSource(name: string, blob: Blob): ByteSource {
  const { size } = blob;
  return {
    name,
    size,
    async read(offset, length) {
      if (!(offset >= 0 && length >= 0 && offset + length <= size)) {
        throw new RangeError(`${name}: bytes ${offset}..${offset + length} asked, the file has ${size}`);
      }
      try {
        return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      } catch (error) {
        // browsers refuse to read a file that is not what it was when it was chosen
        const { message } = error as Error;
        throw new Error(`${name}: it cannot be read (${message}): if it has changed, choose it again`, {
          cause: error,
        });
      }
    },
    async close() {},
  };
}
