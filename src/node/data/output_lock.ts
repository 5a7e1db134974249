/** Who writes an output: a file beside it that names the process. Nobody waits for it, whoever comes second is refused. */

import { randomUUID } from "node:crypto";
import { readFileSync, readlinkSync, rmSync } from "node:fs";
import { constants, link, rename, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { createFresh, exists, naming, openKept } from "./fresh_file.ts";

/** Of a process, told apart from another one that has got its number since. */
interface Holder {
  readonly pid: number;
  readonly host: string;
  /** When it began, in ticks since that of the system, where Linux tells; "" elsewhere. */
  readonly began: string;
  /** Where its number means it: containers share a host's name, not its processes. */
  readonly space: string;
  readonly id: string;
}

/** Removes the lock. Safe to call twice; done in any case when the process exits. */
export type Release = () => Promise<void>;

/**
 * Takes the lock, also from a process that is gone.
 * @param output for the message
 * @throws Error at once when a process that lives has it
 */
export async function lockOutput(path: string, output: string): Promise<Release> {
  const own: Holder = { ...describe(process.pid), id: randomUUID() };
  for (let attempt = 0; !(await take(path, output, own)); attempt++) {
    const text = await textOf(path);
    if (text === undefined) continue; // given up meanwhile
    const holder = parse(text);
    if (attempt < 9 && holder && isGone(holder)) {
      await putAside(path, text);
      await rm(draftOf(path, holder), { force: true }); // it may have been killed right after it took the lock
    } else throw new Error(`${output}: ${refusal(path, holder)}`);
  }
  const drop = (): void => {
    try {
      if (parse(readFileSync(path, "utf8"))?.id === own.id) rmSync(path, { force: true });
    } catch {
      // gone already
    }
  };
  process.once("exit", drop);
  return async () => {
    process.off("exit", drop);
    drop();
  };
}

function refusal(path: string, holder: Holder | undefined): string {
  if (!holder) return `${path} is there and does not say whose it is; remove it if no job writes this output`;
  const where = holder.host === hostname() ? "" : ` on ${holder.host}`;
  return (
    `another job, process ${holder.pid}${where}, is writing it; wait for it or name another output ` +
    `(if it is gone for sure, remove ${path})`
  );
}

/** Where it is written before it is taken. The name of another one comes out of its lock, and must not lead elsewhere. */
const draftOf = (path: string, { id }: Holder): string => `${path}.${id.replace(/[^\w-]/g, "")}`;

/** With its content in one step: a lock without a holder could never be told from one that is being written. */
async function take(path: string, output: string, own: Holder): Promise<boolean> {
  const draft = draftOf(path, own);
  return naming(path, async () => {
    const file = await createFresh(draft, output);
    try {
      await file.writeFile(JSON.stringify(own));
      await link(draft, path).catch(async (error: NodeJS.ErrnoException) => {
        // file systems without links: the same but for a kill between the two
        if (!["EPERM", "ENOTSUP", "ENOSYS", "EOPNOTSUPP"].includes(error.code ?? "")) throw error;
        if (await exists(path)) throw Object.assign(error, { code: "EEXIST" });
        await rename(draft, path);
      });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
      throw error;
    } finally {
      await file.close();
      await rm(draft, { force: true });
    }
  });
}

/** Of those who find that a holder is gone, one moves its lock away; who is late and moves a fresh one puts it back. */
async function putAside(path: string, text: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
    if ((await textOf(aside)) !== text) await link(aside, path);
  } catch {
    // another one was first
  } finally {
    await rm(aside, { force: true });
  }
}

async function textOf(path: string): Promise<string | undefined> {
  const file = await openKept(path, constants.O_RDONLY).catch((error: Error) => {
    if ((error.cause as NodeJS.ErrnoException | undefined)?.code === "ENOENT") return undefined;
    throw error;
  });
  if (!file) return undefined;
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4096), 0, 4096, 0);
    return buffer.toString("utf8", 0, bytesRead);
  } finally {
    await file.close();
  }
}

function parse(text: string): Holder | undefined {
  try {
    const holder = JSON.parse(text) as Holder;
    const words = [holder.host, holder.began, holder.space, holder.id];
    return Number.isSafeInteger(holder.pid) && holder.pid > 0 && words.every((word) => typeof word === "string")
      ? holder
      : undefined;
  } catch {
    return undefined;
  }
}

function isGone({ pid, host, began, space }: Holder): boolean {
  const now = describe(pid);
  if (host !== now.host || space.split(" ")[1] !== now.space.split(" ")[1]) return false; // not ours to tell
  return space !== now.space || began !== now.began || !runs(pid);
}

function describe(pid: number): Omit<Holder, "id"> {
  const boot = attempt(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim());
  const namespace = attempt(() => readlinkSync("/proc/self/ns/pid"));
  // the 22nd field; the second is a name in brackets that may hold spaces
  const began = attempt(() => readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)!.split(" ")[19]!);
  return { pid, host: hostname(), began, space: `${boot} ${namespace}` };
}

function attempt(read: () => string): string {
  try {
    return read();
  } catch {
    return "";
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
