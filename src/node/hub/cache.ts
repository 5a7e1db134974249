/**
 * The cache on disk, as Python's huggingface_hub lays it out and scans it:
 *
 *   models--org--name/blobs/ETAG                     contents, by the hash that is their name
 *                     blobs/ETAG.incomplete          what has arrived of one
 *                     snapshots/COMMIT/PATH          relative links to blobs; copies where there are no links
 *                     refs/REVISION                  the commit that a branch or tag was last seen at
 *                     .no_exist/COMMIT/PATH          empty: the commit has no such file
 *   .locks/models--org--name/ETAG.pid                who downloads a blob now (Python's own locks end in .lock)
 */

import { randomUUID } from "node:crypto";
import { copyFile, mkdir, readFile, readlink, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { isCommit } from "../../files/hub.ts";

/** The cache cannot serve: something is missing in it, damaged, or cannot be written. The message says what to do. */
export class HubCacheError extends Error {
  override readonly name = "HubCacheError";
}

/** Where the parts of one model lie. */
export interface RepoCache {
  readonly dir: string;
  blob(etag: string): string;
  lock(etag: string): string;
  snapshot(commit: string): string;
  absent(commit: string): string;
  ref(revision: string): string;
}

/** @param name `org/name`, checked */
export function repoCache(cacheDir: string, name: string): RepoCache {
  const folder = `models--${name.replace("/", "--")}`;
  const dir = join(cacheDir, folder);
  return {
    dir,
    blob: (etag) => join(dir, "blobs", etag),
    lock: (etag) => join(cacheDir, ".locks", folder, `${etag}.pid`),
    snapshot: (commit) => join(dir, "snapshots", commit),
    absent: (commit) => join(dir, ".no_exist", commit),
    ref: (revision) => join(dir, "refs", ...revision.split("/")),
  };
}

/** The commit that a branch or tag was last seen at. */
export async function readRef(repo: RepoCache, revision: string): Promise<string | undefined> {
  const text = await readFile(repo.ref(revision), "utf8").catch(() => "");
  return isCommit(text.trim()) ? text.trim() : undefined;
}

/** Python reads the file as it is: there is no line end in it. */
export async function writeRef(repo: RepoCache, revision: string, commit: string): Promise<void> {
  if (revision === commit || (await readRef(repo, revision)) === commit) return;
  const path = repo.ref(revision);
  await writing(path, () => replace(repo, path, (temporary) => writeFile(temporary, commit)));
}

/** Bytes of a file, links followed; `undefined` when there is none. */
export async function fileSize(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() ? found.size : undefined;
}

/** Puts a blob into a snapshot: by a relative link, so that the cache can be moved, else by a copy. */
export async function linkBlob(repo: RepoCache, commit: string, path: string, etag: string): Promise<void> {
  const blob = repo.blob(etag);
  const place = join(repo.snapshot(commit), ...path.split("/"));
  const target = relative(dirname(place), blob);
  if ((await readlink(place).catch(() => undefined)) === target) return;
  await writing(place, () =>
    replace(repo, place, (temporary) =>
      // Windows lets only some users make links, some file systems nobody
      symlink(target, temporary, "file").catch(() => copyFile(blob, temporary)),
    ),
  );
}

/** Notes that a commit lacks files, so that nobody need ask again. Only a help: a cache that cannot be written does without. */
export async function markAbsent(repo: RepoCache, commit: string, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    const mark = join(repo.absent(commit), ...path.split("/"));
    if ((await fileSize(mark)) !== undefined) continue;
    await mkdir(dirname(mark), { recursive: true })
      .then(() => writeFile(mark, ""))
      .catch(() => {});
  }
}

/** Runs what writes to `path`, its folder being there. @throws HubCacheError that says what the disk's refusal means */
export async function writing<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    await mkdir(dirname(path), { recursive: true });
    return await work();
  } catch (error) {
    throw diskFault(error, path);
  }
}

/** The same error, or a HubCacheError where it is the disk's refusal. */
export function diskFault(error: unknown, path: string): unknown {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const say = (what: string): HubCacheError => new HubCacheError(`${path}: ${what} (${code})`, { cause: error });
  if (/^(ENOSPC|EDQUOT|EFBIG)$/.test(code)) {
    return say(
      "the disk is full; what has arrived is kept: make room, or set HF_HUB_CACHE to another disk, and try again",
    );
  }
  if (/^(EROFS|EACCES|EPERM|ENOTDIR|EEXIST|EISDIR)$/.test(code)) {
    return say("the cache cannot be written; set HF_HUB_CACHE to a folder that can, or HF_HUB_OFFLINE=1 to read only");
  }
  return error;
}

/** Nobody ever sees half of what `write` makes; after a crash the rest of it lies where no scan takes it for a ref. */
async function replace(repo: RepoCache, path: string, write: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = join(repo.dir, `.${randomUUID()}.tmp`);
  try {
    await write(temporary);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}
