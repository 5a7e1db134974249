/**
 * Checkpoints in a folder on disk. Each is written under a hidden name, synced and renamed, so that whatever happens, also
 * a kill or a full disk, the folders that are listed are whole.
 */

import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { unsafePath } from "../../files/bytes.ts";
import type { Store, StoredFile } from "../../train/store.ts";
import { createFresh, exists, naming } from "../data/fresh_file.ts";
import { openFolder } from "../folder.ts";

/** Names of folders that are being written, and of such as another one is put in the place of. */
const UNFINISHED = /^\.(.+)\.unfinished$/;
const REPLACED = /^\.(.+)\.replaced$/;
const unfinished = (name: string): string => `.${name}.unfinished`;
const replaced = (name: string): string => `.${name}.replaced`;

export interface DiskStore extends Store {
  /**
   * Puts files beside the folders, in place of such as have their names. All are written before the first takes its place.
   * @param isOf whether what else there is beside the folders goes with files of before: it is removed
   */
  writeFiles(files: AsyncIterable<StoredFile> | Iterable<StoredFile>, isOf?: (name: string) => boolean): Promise<void>;
}

/**
 * What a run that was killed has left unfinished is removed; what it was about to replace is put back.
 * @param dir is made where it is not there; one process may write to it at a time
 */
export async function openDiskStore(dir: string): Promise<DiskStore> {
  await naming(dir, () => mkdir(dir, { recursive: true }));
  await tidy(dir);
  const at = (name: string): string => join(dir, plain(dir, name));
  return {
    name: dir,
    async list() {
      const entries = await readdir(dir, { withFileTypes: true });
      return entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith(".")).map(({ name }) => name);
    },
    async write(name, files) {
      const path = at(name);
      const draft = join(dir, unfinished(name));
      await writeAll(draft, path, files);
      await naming(path, async () => {
        const aside = join(dir, replaced(name));
        if (await exists(path)) await rename(path, aside);
        await rename(draft, path);
        await sync(dir);
        await rm(aside, { recursive: true, force: true });
      });
    },
    async writeFiles(files, isOf) {
      const draft = join(dir, unfinished("files"));
      await writeAll(draft, dir, files);
      await naming(dir, async () => {
        const own = await readdir(draft);
        // before: files of two models together would be taken for a third
        for (const name of await readdir(dir)) {
          if (isOf?.(name) && !own.includes(name)) await rm(join(dir, name), { recursive: true, force: true });
        }
        for (const file of await filesIn(draft)) {
          const folder = join(dir, dirname(file));
          await mkdir(folder, { recursive: true });
          await rename(join(draft, file), join(dir, file));
          await sync(folder);
        }
        await rm(draft, { recursive: true });
        await sync(dir);
      });
    },
    async open(name) {
      const path = at(name);
      return (await isFolder(path)) ? openFolder(path) : undefined;
    },
    async remove(name) {
      const path = at(name);
      const aside = join(dir, unfinished(name)); // never listed with only some of its files
      await naming(path, async () => {
        await rm(aside, { recursive: true, force: true });
        if (!(await exists(path))) return;
        await rename(path, aside);
        await rm(aside, { recursive: true, force: true });
      });
    },
  };
}

/** Files of a folder and of those in it, by their paths from there. */
async function filesIn(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { withFileTypes: true, recursive: true });
  return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => relative(dir, join(parentPath, name)));
}

/** @throws Error for a name that leads elsewhere, or is hidden */
function plain(dir: string, name: string): string {
  const reason = unsafePath(name) ?? (/[\\/]|^\.|^$/.test(name) ? "it is no plain name" : undefined);
  if (reason === undefined) return name;
  throw new Error(`${dir}: the name ${JSON.stringify(name)} is refused: ${reason}`);
}

/** @param path for messages */
async function writeAll(
  draft: string,
  path: string,
  files: AsyncIterable<StoredFile> | Iterable<StoredFile>,
): Promise<void> {
  await naming(path, async () => {
    await rm(draft, { recursive: true, force: true });
    await mkdir(draft);
  });
  try {
    for await (const { path: name, bytes } of files) {
      const parts = name.split("/").map((part) => plain(path, part));
      const folder = join(draft, ...parts.slice(0, -1));
      if (parts.length > 1) await naming(join(path, name), () => mkdir(folder, { recursive: true }));
      const file = await createFresh(join(folder, parts.at(-1)!), join(path, name));
      try {
        for await (const slice of bytes) await naming(join(path, name), () => file.writeFile(slice));
        await naming(join(path, name), () => file.sync());
      } finally {
        await file.close();
      }
      if (parts.length > 1) await sync(folder);
    }
    await sync(draft);
  } catch (error) {
    await rm(draft, { recursive: true, force: true }).catch(() => {}); // a full disk is the error to tell
    throw error;
  }
}

async function tidy(dir: string): Promise<void> {
  const names = await readdir(dir);
  for (const entry of names) {
    const name = REPLACED.exec(entry)?.[1];
    if (name === undefined) continue;
    if (!names.includes(name)) await rename(join(dir, entry), join(dir, name));
    else await rm(join(dir, entry), { recursive: true, force: true });
  }
  for (const entry of names) {
    if (UNFINISHED.test(entry)) await rm(join(dir, entry), { recursive: true, force: true });
  }
}

/** The names in a folder reach the disk. Windows opens no folder, and needs none of this. */
async function sync(dir: string): Promise<void> {
  const handle = await open(dir, "r").catch(() => undefined);
  if (!handle) return;
  try {
    await handle.sync();
  } catch (error) {
    if (!["EINVAL", "EPERM", "EISDIR", "ENOTSUP"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  } finally {
    await handle.close();
  }
}

const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
