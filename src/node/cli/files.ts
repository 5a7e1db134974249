/** `--input FILE --output OUT`: a task over a data file, with progress, Ctrl-C and going on later. */

import type { Plan } from "../../bert/tasks/plan.ts";
import type { Pretrained } from "../../bert/tasks/pretrained.ts";
import { layoutOf, type OutputFormat, outputFormatOf } from "../data/layout.ts";
import { type Identity, type OutputFile, openOutput } from "../data/output_file.ts";
import type { Column, DataTable, Layout, RowValues } from "../data/rows.ts";
import type { CommonOptions } from "./command.ts";
import { InputError } from "./failure.ts";
import type { FileOptions } from "./file_options.ts";
import { type Outcome, openInput, placeOf, rowOutcomes, textIn } from "./file_rows.ts";
import { fingerprintFile } from "./fingerprint.ts";
import { catchInterruption } from "./interruption.ts";
import { type Kept, keptColumns } from "./keep.ts";
import { print, printRaw, say, warnings } from "./output.ts";
import { barsOn, durationText, progress, progressBar, rateText } from "./progress_bar.ts";
import type { Session } from "./session.ts";

export interface FileJob<Input, Result> extends RowsJob<Input, Result> {
  readonly plan: (pretrained: Pretrained) => Plan<Input, Result>;
}

/** Less how it is computed. */
export interface RowsJob<Input, Result> {
  /** The command's name. */
  readonly command: string;
  /** All that decides what the results are, so that no other run goes on with this one's file. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Columns that are read as text. */
  readonly read: readonly string[];
  /** @param texts of the columns `read` */
  readonly input: (texts: readonly string[]) => Input;
  /** Of the results, by which `values` are named. */
  readonly columns: readonly Column[];
  readonly values: (input: Input, result: Result) => Readonly<Record<string, unknown>>;
  /** The line or lines on stdout, where there is no --output. */
  readonly show: (input: Input, result: Result) => string;
}

type Options = CommonOptions & FileOptions & { readonly input: string };

/** Whether a command's rows come from a file. */
export function fromFile<T extends FileOptions>(options: T): options is T & { readonly input: string } {
  return options.input !== undefined;
}

/** @throws InputError for a row that cannot be used, unless they are skipped; all before it are answered */
export function answerFile<Input, Result>(
  session: Session,
  options: Options,
  job: FileJob<Input, Result>,
): Promise<void> {
  return answerRows(session, options, job, (pretrained, table, inputOf, place) =>
    rowOutcomes(session, pretrained.model, job.plan(pretrained), table, inputOf, place),
  );
}

/** What becomes of the rows behind the one that is numbered `begun`. */
export type Outcomes<Input, Result, Loaded> = (
  loaded: Loaded,
  table: DataTable,
  inputOf: (values: RowValues) => Input,
  place: { readonly begun: number; readonly signal: AbortSignal },
) => AsyncIterable<Outcome<Input, Result>>;

/** @throws as `answerFile` */
export async function answerRows<Input, Result, Loaded>(
  session: Session<Loaded>,
  options: Options,
  job: RowsJob<Input, Result>,
  outcomesOf: Outcomes<Input, Result, Loaded>,
): Promise<void> {
  const notes = warnings();
  const { keep } = options;
  const named = keep === undefined || keep === "all" ? [] : keep;
  const table = await openInput(options, [...job.read, ...named], keep === "all");
  let output: OutputFile | undefined;
  let kept: Kept;
  try {
    const format = outputFormat(options);
    kept = keptColumns(keep, table, job.columns, format);
    output = await openResults(
      session,
      options,
      { ...job, columns: [...kept.columns, ...job.columns] },
      format,
      notes.warn,
    );
  } catch (error) {
    await table.close();
    throw error;
  }
  if (output?.complete) {
    await table.close();
    say(`${output.path} is complete already (${output.begun} rows), nothing is left to do`);
    return;
  }
  const begun = output?.begun ?? 0;
  if (begun > 0) say(`going on after row ${begun}`);
  const interruption = catchInterruption();
  const start = performance.now();
  const stream = barsOn({ json: options.json, answers: !output || options.output === "-" });
  let bar = progressBar(undefined, stream);
  let [done, skipped] = [begun, 0];
  try {
    const { pretrained } = await session.start();
    const inputOf = (values: RowValues): Input => {
      kept.of(values); // what it throws is said of the row
      return job.input(job.read.map((column) => textIn(values, column)));
    };
    const { signal } = interruption;
    for await (const outcome of outcomesOf(pretrained, table, inputOf, { begun, signal })) {
      const { row, fault } = outcome;
      if (done === begun) bar = progressBar({ rows: begun, share: begun > 0 ? row.share : 0 }, stream);
      if (fault !== undefined) {
        const what = `${table.name}: ${placeOf(row)}: ${fault}`;
        if (options.onError === "stop") throw new InputError(`${what}; --on-error skip leaves such rows out`);
        notes.warn(what);
        skipped++;
        await output?.write(row.number, undefined);
      } else if (output)
        await output.write(row.number, { ...kept.of(row.values!), ...job.values(outcome.input, outcome.result) });
      else await print(job.show(outcome.input, outcome.result));
      done = row.number;
      bar.at(done, row.share);
    }
    bar.end();
    if (done === 0) notes.warn(`${table.name}: it has no rows`);
    else for (const column of kept.missing()) notes.warn(`no row has a column ${JSON.stringify(column)} to keep`);
    notes.end();
    await output?.finish();
    if (output || skipped > 0) say(`${summary(done - begun, skipped, start)}${arrow(output)}`);
    if (skipped > 0 && skipped === done) {
      output = undefined;
      throw new InputError(`${table.name}: none of its rows could be used`);
    }
  } catch (error) {
    bar.end();
    notes.end();
    // what ended the run is the error to tell, not what came of it
    const left = await output?.interrupt().catch(() => undefined);
    if (left !== undefined && done > 0) say(`${keptText(left, output?.path, done)}`);
    if (!interruption.signal.aborted) throw error;
    process.exitCode = interruption.exitCode();
  } finally {
    interruption.end();
    await table.close();
  }
}

async function openResults<Input, Result, Loaded>(
  session: Session<Loaded>,
  options: Options,
  { command, settings, read, columns }: RowsJob<Input, Result>,
  format: OutputFormat,
  warn: (message: string) => void,
): Promise<OutputFile | undefined> {
  const path = options.output;
  if (path === undefined) return undefined;
  const layout = layoutOf(format, columns);
  if (path === "-") return standardOutput(layout, format);
  const { keep, delimiter, header } = options;
  // only what is given, so that a run that was begun before there were such options can go on
  const more = { ...(keep && { keep }), ...(delimiter !== undefined && { delimiter }) };
  const flat = Object.entries({ ...settings, columns: read, header, ...more }).map(
    ([name, value]): [string, Identity[string]] => [
      name,
      typeof value === "object" ? JSON.stringify(value) : ((value as Identity[string] | undefined) ?? null),
    ],
  );
  const { model, dtype, batchInvariant, resume, force } = options;
  const identity = async (): Promise<Identity> => {
    const hashing = progress(`hashing ${options.input}`, barsOn(options));
    const input = await fingerprintFile(options.input, hashing.at).finally(hashing.end);
    const files = await session.fingerprints();
    return { command, input, model, dtype, batchInvariant, format, ...files, ...Object.fromEntries(flat) };
  };
  return openOutput(session.output ?? path, { layout, identity, resume, force, warn });
}

function outputFormat({ output = "-", outputFormat }: FileOptions): OutputFormat {
  return outputFormat ?? (output === "-" ? "jsonl" : outputFormatOf(output));
}

/** The rows as they come; who reads them keeps what has arrived. */
function standardOutput({ head, encode }: Layout, format: OutputFormat): OutputFile {
  if (format !== "jsonl" && format !== "csv")
    throw new InputError(
      `-: ${format} is put together at the end and needs a file; standard output takes jsonl or csv`,
    );
  let begun = false;
  const put = async (text: string | Uint8Array): Promise<void> => {
    if (!begun && head) await printRaw(head);
    begun = true;
    if (text.length > 0) await printRaw(text);
  };
  return {
    path: "standard output",
    begun: 0,
    complete: false,
    write: (row, values) => put(encode(row, values)),
    finish: () => put(""),
    interrupt: async () => undefined,
  };
}

function keptText(kept: string, output: string | undefined, rows: number): string {
  if (kept === output) return `${kept} has the results up to row ${rows}; --resume goes on`;
  return `${output} is as it was before; ${kept} has results up to row ${rows} at most; --resume goes on`;
}

function summary(rows: number, skipped: number, start: number): string {
  const seconds = (performance.now() - start) / 1000;
  const left = skipped > 0 ? `, ${skipped.toLocaleString("en")} of them left out` : "";
  return `${rows.toLocaleString("en")} rows in ${durationText(seconds)} (${rateText(rows / seconds)}/s)${left}`;
}

const arrow = (output: OutputFile | undefined): string => (output ? ` -> ${output.path}` : "");
