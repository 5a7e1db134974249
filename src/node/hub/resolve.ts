/** From what a user calls a model, a folder or `org/name@revision`, to its folder on this disk. */

import { stat } from "node:fs/promises";
import { basename } from "node:path";
import type { Folder } from "../../files/bytes.ts";
import { type HubModel, hubModel, isCommit, modelText } from "../../files/hub.ts";
import { type Names, requireKnown } from "../../files/options.ts";
import { HttpError, isTransient, type RetryPolicy } from "../../files/request.ts";
import { openFolder } from "../folder.ts";
import { type RepoCache, readRef, repoCache, writeRef } from "./cache.ts";
import { sinceChecked, verifyFiles } from "./checked.ts";
import type { HubConnection } from "./client.ts";
import { type HubSettings, hubSettings } from "./environment.ts";
import { HubCacheError } from "./fault.ts";
import { ADAPTER, type ModelFiles, modelKind, type RepoKind } from "./files.ts";
import { commitOf, type HubFile, listCommit } from "./listing.ts";
import { proxiedFetch } from "./proxy.ts";
import { cachedFiles, fillSnapshot, type HubProgress } from "./snapshot.ts";

export interface ResolveOptions {
  /** Branch, tag or commit, where the name has no `@revision`. Default main. */
  readonly revision?: string | undefined;
  /** Default HF_HUB_CACHE, else hub/ in HF_HOME. */
  readonly cacheDir?: string | undefined;
  /** Default HF_TOKEN, else the token file of HF_HOME. Sent to the endpoint alone. */
  readonly token?: string | undefined;
  /** Default HF_ENDPOINT, else https://huggingface.co. */
  readonly endpoint?: string | undefined;
  /** Take what is in the cache, ask nobody. Default HF_HUB_OFFLINE. */
  readonly offline?: boolean | undefined;
  /** `false` leaves the weights out, for what works with the tokenizer alone. Default true. */
  readonly weights?: boolean | undefined;
  readonly onProgress?: ((progress: HubProgress) => void) | undefined;
  /** Told when a cached model is used since the hub cannot be reached, and of what had to be done twice. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Hash the files that are used of a model of the hub, also those that were in the cache. Default false. */
  readonly verify?: boolean | undefined;
  /** How far that is. */
  readonly onVerify?: ((progress: HubProgress) => void) | undefined;
  /** Stops a download; what has arrived is kept, and the next one goes on from there. */
  readonly signal?: AbortSignal | undefined;
  /** Of what fails for a moment. Default 5 tries, pauses from 250 ms. */
  readonly retry?: Pick<RetryPolicy, "tries" | "delay"> | undefined;
  /** Default: through the proxies that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name, if they do. */
  readonly fetch?: typeof globalThis.fetch | undefined;
}

const OPTIONS: Names<ResolveOptions> = {
  revision: 1,
  cacheDir: 1,
  token: 1,
  endpoint: 1,
  offline: 1,
  weights: 1,
  onProgress: 1,
  onWarning: 1,
  verify: 1,
  onVerify: 1,
  signal: 1,
  retry: 1,
  fetch: 1,
};

const PREFIX = "hf://";

/** Milliseconds without an answer or a byte. */
const PATIENCE = 20_000;

/**
 * A model's folder. A path that exists is one; `org/name` or `org/name@revision` is downloaded from the Hugging Face hub
 * to its usual cache, unless it is there: a commit that is complete needs no network, a branch or a tag one request.
 * `hf://org/name` is never a path.
 * @throws RangeError for what is neither, or could be both; HttpError where the hub refuses or cannot be reached;
 *   HubCacheError where the cache cannot serve; TypeError for an unknown option; the signal's reason
 */
export async function resolveModel(spec: string, options: ResolveOptions = {}): Promise<Folder> {
  requireKnown("resolveModel", options, OPTIONS);
  return resolve(spec, modelKind(options.weights ?? true), options);
}

export type ResolveAdapterOptions = Omit<ResolveOptions, "weights">;

const { weights: _, ...ADAPTER_OPTIONS } = OPTIONS;

/** As `resolveModel`, the folder of an adapter of PEFT: of `org/name` its files alone, not those of its base. */
export async function resolveAdapter(spec: string, options: ResolveAdapterOptions = {}): Promise<Folder> {
  requireKnown("resolveAdapter", options, ADAPTER_OPTIONS);
  return resolve(spec, ADAPTER, options);
}

async function resolve(spec: string, kind: RepoKind, options: ResolveOptions): Promise<Folder> {
  if (await isFolder(spec, kind)) {
    if (options.revision === undefined) return openFolder(spec);
    throw new RangeError(`${spec}: a folder has no revisions; for a model of the hub write ${PREFIX}${spec}`);
  }
  const model = await parseSpec(spec, kind, options.revision);
  const settings = await hubSettings(options);
  const snapshot = await findSnapshot(model, kind, settings, options);
  if (options.verify) {
    const [repo, commit] = [repoCache(settings.cacheDir, model.name), basename(snapshot)];
    const { small, weights } = await cachedFiles(repo, commit, kind);
    await verifyFiles(repo, commit, [...small, ...weights], options);
  }
  // messages name the model, not the commit's folder in the cache
  return { ...openFolder(snapshot), name: modelText(model) };
}

async function isFolder(spec: string, { config }: Pick<RepoKind, "config">): Promise<boolean> {
  if (spec.startsWith(PREFIX)) return false;
  const found = await stat(spec).catch((error: NodeJS.ErrnoException) => {
    if (/^(ENOENT|ENOTDIR|ENAMETOOLONG)$/.test(error.code ?? "")) return undefined;
    throw error;
  });
  if (found && !found.isDirectory()) throw new RangeError(`${spec}: a file; give the folder that holds ${config}`);
  return found !== undefined;
}

async function parseSpec(spec: string, kind: RepoKind, given: string | undefined): Promise<HubModel> {
  const explicit = spec.startsWith(PREFIX);
  const [, name, revision] = /^([^@]*)(?:@(.*))?$/s.exec(explicit ? spec.slice(PREFIX.length) : spec)!;
  if (revision !== undefined && given !== undefined && revision !== given) {
    throw new RangeError(`${spec}: it has the revision ${revision}, the options have ${given}: give one`);
  }
  if (!explicit) {
    if (/^\w+:\/\//.test(spec)) {
      throw new RangeError(`${spec}: an address; give org/name for a model of the hub, or the path of a folder`);
    }
    const [org, ...rest] = name!.split("/");
    if (/^[.~]|^$|[\\:]/.test(org!) || /[\\:]|^$/.test(rest[0] ?? "x") || rest.length > 1) {
      throw new RangeError(`${spec}: there is no such file or folder`);
    }
    if (rest.length === 0) {
      const example = kind.what === "model" ? ", as google-bert/bert-base-uncased" : "";
      throw new RangeError(`${spec}: there is no such folder; ${kind.what}s of the hub are named org/name${example}`);
    }
    // likely a slip in a path: to download something instead would surprise
    if (await isFolder(org!, kind).catch(() => false)) {
      throw new RangeError(
        `${spec}: the folder ${org} is here and has no ${rest[0]}; if ${kind.what === "model" ? "a model" : "an adapter"} of the hub is meant, write ${PREFIX}${spec}`,
      );
    }
  }
  return hubModel(name!, revision ?? given);
}

/** The snapshot's folder, filled. */
async function findSnapshot(
  model: HubModel,
  kind: RepoKind,
  settings: HubSettings,
  options: ResolveOptions,
): Promise<string> {
  const { onProgress, onWarning, signal, retry = {} } = options;
  const repo = repoCache(settings.cacheDir, model.name);
  // an index that other tools have damaged: as good as nothing
  const look = (commit: string): Promise<ModelFiles | undefined> =>
    cachedFiles(repo, commit, kind)
      .then((files) => sinceChecked(repo, commit, files))
      .catch(() => undefined);

  const known = isCommit(model.revision) ? model.revision : await readRef(repo, model.revision);
  const cached = known === undefined ? undefined : await look(known);
  if (known === model.revision && isComplete(cached)) return repo.snapshot(known);
  const usable = cached?.missing.length === 0 ? known : undefined;
  if (settings.offline) {
    if (usable !== undefined) return repo.snapshot(usable);
    throw new HubCacheError(offlineText(model, repo, known, cached));
  }

  // with something to fall back on, nobody wants to wait long
  const brief = usable === undefined ? retry : { ...retry, tries: 2 };
  const fetch = options.fetch ?? (await proxiedFetch());
  const hub: HubConnection = { ...settings, fetch, signal, retry: brief, patience: PATIENCE };
  let commit: string;
  let listed: Map<string, HubFile>;
  try {
    commit = known === model.revision ? known : await commitOf(hub, model, kind);
    if (isComplete(commit === known ? cached : await look(commit))) {
      await writeRef(repo, model.revision, commit).catch(() => {}); // a cache that is read only
      return repo.snapshot(commit);
    }
    listed = await listCommit(hub, { ...model, revision: commit });
  } catch (error) {
    if (!isTransient(error)) throw error;
    if (usable !== undefined) {
      onWarning?.(`${error.message}; taking ${modelText(model)} from the cache, as of commit ${usable.slice(0, 7)}`);
      return repo.snapshot(usable);
    }
    const what = `${modelText(model)} is not in the cache, and the hub does not serve it now`;
    throw new HttpError(`${what}: ${error.message}`, error.status, { cause: error });
  }
  const pinned = { ...model, revision: commit };
  await fillSnapshot({ ...hub, retry }, repo, pinned, listed, { kind, onProgress, onWarning });
  await writeRef(repo, model.revision, commit);
  return repo.snapshot(commit);
}

function isComplete(files: ModelFiles | undefined): boolean {
  return files !== undefined && files.unknown.length === 0 && files.missing.length === 0;
}

function offlineText(
  model: HubModel,
  repo: RepoCache,
  commit: string | undefined,
  files: ModelFiles | undefined,
): string {
  const lack = files && files.small.length > 0 ? files.missing.join(", ") : undefined;
  const what =
    commit === undefined || lack === undefined
      ? `there is no ${modelText(model)}`
      : `${modelText(model)} lacks ${lack}`;
  return `offline (HF_HUB_OFFLINE), and in the cache ${what}: run it once with a network, or copy ${repo.dir} from a machine that has it`;
}
