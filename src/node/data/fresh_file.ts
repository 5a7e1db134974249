/** Files that are written under a name of their own until they are complete, and never through a link that somebody planted. */

import { constants, type FileHandle, lstat, open, rename, rm } from "node:fs/promises";

/** Not on Windows, which has no such links for an ordinary user. */
const NOFOLLOW = constants.O_NOFOLLOW ?? 0;
const NONBLOCK = constants.O_NONBLOCK ?? 0;

/** What a file that is replaced hands on to the new one. */
export interface Owner {
  /** Permissions, without the type of the file. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/**
 * An empty file, in place of whatever file or link has the name; where a link leads to is not touched.
 * @param name for messages
 * @param owner of a file that it will replace: until then nobody else may read it
 */
export async function createFresh(path: string, name: string = path, owner?: Owner): Promise<FileHandle> {
  return naming(name, async () => {
    await rm(path, { force: true });
    return open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | NOFOLLOW, owner ? 0o600 : 0o666);
  });
}

/** A file that is there, to be read and written. @throws Error for a link, a file to be written that has another name, and what is no file */
export async function openKept(path: string, flags: number = constants.O_RDWR): Promise<FileHandle> {
  return naming(path, async () => {
    const file = await open(path, flags | NOFOLLOW | NONBLOCK);
    const found = await file.stat();
    const shared = found.nlink > 1 && flags !== constants.O_RDONLY;
    if (found.isFile() && !shared) return file;
    await file.close();
    const why = shared ? "it has another name as well, which would be written too" : "it is not a regular file";
    throw new Error(`${path}: ${why}; remove it`);
  });
}

/** A whole small file, in one step for whoever looks there. */
export async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  const file = await createFresh(`${path}.tmp`);
  await naming(path, async () => {
    try {
      await file.writeFile(content);
    } finally {
      await file.close();
    }
    await rename(`${path}.tmp`, path);
  });
}

/** Moves a complete file to its name, in one step, with mode and owner of the one it replaces. */
export async function publish(complete: string, path: string, owner: Owner | undefined): Promise<void> {
  const file = await openKept(complete);
  await naming(path, async () => {
    try {
      if (owner) await giveTo(file, owner);
      await file.sync();
    } finally {
      await file.close(); // Windows renames no open file
    }
    await rename(complete, path);
  });
}

/** @throws Error where the file cannot be given to this owner */
export async function giveTo(file: FileHandle, { mode, uid, gid }: Owner): Promise<void> {
  const own = await file.stat();
  if (own.uid !== uid || own.gid !== gid) await file.chown(uid, gid);
  await file.chmod(mode); // after the owner: a change of that takes bits of it away
}

/** An error of the system has no name of a file, or that of a temporary one: it gets this one. Others stay what they are. */
export async function naming<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw unwritable(path, error);
  }
}

export function unwritable(path: string, error: unknown): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (error instanceof NamedError || code === undefined) return error;
  if (code === "ELOOP") return new NamedError(`${path}: it is a link; remove it`, { cause: error });
  const reason = /^\w+: ([^,]+)/.exec(message)?.[1] ?? message;
  return new NamedError(`${path}: it cannot be written (${code}): ${reason}`, { cause: error });
}

/** Of the system, told with the name of the file. */
class NamedError extends Error {}

/** Whether there is anything of this name, be it a link that leads nowhere. */
export async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}
