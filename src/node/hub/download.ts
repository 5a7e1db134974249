/** One blob from the hub to the cache: resumed where it broke off, checked before it gets its name, once for all processes. */

import { createHash, type Hash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { quote } from "../../files/faults.ts";
import { fileUrl, type HubModel, hubRefusal } from "../../files/hub.ts";
import { HttpError, isTransient, pause, shownUrl } from "../../files/request.ts";
import { blobSize, type RepoCache, writing } from "./cache.ts";
import { bytesOf, type HubAnswer, type HubConnection, send } from "./client.ts";
import { HubCacheError, PlantedError } from "./fault.ts";
import type { HubFile } from "./listing.ts";
import { acquireLock } from "./lock.ts";
import { NOT_FOLLOWED } from "./regular.ts";

export interface DownloadReports {
  /** Bytes of this file that are here, as they come. */
  readonly onBytes?: (loaded: number) => void;
  readonly onWarning?: (message: string) => void;
}

/** Connections that broke in a row without having brought much. */
const MOST_BREAKS = 5;
const MUCH = 1 << 20; // bytes

/** Times that a server has begun a file anew rather than go on: one that never serves ranges, and always breaks off. */
const MOST_RESTARTS = 3;

const READ_BYTES = 1 << 20;

/**
 * Fetches a file's blob unless it is there. What has arrived stays in ETAG.incomplete, for the next time.
 * @param model at a commit: the file must not change between two requests
 * @throws HttpError, HubCacheError, or the signal's reason
 */
export async function downloadBlob(
  hub: HubConnection,
  repo: RepoCache,
  model: HubModel,
  file: HubFile,
  reports: DownloadReports = {},
): Promise<void> {
  const blob = repo.blob(file.etag);
  const isThere = async (): Promise<boolean> => (await blobSize(repo, file.etag)) === file.size;
  if (!(await isThere())) {
    const onWait = (pid: number | undefined): void =>
      reports.onWarning?.(`waiting for another process${pid ? ` (${pid})` : ""}, which downloads ${file.path}`);
    const lock = await acquireLock(repo.lock(file.etag), { root: repo.root, signal: hub.signal, onWait });
    try {
      if (!(await isThere())) {
        const incomplete = `${blob}.incomplete`;
        await writing(repo.root, blob, () => fetchInto(incomplete, hub, model, file, reports));
        if (!(await lock.held())) {
          throw new HubCacheError(`${blob}: another process took over while this one was stopped: try again`);
        }
        // over a damaged one of another size, which other tools may have left
        await writing(repo.root, blob, () => rename(incomplete, blob));
      }
    } finally {
      await lock.release();
    }
  }
  reports.onBytes?.(file.size);
}

/** Fills `path` with the file, whose hash has been checked when this returns. Wrong bytes are given a second chance. */
async function fetchInto(
  path: string,
  hub: HubConnection,
  model: HubModel,
  file: HubFile,
  reports: DownloadReports,
): Promise<void> {
  for (let fresh = false; ; fresh = true) {
    const handle = await openOwn(path, fresh);
    let digest: string;
    let resumed: boolean;
    try {
      ({ digest, resumed } = await fill(handle, hub, model, file, reports));
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (digest === file.etag) return;
    await rm(path, { force: true });
    const what = `${model.name}/${file.path}: the bytes that came are not the file's: their ${file.hash} is ${digest}, not ${file.etag}`;
    if (fresh) throw new HubCacheError(`${what}; twice, so nothing was kept: is there a proxy in between?`);
    reports.onWarning?.(`${what}; ${resumed ? "a part was here from an earlier time; " : ""}fetching it again`);
  }
}

/** @throws PlantedError when it is not a regular file, or one that has another name as well, which would be written too */
async function openOwn(path: string, fresh: boolean): Promise<FileHandle> {
  const flags = constants.O_RDWR | constants.O_CREAT | NOT_FOLLOWED;
  const handle = await open(path, flags).catch((error: NodeJS.ErrnoException) => {
    throw error.code === "ELOOP" ? new PlantedError(path, "a link") : error;
  });
  try {
    const found = await handle.stat();
    if (!found.isFile()) throw new PlantedError(path, "no regular file");
    if (found.nlink > 1) throw new PlantedError(path, "a file with another name as well");
    if (fresh) await handle.truncate(0);
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Brings the file to its full size, over as many connections as it takes. */
async function fill(
  handle: FileHandle,
  hub: HubConnection,
  model: HubModel,
  file: HubFile,
  { onBytes }: DownloadReports,
): Promise<{ digest: string; resumed: boolean }> {
  let { hash, size: at } = await hashOf(handle, file);
  const resumed = at > 0;
  let [breaks, restarts] = [0, 0];
  let mark = at;
  const restart = async (): Promise<void> => {
    await handle.truncate(0);
    ({ hash, size: at } = emptyHash(file));
    mark = 0;
  };
  if (at > file.size) await restart();
  onBytes?.(at);
  while (at < file.size) {
    const answer = await request(hub, model, file, at);
    if (answer.begin !== at) {
      if (++restarts > MOST_RESTARTS) {
        await answer.response.body?.cancel();
        throw new HubCacheError(
          `${model.name}/${file.path}: it broke off ${restarts} times, at last at ${at} of ${file.size} bytes, and the server always begins it anew: is there a proxy in between?`,
        );
      }
      await restart();
    }
    try {
      for await (const bytes of bytesOf(answer, hub)) {
        if (at + bytes.byteLength > file.size) {
          throw new HubCacheError(
            `${model.name}/${file.path}: more than its ${file.size} bytes came; nothing was kept`,
          );
        }
        hash.update(bytes);
        await writeAll(handle, bytes, at);
        at += bytes.byteLength;
        onBytes?.(at);
      }
      if (at < file.size) throw new HttpError(`${shownUrl(answer.url)}: it ended at ${at} of ${file.size} bytes`, 0);
    } catch (error) {
      if (error instanceof HubCacheError) await handle.truncate(0);
      if (at - mark >= MUCH) breaks = 0;
      mark = at;
      if (!isTransient(error)) throw error;
      if (++breaks >= MOST_BREAKS) {
        throw new HttpError(`${error.message}; ${at} of ${file.size} bytes are kept: run it again to go on`, 0, {
          cause: error,
        });
      }
      await pause((hub.retry.delay ?? 250) * 2 ** (breaks - 1), hub.signal);
    }
  }
  return { digest: hash.digest("hex"), resumed };
}

/** The rest of the file from byte `at`, or, where the server does not serve that, all of it. */
async function request(
  hub: HubConnection,
  model: HubModel,
  file: HubFile,
  at: number,
): Promise<HubAnswer & { readonly begin: number }> {
  const answer = await send(hub, fileUrl(hub.endpoint, model, file.path), {
    headers: at > 0 ? { range: `bytes=${at}-` } : {},
    accept: at > 0 ? [416] : [],
    refusal: (response) => hubRefusal(response, model, hub),
  });
  const { response, linked } = answer;
  const fail = async (what: string): Promise<never> => {
    await response.body?.cancel();
    throw new HubCacheError(`${model.name}/${file.path}: ${what}; nothing was fetched: try again later`);
  };
  if (linked.etag !== undefined && linked.etag !== file.etag) {
    await fail(`the hub's list has it as ${file.etag}, its answer as ${quote(linked.etag)}`);
  }
  if (linked.size !== undefined && linked.size !== file.size) {
    await fail(`the hub's list gives ${file.size} bytes, its answer ${linked.size}`);
  }
  if (response.status === 416) {
    await response.body?.cancel();
    return request(hub, model, file, 0);
  }
  if (response.status !== 206) return { ...answer, begin: 0 };
  const range = response.headers.get("content-range");
  if (range !== `bytes ${at}-${file.size - 1}/${file.size}`) {
    await fail(`bytes ${at}-${file.size - 1}/${file.size} asked, the answer is ${quote(range ?? "without a range")}`);
  }
  return { ...answer, begin: at };
}

/** What a blob's name is the hash of. Git puts a header before the content. */
function emptyHash({ hash, size }: HubFile): { hash: Hash; size: number } {
  return {
    hash: hash === "sha256" ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`),
    size: 0,
  };
}

/** Of what is there already. */
async function hashOf(handle: FileHandle, file: HubFile): Promise<{ hash: Hash; size: number }> {
  const { hash } = emptyHash(file);
  const buffer = new Uint8Array(READ_BYTES);
  let size = 0;
  for (;;) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.byteLength, size);
    if (bytesRead === 0) return { hash, size };
    hash.update(buffer.subarray(0, bytesRead));
    size += bytesRead;
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.byteLength - done, position + done);
    done += bytesWritten;
  }
}
