/** What lies in the cache: every model with its revisions, sizes and tasks. Nothing in it is trusted. */

import type { Dirent } from "node:fs";
import { readdir, readFile, realpath } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { hubModel, isCommit } from "../../files/hub.ts";
import { parseJson } from "../../files/json.ts";
import { fileSize, type RepoCache, repoCache } from "./cache.ts";
import { HubCacheError } from "./fault.ts";
import { ADAPTER, CONFIG, modelKind, mostBytes, type RepoKind } from "./files.ts";
import { readRegular } from "./regular.ts";
import { cachedFiles } from "./snapshot.ts";

export interface CachedRevision {
  readonly commit: string;
  /** Branches and tags that were last seen at this commit. */
  readonly refs: readonly string[];
  readonly path: string;
  /** Of its files; revisions share those that they have in common. */
  readonly bytes: number;
  readonly files: number;
  /** Whether it is an adapter of PEFT, whose base lies elsewhere. */
  readonly adapter: boolean;
  /** Of config.json, such as BertForMaskedLM. */
  readonly architectures: readonly string[];
  /** Files without which it cannot be loaded. */
  readonly missing: readonly string[];
}

export interface CachedModel {
  /** `org/name` */
  readonly name: string;
  readonly path: string;
  /** On disk, each file once. */
  readonly bytes: number;
  /** Of downloads that broke off; included in `bytes`. */
  readonly incompleteBytes: number;
  readonly revisions: readonly CachedRevision[];
}

/**
 * The models of a cache by name. Folders that are none are passed over.
 * @throws HubCacheError when the cache cannot be read; a cache that is not there is empty
 */
export async function scanHubCache(cacheDir: string): Promise<CachedModel[]> {
  const models: CachedModel[] = [];
  for (const entry of await entriesOf(cacheDir)) {
    const name = modelName(entry.name);
    if (name !== undefined && entry.isDirectory()) models.push(await scanModel(repoCache(cacheDir, name), name));
  }
  return models.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Old models have no organisation: models--gpt2. */
function modelName(folder: string): string | undefined {
  const name = /^models--(.+)$/.exec(folder)?.[1]?.replace("--", "/");
  try {
    return name === undefined ? undefined : hubModel(name).name;
  } catch {
    return undefined;
  }
}

async function scanModel(repo: RepoCache, name: string): Promise<CachedModel> {
  const refs = await refsOf(repo);
  const revisions: CachedRevision[] = [];
  const sizes = new Map<string, number>(); // by real path: a blob counts once, and so does a copy
  for (const { name: commit } of await entriesOf(join(repo.dir, "snapshots"))) {
    if (isCommit(commit)) revisions.push(await scanRevision(repo, commit, refs.get(commit) ?? [], sizes));
  }
  let incompleteBytes = 0;
  for (const { name: blob } of await entriesOf(join(repo.dir, "blobs"))) {
    const path = join(repo.dir, "blobs", blob);
    const size = (await fileSize(path)) ?? 0;
    sizes.set(await realpath(path).catch(() => path), size);
    if (blob.endsWith(".incomplete")) incompleteBytes += size;
  }
  const bytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  return { name, path: repo.dir, bytes, incompleteBytes, revisions };
}

async function scanRevision(
  repo: RepoCache,
  commit: string,
  refs: readonly string[],
  sizes: Map<string, number>,
): Promise<CachedRevision> {
  const path = repo.snapshot(commit);
  let bytes = 0;
  let files = 0;
  for (const file of await filesBelow(path)) {
    const size = await fileSize(file);
    if (size === undefined) continue;
    sizes.set(await realpath(file), size);
    bytes += size;
    files++;
  }
  const named = (await fileSize(join(path, ADAPTER.config))) !== undefined;
  const lacks = async (kind: RepoKind): Promise<readonly string[]> =>
    cachedFiles(repo, commit, kind).then(
      ({ missing }) => missing,
      () => ["a readable index"],
    );
  const whole = await lacks(modelKind(true));
  const adapter = named && whole.length > 0;
  const architectures = await architecturesOf(join(path, CONFIG));
  return { commit, refs, path, bytes, files, adapter, architectures, missing: adapter ? await lacks(ADAPTER) : whole };
}

async function architecturesOf(config: string): Promise<string[]> {
  const size = await fileSize(config);
  if (size === undefined || size > mostBytes(CONFIG)) return [];
  try {
    const { architectures } = parseJson(await readFile(config, "utf8")) as { architectures?: unknown };
    return Array.isArray(architectures) ? architectures.filter((name) => typeof name === "string") : [];
  } catch {
    return [];
  }
}

/** Branches and tags by commit. Their names may have slashes. */
async function refsOf(repo: RepoCache): Promise<Map<string, string[]>> {
  const refs = new Map<string, string[]>();
  const root = join(repo.dir, "refs");
  for (const file of await filesBelow(root)) {
    const commit = await readRegular(file, 100).then(
      ({ text }) => text,
      () => "",
    );
    const name = relative(root, file).split(sep).join("/");
    refs.set(commit.trim(), [...(refs.get(commit.trim()) ?? []), name]);
  }
  return refs;
}

async function filesBelow(folder: string): Promise<string[]> {
  const files: string[] = [];
  for (const entry of await entriesOf(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) files.push(...(await filesBelow(path)));
    else files.push(path);
  }
  return files.sort();
}

async function entriesOf(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return [];
    throw new HubCacheError(`the cache cannot be read: ${message}`, { cause: error });
  }
}
