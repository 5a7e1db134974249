/**
 * What has been checked of a commit: sizes and hashes, as the hub's list has them. Files of a snapshot that other tools
 * have written are compared with that list when they are first used, and by their sizes ever after.
 */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { realpath, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileSize, type RepoCache, replace, writing } from "./cache.ts";
import { HubCacheError } from "./fault.ts";
import type { ModelFiles } from "./files.ts";
import type { HubFile } from "./listing.ts";
import { readRegular } from "./regular.ts";

type Known = Readonly<Record<string, Pick<HubFile, "size" | "etag">>>;

const MOST = 1 << 20; // bytes

const notesOf = (repo: RepoCache, commit: string): string => join(repo.absent(commit), ".checked.json");
const placeOf = (repo: RepoCache, commit: string, path: string): string =>
  join(repo.snapshot(commit), ...path.split("/"));

/** Notes that files of a snapshot are what the hub's list has. Only a help: a cache that cannot be written does without. */
export async function noteChecked(repo: RepoCache, commit: string, files: readonly HubFile[]): Promise<void> {
  const known = { ...(await readKnown(repo, commit)) };
  for (const { path, size, etag } of files) known[path] = { size, etag };
  const notes = notesOf(repo, commit);
  await writing(repo.root, notes, () =>
    replace(repo, notes, (temporary) => writeFile(temporary, JSON.stringify(known), { flag: "wx" })),
  ).catch(() => {});
}

/** The same files; those that nobody has checked are not known, and those of another size than then are missing. */
export async function sinceChecked(repo: RepoCache, commit: string, files: ModelFiles): Promise<ModelFiles> {
  const known = await readKnown(repo, commit);
  const unknown = [...files.unknown];
  const missing = [...files.missing];
  for (const path of [...files.small, ...files.weights]) {
    const size = known[path]?.size;
    const now = await fileSize(placeOf(repo, commit, path));
    if (size === undefined) unknown.push(path);
    else if (now !== size) missing.push(`${path} (it has ${now} of its ${size} bytes)`);
  }
  return { ...files, unknown, missing };
}

/**
 * Hashes files of a snapshot. What their hashes must be is noted, or the name of their blobs.
 * @throws HubCacheError for the first that is another, or of which it is not known; the signal's reason
 */
export async function verifyFiles(
  repo: RepoCache,
  commit: string,
  paths: readonly string[],
  {
    signal,
    onVerify,
  }: {
    readonly signal?: AbortSignal | undefined;
    readonly onVerify?: ((progress: { file: string; loaded: number; total: number }) => void) | undefined;
  },
): Promise<void> {
  const known = await readKnown(repo, commit);
  let [loaded, total] = [0, 0];
  for (const path of paths) total += (await fileSize(placeOf(repo, commit, path))) ?? 0;
  for (const path of paths) {
    const real = await realpath(placeOf(repo, commit, path));
    const etag = known[path]?.etag ?? basename(real);
    const kind = etag.length === 64 ? "sha256" : "sha1";
    if (!/^([0-9a-f]{64}|[0-9a-f]{40})$/.test(etag)) {
      throw new HubCacheError(`${real}: it cannot be verified, its hash is not known: remove it, and run it again`);
    }
    const hash = createHash(kind);
    if (kind === "sha1") hash.update(`blob ${await fileSize(real)}\0`); // as git does
    const counted = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
      for await (const chunk of chunks) {
        loaded += chunk.length;
        onVerify?.({ file: path, loaded, total });
        yield chunk;
      }
    };
    await pipeline(createReadStream(real), counted, hash, { signal });
    const digest = hash.digest("hex");
    if (digest === etag) continue;
    throw new HubCacheError(
      `${real}: its ${kind} is ${digest}, not ${etag}: remove it, and run it again with a network`,
    );
  }
}

async function readKnown(repo: RepoCache, commit: string): Promise<Known> {
  try {
    const { text } = await readRegular(notesOf(repo, commit), MOST);
    const known = JSON.parse(text) as Record<string, Record<string, unknown> | null>;
    const sound = Object.entries(known).filter(
      ([, file]) => typeof file?.size === "number" && typeof file.etag === "string",
    );
    return Object.fromEntries(sound) as unknown as Known;
  } catch {
    return {}; // not there, or damaged: then it is checked again
  }
}
