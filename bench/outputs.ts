/** The files of results: whether they can be written is asked before anything is measured. */

import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { reportFailure } from "../src/node/cli/failure.ts";
import { printRaw } from "../src/node/cli/output.ts";
import { type Claim, claimOutput, writeOutput } from "../src/node/data/claim.ts";
import { harmless } from "../src/node/terminal.ts";
import { htmlReport } from "./html/report.ts";
import { openReport, type Report } from "./report.ts";
import type { Row } from "./rows.ts";

/** Of a command at work: its files are its own. */
export interface OutputOptions {
  /** `true` for standard output. */
  readonly json: Claim | true | undefined;
  readonly html?: Claim | "-";
  /** All columns in the terminal. */
  readonly wide?: boolean;
}

/**
 * Makes the file this run's own, until the process exits.
 * @param option `--json`
 * @param force what is there may be replaced
 * @param inputs which may not
 * @throws RangeError where its folder is not there, where it is a folder, and where writing is not permitted; Error where
 *   it is there, is no regular file, or another run writes it
 */
export async function claimResults(
  option: string,
  file: string,
  {
    force = false,
    inputs = [],
  }: { readonly force?: boolean | undefined; readonly inputs?: readonly string[] | undefined },
): Promise<Claim> {
  const folder = dirname(resolve(file));
  const there = await stat(file).catch(() => undefined);
  if (there?.isDirectory()) throw new RangeError(`${option} ${file} is a folder: name a file in it`);
  await access(there ? file : `${folder}/`, constants.W_OK).catch(({ code }: NodeJS.ErrnoException) => {
    if (code === "ENOENT" || code === "ENOTDIR")
      throw new RangeError(`${option} ${file}: there is no folder ${folder}; make it first`);
    throw new RangeError(`${option} ${file}: writing it is not permitted (${code}); name another file`);
  });
  return claimOutput(file, {
    inputs,
    refuse: force ? undefined : new RangeError(`${option} ${file} exists; --force replaces it`),
  });
}

/** Lets `work` fill a report, which is written whatever ends it, Ctrl-C and SIGTERM included. One without a row leaves files alone. */
export async function withReport(
  { json, html, wide }: OutputOptions,
  work: (report: Report) => Promise<void>,
): Promise<void> {
  const report = openReport(json, (line) => console.log(harmless(line)), wide);
  let written: Promise<void> | undefined;
  const write = async (): Promise<void> => {
    if (report.rows.length > 0) written ??= writeResults(report, html);
    await written;
  };
  const stop = (code: number): void => {
    write().then(
      () => process.exit(code),
      (error: unknown) => process.exit(reportFailure(error)),
    );
  };
  let stopped = false;
  // Ctrl-C comes twice, from the terminal and from the command that started us: the second must not end the writing
  const on = (signal: NodeJS.Signals, code: number): void => {
    process.removeAllListeners(signal).on(signal, () => {
      if (!stopped) stop(code);
      stopped = true;
    });
  };
  on("SIGINT", 130);
  on("SIGTERM", 143);
  try {
    await work(report);
  } finally {
    await write();
  }
}

export async function writeHtml(file: Claim | "-", rows: readonly Row[]): Promise<void> {
  const page = await htmlReport(rows);
  if (file === "-") await printRaw(`${page}\n`);
  else await writeOutput(file, (put) => put(page));
}

/**
 * Writes what a run has measured. A file that fails is no reason to lose the other.
 * @throws Error with every reason
 */
export async function writeResults(report: Report, html: OutputOptions["html"]): Promise<void> {
  const results = await Promise.allSettled([
    report.finish(),
    html === undefined ? undefined : writeHtml(html, report.rows),
  ]);
  const reasons = results.flatMap((result) => (result.status === "rejected" ? [(result.reason as Error).message] : []));
  if (reasons.length > 0) throw new Error(`results are not written: ${reasons.join("; ")}`);
}
