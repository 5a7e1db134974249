/** A model of the cache: what is there of a commit, and filling it from the hub. */

import { mkdir, readFile, statfs } from "node:fs/promises";
import { join } from "node:path";
import { readText } from "../../files/bytes.ts";
import { type HubModel, modelText } from "../../files/hub.ts";
import { openFolder } from "../folder.ts";
import { diskFault, fileSize, linkBlob, markAbsent, type RepoCache } from "./cache.ts";
import { noteChecked } from "./checked.ts";
import type { HubConnection } from "./client.ts";
import { downloadBlob } from "./download.ts";
import { HubCacheError } from "./fault.ts";
import { type FileSet, type ModelFiles, mostBytes, type RepoKind } from "./files.ts";
import type { HubFile } from "./listing.ts";

/** How far a download is. */
export interface HubProgress {
  /** The file that has just grown. */
  readonly file: string;
  /** Bytes of all files that are here, and that there will be. */
  readonly loaded: number;
  readonly total: number;
}

export interface FillOptions {
  readonly kind: RepoKind;
  readonly onProgress?: ((progress: HubProgress) => void) | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** Files on their way at once: many are small, and a connection takes longer than they do. */
const AT_ONCE = 4;

/** What the cache has of a commit. Where `unknown` and `missing` are empty, that is all there is to have. */
export async function cachedFiles(repo: RepoCache, commit: string, kind: RepoKind): Promise<ModelFiles> {
  const path = (file: string): string => join(repo.snapshot(commit), ...file.split("/"));
  const set: FileSet = {
    async has(file) {
      if ((await fileSize(path(file))) !== undefined) return true;
      return (await fileSize(join(repo.absent(commit), ...file.split("/")))) === undefined ? undefined : false;
    },
    read: async (file) => (await readText(openFolder(repo.snapshot(commit)), file)) ?? "",
  };
  return kind.files(set);
}

/**
 * Fetches what the cache lacks of a commit. The list of absent files is written last: a snapshot that was interrupted is
 * not taken for a complete one.
 * @param model at a commit
 * @throws HttpError, HubCacheError, RangeError for an index that is malformed, or the signal's reason
 */
export async function fillSnapshot(
  hub: HubConnection,
  repo: RepoCache,
  model: HubModel,
  listed: ReadonlyMap<string, HubFile>,
  { kind, onProgress, onWarning }: FillOptions,
): Promise<void> {
  const commit = model.revision;
  const loaded = new Map<string, number>();
  let total = 0;
  const stop = new AbortController();
  const signal = hub.signal ? AbortSignal.any([hub.signal, stop.signal]) : stop.signal;
  const fetchOne = async (path: string): Promise<void> => {
    const file = listed.get(path)!;
    const onBytes = (bytes: number): void => {
      loaded.set(path, bytes);
      if (total > 0) onProgress?.({ file: path, loaded: sum(loaded.values()), total });
    };
    await downloadBlob({ ...hub, signal }, repo, model, file, { onBytes, ...(onWarning && { onWarning }) });
    await linkBlob(repo, commit, path, file.etag);
  };

  const set: FileSet = {
    has: (path) => listed.has(path),
    async read(path) {
      await checkSizes([path], listed, model);
      await fetchOne(path);
      return readFile(repo.blob(listed.get(path)!.etag), "utf8");
    },
  };
  const files = await kind.files(set);
  if (files.missing.length > 0) throw new HubCacheError(lacking(model, files.missing, listed, kind));
  const needed = [...files.small, ...files.weights];
  await checkSizes(needed, listed, model);
  const entries = needed.map((path) => listed.get(path)!);
  total = sum(entries.map(({ size }) => size));
  await checkRoom(repo, entries, model);
  await inParallel(needed, AT_ONCE, fetchOne, () => stop.abort());
  await noteChecked(repo, commit, entries);
  await markAbsent(repo, commit, files.absent);
}

function lacking(
  model: HubModel,
  missing: readonly string[],
  listed: ReadonlyMap<string, HubFile>,
  { remedy }: RepoKind,
): string {
  const others = [...listed.keys()].filter((path) => /\.(bin|h5|msgpack|onnx|ot|gguf|safetensors)$/.test(path));
  const has = others.length > 0 ? `; its weights are ${others.slice(0, 5).join(", ")}` : "";
  return `${modelText(model)}: the repository has no ${missing.slice(0, 5).join(", ")}${has}: ${remedy}`;
}

async function checkSizes(
  paths: readonly string[],
  listed: ReadonlyMap<string, HubFile>,
  model: HubModel,
): Promise<void> {
  for (const path of paths) {
    const { size } = listed.get(path)!;
    const most = mostBytes(path);
    if (size > most)
      throw new RangeError(`${model.name}/${path}: ${size} bytes, at most ${most} are taken for such a file`);
  }
}

/** Better now than after an hour. */
async function checkRoom(repo: RepoCache, files: readonly HubFile[], model: HubModel): Promise<void> {
  let bytes = 0;
  for (const { etag, size } of files) {
    const blob = repo.blob(etag);
    bytes += size - ((await fileSize(blob)) ?? (await fileSize(`${blob}.incomplete`)) ?? 0);
  }
  if (bytes <= 0) return;
  try {
    await mkdir(repo.dir, { recursive: true });
  } catch (error) {
    throw diskFault(error, repo.dir);
  }
  const free = await statfs(repo.dir).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => Number.POSITIVE_INFINITY, // some systems do not tell
  );
  if (bytes <= free) return;
  throw new HubCacheError(
    `${modelText(model)}: ${bytes} bytes to fetch, the disk of ${repo.dir} has ${free}: make room, or set HF_HUB_CACHE to another disk`,
  );
}

/** The first failure stops the others, and is thrown when they have stopped. */
async function inParallel<T>(
  items: readonly T[],
  most: number,
  work: (item: T) => Promise<void>,
  stop: () => void,
): Promise<void> {
  const queue = [...items];
  const failures: unknown[] = [];
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined && failures.length === 0; item = queue.shift()) {
      await work(item).catch((error: unknown) => {
        failures.push(error);
        stop();
      });
    }
  };
  await Promise.all(Array.from({ length: most }, worker));
  if (failures.length > 0) throw failures[0];
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
