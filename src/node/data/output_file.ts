/**
 * A file of results that is whole at any moment. Rows go to OUT.partial; OUT appears, by renaming, when the run ends or
 * is interrupted. Beside it OUT.progress.json says of which input and command an unfinished run is.
 */

import { type FileHandle, open, readFile, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import type { Layout } from "./layout.ts";
import type { RowValues } from "./table.ts";

/** What a run is of, by name; two runs may share a file when all of it is the same. */
export type Identity = Readonly<Record<string, string | number | boolean | null>>;

export interface OutputOptions {
  readonly layout: Layout;
  readonly identity: Identity;
  /** Go on with an unfinished run, where there is one. */
  readonly resume?: boolean | undefined;
  /** Replace what is there, once the new file is complete. */
  readonly force?: boolean | undefined;
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
  /** Ends it early: what is there is published, and a later run may go on. Without a row nothing is left. */
  interrupt(): Promise<void>;
}

interface SavedProgress {
  readonly identity: Identity;
  readonly stage: "running" | "interrupted" | "finished";
  /** Input rows dealt with when this was written, for people: the rows themselves tell where to go on. */
  readonly rows: number;
}

/** Bytes and milliseconds that are held back at most before they are written. */
const HELD_BYTES = 1 << 18;
const HELD_TIME = 1000;

/** @throws Error when the file exists, or when what there is belongs to another run */
export async function openOutput(path: string, options: OutputOptions): Promise<OutputFile> {
  const { layout, identity } = options;
  const partial = `${path}.partial`;
  const record = `${path}.progress.json`;
  let row = 0;
  let end = 0;

  async function save(stage: SavedProgress["stage"]): Promise<void> {
    const progress: SavedProgress = { identity, stage, rows: row };
    await writeFile(`${record}.tmp`, `${JSON.stringify(progress, null, 2)}\n`);
    await rename(`${record}.tmp`, record);
  }

  const earlier = options.resume ? await readProgress(record) : undefined;
  if (earlier) {
    refuseOther(path, earlier.identity, identity);
    if (!(await exists(partial))) {
      if (earlier.stage === "finished") {
        await rm(record);
        return completed(path, earlier.rows);
      }
      if (earlier.stage === "interrupted" && (await exists(path))) await rename(path, partial);
    }
  } else if (!options.force) {
    await refuseExisting(path, partial, options.resume ?? false);
  }

  let file: FileHandle;
  if (earlier && (await exists(partial))) {
    const found = await layout.recover(partial);
    row = found.row;
    end = found.end;
    await truncate(partial, end);
    file = await open(partial, "r+");
  } else {
    file = await open(partial, "w");
  }
  await save("running");
  const begun = row;

  let held: (string | Uint8Array)[] = [];
  let heldBytes = 0;
  let flushed = performance.now();
  function hold(bytes: string | Uint8Array): void {
    if (bytes.length === 0) return;
    held.push(bytes);
    heldBytes += bytes.length;
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
  async function close(): Promise<void> {
    await flush();
    await file.sync();
    await file.close();
  }
  if (end === 0) hold(layout.head);

  return {
    path,
    begun,
    complete: false,
    async write(number, values) {
      hold(layout.encode(number, values));
      row = number;
      if (heldBytes > HELD_BYTES || performance.now() - flushed > HELD_TIME) await flush();
    },
    async finish() {
      await close();
      await save("finished");
      await layout.publish(partial, path);
      await rm(partial, { force: true });
      await rm(record);
    },
    async interrupt() {
      await close();
      if (row === 0) {
        await rm(partial, { force: true });
        await rm(record);
        return;
      }
      await save("interrupted");
      await layout.publish(partial, path);
    },
  };
}

function completed(path: string, rows: number): OutputFile {
  const nothing = async (): Promise<void> => {};
  return { path, begun: rows, complete: true, write: nothing, finish: nothing, interrupt: nothing };
}

async function refuseExisting(path: string, partial: string, resume: boolean): Promise<void> {
  if (await exists(path)) {
    const why = resume
      ? "it exists, without the record of an unfinished run beside it: it is complete, or not from here"
      : "it exists; --resume goes on with an unfinished run";
    throw new Error(`${path}: ${why}; --force replaces it`);
  }
  const left = await stat(partial).catch(() => undefined);
  if (left && left.size > 0) {
    const remedy = resume ? "its record is missing" : "--resume goes on with it";
    throw new Error(`${partial}: an unfinished run left it; ${remedy}, --force starts anew`);
  }
}

function refuseOther(path: string, was: Identity, is: Identity): void {
  const names = [...new Set([...Object.keys(was), ...Object.keys(is)])].filter((name) => was[name] !== is[name]);
  if (names.length === 0) return;
  const differences = names.map((name) => `${name} was ${told(was[name])}, now ${told(is[name])}`);
  throw new Error(`${path}: the unfinished run is another one: ${differences.join("; ")}. --force starts anew`);
}

const told = (value: Identity[string] | undefined): string =>
  value === undefined ? "not given" : JSON.stringify(value);

async function readProgress(path: string): Promise<SavedProgress | undefined> {
  if (!(await exists(path))) return undefined;
  try {
    const { identity, stage, rows } = JSON.parse(await readFile(path, "utf8")) as Partial<SavedProgress>;
    if (identity && stage && rows !== undefined) return { identity, stage, rows };
  } catch {
    // said below
  }
  throw new Error(`${path}: damaged, or not from here; --force starts anew`);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
