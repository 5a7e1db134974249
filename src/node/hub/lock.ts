/**
 * A lock between processes, and machines that share a disk: a file that says who holds it, touched every second. It is
 * taken from a holder that is gone, or that has not touched it for long.
 */

import { randomUUID } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readFileSync, rmSync } from "node:fs";
import { link, lutimes, rename, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { pause } from "../../files/request.ts";
import { diskFault, writing } from "./cache.ts";
import { HubCacheError, PlantedError } from "./fault.ts";
import { NOT_FOLLOWED, readRegular } from "./regular.ts";

export interface Lock {
  /** Whether it is still ours: a process that was stopped for long may have lost it. */
  held(): Promise<boolean>;
  /** Safe to call twice. */
  release(): Promise<void>;
}

export interface LockOptions {
  /** No folder below this one is a link. Default: that of the lock. */
  readonly root?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told once, when somebody else holds it. */
  readonly onWait?: ((pid: number | undefined) => void) | undefined;
}

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** Of this hold. */
  readonly id: string;
}

const TOUCH_EVERY = 1000; // milliseconds, as all here

/** Untouched for so long, the lock of a process that does not run here is stale: containers may share a name, not processes. */
const DEAD_AFTER = 2000;

/** Untouched for so long by our clock, any lock is stale; the clocks of other machines are not trusted. */
const SILENT_AFTER = 10_000;

const LOOK_EVERY = 100;

/** Looks, in each of which a stale lock could not be removed. */
const MOST_REFUSALS = 20;

/** Bytes of what is written in a lock. */
const MOST = 4096;

/**
 * Waits until the lock is free or stale, and takes it.
 * @throws HubCacheError where it cannot be written or removed, PlantedError, or the signal's reason
 */
export async function acquireLock(
  path: string,
  { root = dirname(path), signal, onWait }: LockOptions = {},
): Promise<Lock> {
  const own: Holder = { pid: process.pid, host: hostname(), id: randomUUID() };
  let seen: { mark: string; since: number } | undefined;
  let refusals = 0;
  signal?.throwIfAborted();
  while (!(await writing(root, path, () => create(path, own)))) {
    signal?.throwIfAborted();
    const other = await look(path);
    if (other === undefined) continue; // released meanwhile
    if (seen === undefined) onWait?.(other.holder?.pid);
    if (seen?.mark !== other.mark) seen = { mark: other.mark, since: Date.now() };
    if (isStale(other, seen.since)) {
      if (await steal(path, other.text)) continue;
      if (++refusals > MOST_REFUSALS) {
        throw new HubCacheError(`${path}: nobody holds this lock any more, and it cannot be removed: remove it`);
      }
    }
    await pause(LOOK_EVERY, signal);
  }
  return hold(path, own);
}

async function create(path: string, own: Holder): Promise<boolean> {
  try {
    await writeFile(path, JSON.stringify(own), { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

interface Seen {
  readonly text: string;
  readonly holder: Holder | undefined;
  readonly touched: number;
  /** Changes with every touch. */
  readonly mark: string;
}

async function look(path: string): Promise<Seen | undefined> {
  try {
    const { text, mtimeMs } = await readRegular(path, MOST);
    return { text, holder: parseHolder(text), touched: mtimeMs, mark: `${mtimeMs} ${text}` };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw diskFault(error, path);
  }
}

function isStale({ holder, touched }: Seen, unchangedSince: number): boolean {
  const now = Date.now();
  if (holder?.host === hostname() && !runs(holder.pid)) return now - Math.min(touched, unchangedSince) > DEAD_AFTER;
  return now - unchangedSince > SILENT_AFTER;
}

/**
 * Of those who find a lock stale, one renames it; whoever is late may have got hold of a fresh one, and puts it back.
 * @returns whether it is gone, or another's
 */
async function steal(path: string, text: string): Promise<boolean> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
    if ((await readRegular(aside, MOST)).text !== text) await link(aside, path);
    return true;
  } catch (error) {
    // not there, or there again: another one was first
    return /^(ENOENT|EEXIST)$/.test((error as NodeJS.ErrnoException).code ?? "");
  } finally {
    await rm(aside, { force: true });
  }
}

function hold(path: string, own: Holder): Lock {
  const touch = setInterval(() => {
    const now = new Date();
    lutimes(path, now, now).catch(() => {}); // gone: `held` will tell
  }, TOUCH_EVERY);
  touch.unref();
  const dropAtExit = (): void => {
    try {
      if (parseHolder(readNow(path))?.id === own.id) rmSync(path, { force: true });
    } catch {
      // gone already
    }
  };
  process.once("exit", dropAtExit);
  const held = async (): Promise<boolean> => {
    try {
      return (await look(path))?.holder?.id === own.id;
    } catch (error) {
      if (error instanceof PlantedError) return false;
      throw error;
    }
  };
  return {
    held,
    async release() {
      clearInterval(touch);
      process.off("exit", dropAtExit);
      if (await held()) await rm(path, { force: true });
    },
  };
}

/** At the exit nothing waits. */
function readNow(path: string): string {
  const file = openSync(path, constants.O_RDONLY | NOT_FOLLOWED);
  try {
    const found = fstatSync(file);
    return found.isFile() && found.size <= MOST ? readFileSync(file, "utf8") : "";
  } finally {
    closeSync(file);
  }
}

function parseHolder(text: string): Holder | undefined {
  try {
    const { pid, host, id } = JSON.parse(text) as Record<string, unknown>;
    const known =
      Number.isSafeInteger(pid) && (pid as number) > 0 && typeof host === "string" && typeof id === "string";
    return known ? { pid: pid as number, host, id } : undefined;
  } catch {
    return undefined; // being written
  }
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0); // asks only
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}
