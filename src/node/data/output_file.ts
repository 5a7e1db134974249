/**
 * A file of results that is whole at any moment. Rows go to OUT.partial; OUT appears, by renaming, when the run ends or
 * is interrupted. Beside it OUT.progress.json says of which input and command an unfinished run is.
 */

import { constants, type FileHandle, lstat, rename, rm, stat } from "node:fs/promises";
import { type Claim, claimOutput, finishedRecord, PARTIAL, RECORD } from "./claim.ts";
import { createFresh, exists, naming, openKept, publish, writeWhole } from "./fresh_file.ts";
import type { Layout, RowValues } from "./rows.ts";

/** What a run is of, by name; two runs may share a file when all of it is the same. */
export type Identity = Readonly<Record<string, string | number | boolean | null>>;

export interface OutputOptions {
  readonly layout: Layout;
  /** Asked for once the output is known to be free, where it takes time. */
  readonly identity: Identity | (() => Promise<Identity>);
  /** Go on with an unfinished run, where there is one. */
  readonly resume?: boolean | undefined;
  /** Replace what is there, once the new file is complete. */
  readonly force?: boolean | undefined;
  /** Told of an unfinished run that `force` throws away. */
  readonly warn?: ((message: string) => void) | undefined;
}

export interface OutputFile {
  readonly path: string;
  /** Number of the last input row that an earlier run dealt with. */
  readonly begun: number;
  /** An earlier run had finished, and nothing is left to do. */
  readonly complete: boolean;
  /** Appends the result of a row; `undefined` for one that is left out. Rows come in their order. */
  write(row: number, values: RowValues | undefined): Promise<void>;
  /** Ends the run: all rows are there. */
  finish(): Promise<void>;
  /**
   * Ends it early: what is there is published, unless a file is to be replaced, and a later run may go on. Without a row
   * nothing is left. After a failed write all stays as it is.
   * @returns the file with the rows so far, `undefined` where there are none
   */
  interrupt(): Promise<string | undefined>;
}

/** What lies at the name of the output: nothing, a file that the run will replace, or the rows of the run so far. */
type Place = "nothing" | "older" | "rows";

interface SavedProgress {
  readonly identity: Identity;
  readonly stage: "running" | "interrupted" | "finished";
  /** Input rows dealt with when this was written, for people: the rows themselves tell where to go on. */
  readonly rows: number;
  readonly place?: Place;
  /** Of the output, where it has the rows of the run, and from just before it has all of them. */
  readonly bytes?: number;
  readonly ino?: number;
}

/** Bytes and milliseconds that are held back at most before they are written. */
const HELD_BYTES = 1 << 18;
const HELD_TIME = 1000;

/**
 * @param output a path, or what `claimOutput` made of it; it is given up when the run ends, and when this fails
 * @throws Error when the file exists, when another job writes it, or when what there is belongs to another run
 */
export async function openOutput(output: string | Claim, options: OutputOptions): Promise<OutputFile> {
  const claim = typeof output === "string" ? await claimOutput(output) : output;
  try {
    return await open(claim, options);
  } catch (error) {
    await claim.release();
    throw error;
  }
}

async function open(claim: Claim, options: OutputOptions): Promise<OutputFile> {
  const { layout, resume = false, force = false, warn } = options;
  const { path } = claim;
  const partial = claim.file + PARTIAL;
  const record = claim.file + RECORD;
  let row = 0;
  let end = 0;
  let place: Place = claim.owner ? "older" : "nothing";

  // what can be refused at once, before the identity is asked for
  const earlier = await readProgress(record, force);
  if (!earlier || !resume) await refuseExisting(claim, earlier, options);
  const identity = typeof options.identity === "function" ? await options.identity() : options.identity;

  async function save(stage: SavedProgress["stage"], whole?: string): Promise<void> {
    const { size: bytes, ino } = whole === undefined ? {} : await stat(whole);
    const progress = { identity, stage, rows: row, place, bytes, ino };
    await writeWhole(record, `${JSON.stringify(progress, null, 2)}\n`);
  }
  async function complete(): Promise<void> {
    const { size, mtimeMs } = await stat(claim.file);
    const finished: Finished = { identity, rows: row, size, mtimeMs };
    await writeWhole(finishedRecord(claim.file), `${JSON.stringify(finished)}\n`);
    await rm(record, { force: true });
  }

  let goesOn = false;
  if (resume && earlier) {
    const different = differences(earlier.identity, identity);
    if (different && !force)
      throw new Error(`${path}: the unfinished run is another one: ${different}. --force starts anew`);
    goesOn = !different;
    if (different) warn?.(`${path}: ${runOf(earlier)} is thrown away: ${different}`);
  } else if (resume && claim.owner) {
    const done = await readFinished(claim.file);
    const different = done ? differences(done.identity, identity) : "its record is missing";
    if (done && !different && (await isUntouched(claim.file, done))) {
      await claim.release();
      return completed(path, done.rows);
    }
    const why = different
      ? `the run that is complete there is another one: ${different}`
      : "it has changed since it was completed";
    if (!force) throw new Error(`${path}: ${why}; --force replaces it`);
  }
  if (goesOn && earlier) {
    place = earlier.place ?? (claim.owner && earlier.stage === "interrupted" ? "rows" : place);
    const there = await stat(claim.file).catch(() => undefined);
    const left = await exists(partial);
    if (there && earlier.stage === "finished" && (earlier.ino === undefined ? !left : there.ino === earlier.ino)) {
      row = earlier.rows;
      await rm(partial, { force: true });
      await complete();
      await claim.release();
      return completed(path, row);
    }
    if (there && place === "rows" && !left) {
      if (earlier.bytes !== undefined && there.size !== earlier.bytes) {
        const was = `it had ${earlier.bytes} bytes when the run was interrupted, now ${there.size}`;
        throw new Error(`${path}: ${was}; --force starts anew`);
      }
      await layout.recover(claim.file); // what is not from here stays where it is
      await rename(claim.file, partial);
      place = "nothing";
    } else if (!there) place = "nothing";
    else if (place === "nothing") {
      if (!force) throw new Error(`${path}: it has come since the run began; --force with --resume replaces it`);
      place = "older";
    }
  }

  let file: FileHandle;
  if (goesOn && (await exists(partial))) {
    file = await openKept(partial);
    try {
      const found = await layout.recover(partial);
      row = found.row;
      end = found.end;
      await file.truncate(end);
    } catch (error) {
      await file.close();
      throw error;
    }
  } else {
    file = await createFresh(partial, partial, claim.owner);
  }
  const begun = row;
  try {
    await save("running");
  } catch (error) {
    await file.close();
    if (begun === 0) await rm(partial, { force: true });
    throw error;
  }

  let held: (string | Uint8Array)[] = [];
  let heldBytes = 0;
  let flushed = performance.now();
  let failed = false;
  function hold(bytes: string | Uint8Array): void {
    if (bytes.length === 0) return;
    held.push(bytes);
    heldBytes += bytes.length;
  }
  /** After a failure nothing more is written: the rows up to there are whole, and the first error is the one to tell. */
  async function step<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await naming(partial, work);
    } catch (error) {
      failed = true;
      throw error;
    }
  }
  async function flush(): Promise<void> {
    const bytes = Buffer.concat(held.map((part) => (typeof part === "string" ? Buffer.from(part) : part)));
    held = [];
    heldBytes = 0;
    flushed = performance.now();
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await file.write(bytes, done, bytes.length - done, end);
      done += bytesWritten;
      end += bytesWritten;
    }
  }
  const close = (): Promise<void> =>
    step(async () => {
      await flush();
      await file.sync();
      await file.close();
    });
  async function publishRows(stage: "finished" | "interrupted"): Promise<void> {
    if (place === "nothing" && (await exists(claim.file)))
      throw new Error(`${path}: it has come since the run began; the results are kept, --resume --force replaces it`);
    const whole = await layout.complete(partial);
    if (stage === "interrupted") place = "rows";
    await save(stage, whole); // before: a kill in between would leave rows that nobody knows of
    await publish(whole, claim.file, claim.owner);
  }
  if (end === 0) hold(layout.head);

  return {
    path,
    begun,
    complete: false,
    async write(number, values) {
      hold(layout.encode(number, values));
      row = number;
      if (heldBytes > HELD_BYTES || performance.now() - flushed > HELD_TIME) await step(flush);
    },
    async finish() {
      await close();
      await step(async () => {
        await publishRows("finished");
        await rm(partial, { force: true });
        await complete();
      });
      await claim.release();
    },
    async interrupt() {
      try {
        if (failed) {
          await file.close().catch(() => {});
          return (await exists(partial)) ? partial : undefined;
        }
        await close();
        if (row === 0) {
          await rm(partial, { force: true });
          await rm(record, { force: true });
          return undefined;
        }
        if (place === "older") {
          await save("interrupted");
          return partial;
        }
        await publishRows("interrupted");
        return path;
      } finally {
        await claim.release();
      }
    },
  };
}

function completed(path: string, rows: number): OutputFile {
  const nothing = async (): Promise<undefined> => undefined;
  return { path, begun: rows, complete: true, write: nothing, finish: nothing, interrupt: nothing };
}

/** What would be lost is named before it is refused, and with `force` before it goes. */
async function refuseExisting(
  { path, file, owner }: Claim,
  earlier: SavedProgress | undefined,
  { resume = false, force = false, warn }: OutputOptions,
): Promise<void> {
  const partial = file + PARTIAL;
  const left = await lstat(partial).catch(() => undefined);
  const unfinished = earlier && (left || owner) ? runOf(earlier) : undefined;
  if (force) {
    if (unfinished) warn?.(`${path}: ${unfinished} is thrown away`);
    else if (left && left.size > 0) warn?.(`${partial}: what an unfinished run left is thrown away`);
    return;
  }
  if (unfinished) throw new Error(`${path}: it exists as ${unfinished}; --resume goes on with it, --force replaces it`);
  if (left && (left.size > 0 || !left.isFile())) {
    const remedy = resume ? "its record is missing" : "--resume goes on with it";
    throw new Error(`${partial}: an unfinished run left it; ${remedy}, --force starts anew`);
  }
  if (owner && !resume) {
    throw new Error(`${path}: it exists; --resume goes on with an unfinished run; --force replaces it`);
  }
  if (owner && !(await exists(finishedRecord(file)))) {
    const why = "it exists, without the record of a run beside it: it is complete, or not from here";
    throw new Error(`${path}: ${why}; --force replaces it`);
  }
}

const runOf = ({ rows, stage, identity }: SavedProgress): string =>
  `an unfinished run (${stage === "running" ? "begun at" : "up to"} row ${rows}, command ${told(identity.command)})`;

/** `undefined` where there are none. */
function differences(was: Identity, is: Identity): string | undefined {
  const names = [...new Set([...Object.keys(was), ...Object.keys(is)])].filter((name) => was[name] !== is[name]);
  return names.map((name) => `${name} was ${told(was[name])}, now ${told(is[name])}`).join("; ") || undefined;
}

const told = (value: Identity[string] | undefined): string =>
  value === undefined ? "not given" : JSON.stringify(value);

async function readProgress(path: string, force: boolean): Promise<SavedProgress | undefined> {
  const progress = await readRecord<SavedProgress>(path);
  if (progress === undefined) return undefined;
  const { identity, stage, rows } = progress;
  if (typeof identity === "object" && identity && stage && rows !== undefined) return progress as SavedProgress;
  if (force) return undefined;
  throw new Error(`${path}: damaged, or not from here; --force starts anew`);
}

/** Of a complete output: what it is of, and how to tell that it is still that file. */
interface Finished {
  readonly identity: Identity;
  readonly rows: number;
  readonly size: number;
  readonly mtimeMs: number;
}

async function readFinished(file: string): Promise<Finished | undefined> {
  const done = await readRecord<Finished>(finishedRecord(file));
  return done?.identity && done.rows !== undefined ? (done as Finished) : undefined;
}

async function isUntouched(file: string, { size, mtimeMs }: Finished): Promise<boolean> {
  const now = await stat(file);
  return now.size === size && now.mtimeMs === mtimeMs;
}

/** `undefined` where there is none, an empty one where it cannot be read as JSON. */
async function readRecord<T>(path: string): Promise<Partial<T> | undefined> {
  if (!(await exists(path))) return undefined;
  const file = await openKept(path, constants.O_RDONLY);
  try {
    const value: unknown = JSON.parse(await file.readFile("utf8"));
    return typeof value === "object" && value ? value : {};
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  } finally {
    await file.close();
  }
}
