/** Files and folders on disk. A model folder is untrusted: nothing outside it is opened through it. */
import { constants } from "node:fs";
import { type FileHandle, lstat, open, realpath } from "node:fs/promises";
import { join, sep } from "node:path";
import { type ByteSource, type Folder, unsafePath } from "../files/bytes.ts";

/** Node reads at most 2 GiB at once. */
const MAX_READ = 1 << 30;

/** A FIFO must not block the open; a link that replaces the checked file meanwhile must not be followed. Not on Windows. */
const OPEN_FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOFOLLOW ?? 0);

/**
 * A directory. Links within it are followed as long as they stay within it, and so are the links of a Hugging Face
 * cache, from `models--x/snapshots/y` to `models--x/blobs` or to the `blobs` beside `models--x`.
 * Its `open` throws for a path or a link that leaves the folder, and for anything that is not a regular file.
 */
export function openFolder(dir: string): Folder {
  return {
    name: dir,
    async open(path) {
      const where = join(dir, path);
      const reason = unsafePath(path);
      if (reason !== undefined) throw new Error(`${dir}: path ${JSON.stringify(path)} is refused: ${reason}`);
      const root = await realpath(dir);
      const real = await realTarget(where);
      if (real === undefined) return undefined;
      if (!boundariesOf(root).some((boundary) => real.startsWith(boundary + sep))) {
        throw new Error(`${where}: it is a link to ${real}, which is outside the folder`);
      }
      return openRegular(where, real);
    },
  };
}

/** A file that the user named: links are followed wherever they lead. @throws when it is not a regular file */
export async function openFile(path: string): Promise<ByteSource> {
  return openRegular(path, await realpath(path));
}

/** Where a path ends once links are followed; `undefined` when nothing is there. */
async function realTarget(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch (error) {
    if (!isMissing(error)) throw error;
    const link = await lstat(path).catch(() => undefined);
    if (link?.isSymbolicLink())
      throw new Error(`${path}: it is a link to a file that does not exist`, { cause: error });
    return undefined;
  }
}

/** The directories in which files of the folder `root` (a real path) may lie. */
function boundariesOf(root: string): string[] {
  const repository = /^(.*[\\/](?:models|datasets|spaces)--[^\\/]+)[\\/]snapshots[\\/][^\\/]+/.exec(root)?.[1];
  // Within the root of a file system the separator is there already.
  const own = root.endsWith(sep) ? root.slice(0, -1) : root;
  // newer versions of Python's library keep what models share beside them, and link from the one to the other
  return repository === undefined ? [own] : [own, join(repository, "blobs"), join(repository, "..", "blobs")];
}

async function openRegular(name: string, real: string): Promise<ByteSource> {
  const handle = await open(real, OPEN_FLAGS);
  const stat = await handle.stat();
  if (!stat.isFile()) {
    await handle.close();
    throw new Error(`${name}: it is ${stat.isDirectory() ? "a directory" : "not a regular file"}`);
  }
  return fileSource(name, stat.size, handle);
}

function fileSource(name: string, size: number, handle: FileHandle): ByteSource {
  let closing: Promise<void> | undefined;
  return {
    name,
    size,
    async read(offset, length) {
      if (!(offset >= 0 && length >= 0 && offset + length <= size)) {
        throw new RangeError(`${name}: bytes ${offset}..${offset + length} asked, the file has ${size}`);
      }
      const bytes = new Uint8Array(length);
      for (let done = 0; done < length; ) {
        const { bytesRead } = await handle.read(bytes, done, Math.min(length - done, MAX_READ), offset + done);
        if (bytesRead === 0)
          throw new Error(`${name}: it was ${size} bytes and ends at ${offset + done}: it has changed`);
        done += bytesRead;
      }
      return bytes;
    },
    close() {
      closing ??= handle.close();
      return closing;
    },
  };
}

function isMissing(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ENOENT" || code === "ENOTDIR";
}
