/**
 * Regular files, opened without following links: others may write to a shared cache, and plant links, pipes and devices
 * where files of ours are expected.
 */

import { constants } from "node:fs";
import { lstat, open } from "node:fs/promises";
import { dirname, relative, sep } from "node:path";
import { PlantedError } from "./fault.ts";

/** Neither follows a link nor waits for the other end of a pipe. Windows knows neither. */
export const NOT_FOLLOWED: number = (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/** Bytes of a regular file; `undefined` when there is none, which a link is not. */
export async function regularSize(path: string): Promise<number | undefined> {
  const found = await lstat(path).catch(() => undefined);
  return found?.isFile() ? found.size : undefined;
}

/**
 * The text of a small file.
 * @param most bytes, the rest is left
 * @throws PlantedError when it is no regular file, or what the system says
 */
export async function readRegular(path: string, most: number): Promise<{ text: string; mtimeMs: number }> {
  const file = await open(path, constants.O_RDONLY | NOT_FOLLOWED).catch((error: NodeJS.ErrnoException) => {
    throw error.code === "ELOOP" ? new PlantedError(path, "a link") : error;
  });
  try {
    const found = await file.stat();
    if (!found.isFile()) throw new PlantedError(path, "no regular file");
    const bytes = new Uint8Array(Math.min(found.size, most));
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    return { text: Buffer.from(bytes.buffer, 0, bytesRead).toString("utf8"), mtimeMs: found.mtimeMs };
  } finally {
    await file.close();
  }
}

/** Sees to it that no folder from `root`, which may be a link, down to that of `path` is a link. @throws PlantedError */
export async function refuseLinks(root: string, path: string): Promise<void> {
  let folder = root;
  for (const name of relative(root, dirname(path)).split(sep)) {
    folder += sep + name;
    const found = await lstat(folder).catch(() => undefined);
    if (found?.isSymbolicLink()) throw new PlantedError(folder, "a link");
  }
}
