/**
 * A lock between processes, and machines that share a disk: a file that says who holds it, touched every second. It is
 * taken from a holder that is gone, or that has not touched it for long.
 */

import { randomUUID } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { link, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { pause } from "../../files/request.ts";
import { diskFault, writing } from "./cache.ts";

export interface Lock {
  /** Whether it is still ours: a process that was stopped for long may have lost it. */
  held(): Promise<boolean>;
  /** Safe to call twice. */
  release(): Promise<void>;
}

export interface LockOptions {
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

/** Waits until the lock is free or stale, and takes it. @throws HubCacheError where it cannot be written, or the signal's reason */
export async function acquireLock(path: string, { signal, onWait }: LockOptions = {}): Promise<Lock> {
  const own: Holder = { pid: process.pid, host: hostname(), id: randomUUID() };
  let seen: { mark: string; since: number } | undefined;
  while (!(await writing(path, () => create(path, own)))) {
    const other = await look(path);
    if (other === undefined) continue; // released meanwhile
    if (seen === undefined) onWait?.(other.holder?.pid);
    if (seen?.mark !== other.mark) seen = { mark: other.mark, since: Date.now() };
    if (isStale(other, seen.since)) await steal(path, other.text);
    else await pause(LOOK_EVERY, signal);
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
    const [text, { mtimeMs }] = await Promise.all([readFile(path, "utf8"), stat(path)]);
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

/** Of those who find a lock stale, one renames it; whoever is late may have got hold of a fresh one, and puts it back. */
async function steal(path: string, text: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
    if ((await readFile(aside, "utf8")) !== text) await link(aside, path);
  } catch {
    // another one was first
  } finally {
    await rm(aside, { force: true });
  }
}

function hold(path: string, own: Holder): Lock {
  const touch = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {}); // gone: `held` will tell
  }, TOUCH_EVERY);
  touch.unref();
  const dropAtExit = (): void => {
    try {
      if (parseHolder(readFileSync(path, "utf8"))?.id === own.id) rmSync(path, { force: true });
    } catch {
      // gone already
    }
  };
  process.once("exit", dropAtExit);
  const held = async (): Promise<boolean> => (await look(path))?.holder?.id === own.id;
  return {
    held,
    async release() {
      clearInterval(touch);
      process.off("exit", dropAtExit);
      if (await held()) await rm(path, { force: true });
    },
  };
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
