/** An output before anything is written: where it lies, whether that can be a file of results, and that it is nobody else's. */

import { fstatSync, rmSync, type Stats } from "node:fs";
import { lstat, realpath, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { createFresh, exists, giveTo, naming, type Owner, publish, unwritable } from "./fresh_file.ts";
import { lockOutput, type Release } from "./output_lock.ts";

export interface Claim {
  /** As the user gave it, for messages. */
  readonly path: string;
  /** Where it lies: links are followed, and what is written meanwhile lies beside it. */
  readonly file: string;
  /** A file was there. */
  readonly replaces: boolean;
  /** Of that file, for the new one. */
  readonly owner: Owner | undefined;
  /** Gives it up. Safe to call twice. */
  readonly release: Release;
}

export interface ClaimOptions {
  /** What the job reads; `-` is standard input. None of it may be written. */
  readonly inputs?: readonly string[] | undefined;
  /** Thrown when a file is there; `undefined` where it may be. */
  readonly refuse?: Error | undefined;
  /**
   * It is a file of ours in a folder that others may write to as well: no link of theirs is followed, and a file of
   * theirs is replaced by one of our own. Otherwise the user has named it, and such are refused or keep their owner.
   */
  readonly shared?: boolean;
}

/** What is written beside an output. */
export const PARTIAL = ".partial";
export const RECORD = ".progress.json";
const UNFINISHED = ".unfinished.tmp";
const BESIDE = [PARTIAL, RECORD, `${RECORD}.tmp`, ".lock", ".lock.tmp", `${PARTIAL}.parquet`, UNFINISHED];

/** Out of sight: it stays for as long as the output does. */
export const finishedRecord = (file: string): string => join(dirname(file), `.${basename(file)}.complete.json`);

const placesBeside = (file: string): string[] => [
  ...BESIDE.map((suffix) => file + suffix),
  finishedRecord(file),
  `${finishedRecord(file)}.tmp`,
];

/**
 * Makes an output this job's own until it is released.
 * @throws Error for a folder, a device, a FIFO, a link that leads nowhere, an input, and an output that another job writes
 */
export async function claimOutput(
  path: string,
  { inputs = [], refuse, shared = false }: ClaimOptions = {},
): Promise<Claim> {
  const look = async (): Promise<Place> => {
    if (shared) await refusePlanted(path);
    const place = await locate(path);
    await refuseInputs({ path, file: place.file }, inputs);
    if (place.found && refuse !== undefined) throw refuse;
    return place;
  };
  const { file } = await look();
  const release = await lockOutput(`${file}.lock`, path);
  try {
    // another job may have ended between the two: what it has left there is what counts
    const { file: now, found } = await look();
    if (now !== file) throw new Error(`${path}: it has come to be a link, or another one, at this moment; try again`);
    const ours = !shared || found?.uid === process.getuid?.();
    const owner = found && ours ? { mode: found.mode & 0o7777, uid: found.uid, gid: found.gid } : undefined;
    const claim = { path, file, replaces: found !== undefined, owner, release };
    if (owner) await refuseForeign(claim, owner);
    return claim;
  } catch (error) {
    await release();
    throw error;
  }
}

/** Does `work` while an output is this job's own, where there is one. @throws as `claimOutput` */
export async function withClaim<T>(
  path: string | undefined,
  options: ClaimOptions,
  work: (claim: Claim | undefined) => Promise<T>,
): Promise<T> {
  if (path === undefined) return work(undefined);
  const claim = await claimOutput(path, options);
  try {
    return await work(claim);
  } finally {
    await claim.release();
  }
}

export type Write = (bytes: string | Uint8Array) => Promise<void>;

/**
 * A whole file in one go. Until it is complete, whoever looks finds what was there before.
 * @param fill writes it
 * @param complete makes of what was written the file itself. @returns where it lies, there or beside it
 */
export async function writeOutput(
  claim: Claim,
  fill: (write: Write) => Promise<void>,
  complete: (file: string) => Promise<string> = async (file) => file,
): Promise<void> {
  const unfinished = claim.file + UNFINISHED;
  const made = new Set([unfinished]);
  const abandon = (): void => {
    for (const file of made) rmSync(file, { force: true });
  };
  process.once("exit", abandon); // an interrupt ends us without a word
  const file = await createFresh(unfinished, claim.path, claim.owner);
  try {
    try {
      await fill((bytes) => naming(claim.path, () => file.writeFile(bytes))); // from where the last one ended
    } finally {
      await file.close();
    }
    if (!claim.replaces && (await exists(claim.file)))
      throw new Error(`${claim.path}: it has come since the run began; name another file`);
    const whole = await complete(unfinished);
    made.add(whole);
    await publish(whole, claim.file, claim.owner);
  } finally {
    abandon();
    process.off("exit", abandon);
  }
}

/** A link that somebody else has made. */
async function refusePlanted(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found?.isSymbolicLink() && found.uid !== process.getuid?.())
    throw new Error(`${path}: it is a link that user ${found.uid} has made; remove it`);
}

interface Place {
  readonly file: string;
  readonly found: Stats | undefined;
}

async function locate(path: string): Promise<Place> {
  const link = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw unwritable(path, error);
  });
  if (!link) {
    const folder = await naming(path, () => realpath(dirname(resolve(path))));
    if (/[\\/]$/.test(path)) throw new Error(`${path}: it is a folder; name the file to write`);
    return { file: join(folder, basename(path)), found: undefined };
  }
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw unwritable(path, error);
    throw new Error(`${path}: it is a link to a file that does not exist; remove it or name that file`);
  });
  if (!found.isFile()) throw new Error(`${path}: ${kindOf(found)}`);
  return { file: await realpath(path), found };
}

function kindOf(found: Stats): string {
  if (found.isDirectory()) return "it is a folder; name the file to write";
  const kind = found.isFIFO() ? "a FIFO" : found.isSocket() ? "a socket" : "a device";
  return `it is ${kind}, results need a file that can be replaced; - is standard output`;
}

/** For inputs that are known only later. @throws Error where one of them is the output or what lies beside it */
export async function refuseInputs(
  { path, file }: Pick<Claim, "path" | "file">,
  inputs: readonly string[],
): Promise<void> {
  const found = await stat(file).catch(() => undefined);
  for (const input of inputs) {
    const read = input === "-" ? fstatSync(0) : await stat(input).catch(() => undefined);
    if (!read?.isFile()) continue;
    const same = (other: Stats | undefined): boolean => other?.ino === read.ino && other.dev === read.dev;
    const name = input === "-" ? "standard input" : input;
    if (same(found)) throw new Error(`${path}: it is the input ${name}; name another output`);
    for (const place of placesBeside(file)) {
      if (same(await stat(place).catch(() => undefined)))
        throw new Error(`${path}: ${place} is the input; name another output`);
    }
    if (input !== "-" && placesBeside(await realpath(input)).includes(file))
      throw new Error(`${path}: it is what belongs beside the input ${name}; name another output`);
  }
}

/** Whether the new file can have the owner of the old one is asked before the work is done. */
async function refuseForeign({ path, file }: Claim, owner: Owner): Promise<void> {
  const trial = `${file}.lock.tmp`;
  const made = await createFresh(trial, path);
  try {
    await giveTo(made, owner);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const whose = `user ${owner.uid} and group ${owner.gid}`;
    throw new Error(`${path}: it belongs to ${whose}, and so would the new file (${code}); name another output`);
  } finally {
    await made.close();
    await rm(trial, { force: true });
  }
}
