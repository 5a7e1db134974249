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
import { constants } from "node:fs";
import { copyFile, mkdir, readlink, realpath, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { isCommit } from "../../files/hub.ts";
import { HubCacheError } from "./fault.ts";
import { readRegular, refuseLinks, regularSize } from "./regular.ts";

/** Where the parts of one model lie. */
export interface RepoCache {
  /** The cache itself. */
  readonly root: string;
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
    root: cacheDir,
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
  const { text } = await readRegular(repo.ref(revision), 100).catch(() => ({ text: "" }));
  return isCommit(text.trim()) ? text.trim() : undefined;
}

/** Python reads the file as it is: there is no line end in it. */
export async function writeRef(repo: RepoCache, revision: string, commit: string): Promise<void> {
  if (revision === commit || (await readRef(repo, revision)) === commit) return;
  const path = repo.ref(revision);
  await writing(repo.root, path, () =>
    replace(repo, path, (temporary) => writeFile(temporary, commit, { flag: "wx" })),
  );
}

/** Bytes of a file, links followed; `undefined` when there is none. */
export async function fileSize(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() ? found.size : undefined;
}

/**
 * Bytes of a blob; `undefined` when there is none. It is a regular file, or a link to one in the blobs that newer versions
 * of Python's library share between models.
 */
export async function blobSize(repo: RepoCache, etag: string): Promise<number | undefined> {
  const blob = repo.blob(etag);
  const own = await regularSize(blob);
  if (own !== undefined || (await readlink(blob).catch(() => undefined)) === undefined) return own;
  const [real, shared] = await Promise.all([blob, repo.root].map((path) => realpath(path).catch(() => "")));
  return real!.startsWith(join(shared!, "blobs") + sep) ? regularSize(real!) : undefined;
}

/** Puts a blob into a snapshot: by a relative link, so that the cache can be moved, else by a copy. */
export async function linkBlob(repo: RepoCache, commit: string, path: string, etag: string): Promise<void> {
  const blob = repo.blob(etag);
  const place = join(repo.snapshot(commit), ...path.split("/"));
  const target = relative(dirname(place), blob);
  if ((await readlink(place).catch(() => undefined)) === target) return;
  await writing(repo.root, place, () =>
    replace(repo, place, (temporary) =>
      // Windows lets only some users make links, some file systems nobody
      symlink(target, temporary, "file").catch(() => copyFile(blob, temporary, constants.COPYFILE_EXCL)),
    ),
  );
}

/** Notes that a commit lacks files, so that nobody need ask again. Only a help: a cache that cannot be written does without. */
export async function markAbsent(repo: RepoCache, commit: string, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    const mark = join(repo.absent(commit), ...path.split("/"));
    if ((await regularSize(mark)) !== undefined) continue;
    await writing(repo.root, mark, () => writeFile(mark, "", { flag: "wx" })).catch(() => {});
  }
}

/**
 * Runs what writes to `path`, its folder being there, and none below `root` a link.
 * @throws HubCacheError that says what the disk's refusal means, PlantedError
 */
export async function writing<T>(root: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    await refuseLinks(root, path);
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
export async function replace(
  repo: RepoCache,
  path: string,
  write: (temporary: string) => Promise<void>,
): Promise<void> {
  const temporary = join(repo.dir, `.${randomUUID()}.tmp`);
  try {
    await write(temporary);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}
