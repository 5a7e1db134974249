/** Rows of a data file, one at a time and in order, whatever its format. */

import { csvParser } from "./csv.ts";
import { type Line, LONGEST_LINE, readLines, withoutReturn } from "./lines.ts";
import { openParquet } from "./parquet.ts";
import type { DataTable, Row, RowValues } from "./rows.ts";
import { inputName } from "./source.ts";

export const INPUT_FORMATS = ["lines", "jsonl", "csv", "tsv", "parquet"] as const;
export type InputFormat = (typeof INPUT_FORMATS)[number];

export interface TableOptions {
  /** Default: by the file's extension. */
  readonly format?: InputFormat | undefined;
  /** Whether the first row of CSV and TSV names the columns; else they are named 1, 2, 3... Default true. */
  readonly header?: boolean | undefined;
  /** The columns to be read, where the format can leave others out. */
  readonly columns?: readonly string[] | undefined;
}

/** By extension: .jsonl .ndjson .csv .tsv .parquet .pq; everything else is lines of text. A .gz at the end is passed over. */
export function formatOf(path: string): InputFormat {
  const extension = /\.([a-z0-9]+)$/i.exec(path.replace(/\.gz$/i, ""))?.[1]?.toLowerCase() ?? "";
  const known: Readonly<Record<string, InputFormat>> = {
    jsonl: "jsonl",
    ndjson: "jsonl",
    json: "jsonl",
    csv: "csv",
    tsv: "tsv",
    parquet: "parquet",
    pq: "parquet",
  };
  return known[extension] ?? "lines";
}

/**
 * - lines: every line is a row, an empty one too; its one column is the first that is wanted, else `text`
 * - jsonl: an object per line
 * - csv: RFC 4180
 * - tsv: cells between tabs, quotes are ordinary characters, as in GLUE
 * - parquet
 * @param path `-` is standard input
 * @throws Error when the file as a whole cannot be read
 */
export async function openTable(path: string, options: TableOptions = {}): Promise<DataTable> {
  const format = options.format ?? formatOf(path);
  if (format === "parquet") return openParquet(path, options.columns);
  const name = inputName(path);
  const chunks = readLines(path);
  const close = async (): Promise<void> => {
    await chunks.return(undefined);
  };
  const lines = each(chunks);
  if (format === "lines") {
    const column = options.columns?.[0] ?? "text";
    return { name, columns: [column], rows: () => plainRows(lines, column), close };
  }
  if (format === "jsonl") return { name, columns: undefined, rows: () => jsonRows(lines), close };

  const records = format === "csv" ? csvRecords(lines, name) : tabRecords(lines);
  const first = await next(records);
  if (!first) throw new Error(`${name}: it is empty, a header was expected`);
  if (first.fault !== undefined) throw new Error(`${name}: line ${first.line}: ${first.fault}`);
  const header = options.header ?? true;
  const columns = header ? first.cells : first.cells.map((_, i) => String(i + 1));
  return { name, columns, rows: () => recordRows(columns, records, header ? undefined : first), close };
}

async function* plainRows(lines: AsyncIterable<Line>, column: string): AsyncGenerator<Row> {
  for await (const { number, text, share } of lines) {
    const place = { number, line: number, share };
    yield text === undefined ? { ...place, fault: NOT_UTF8 } : { ...place, values: { [column]: withoutReturn(text) } };
  }
}

async function* jsonRows(lines: AsyncIterable<Line>): AsyncGenerator<Row> {
  let number = 0;
  for await (const { number: line, text, share } of lines) {
    if (text !== undefined && text.trim() === "") continue;
    const place = { number: ++number, line, share };
    yield { ...place, ...(text === undefined ? { fault: NOT_UTF8 } : parseObject(text)) };
  }
}

function parseObject(text: string): { values: RowValues } | { fault: string } {
  try {
    const value: unknown = JSON.parse(text);
    if (value !== null && typeof value === "object" && !Array.isArray(value)) return { values: value as RowValues };
    return { fault: `it must be an object, it is ${Array.isArray(value) ? "an array" : JSON.stringify(value)}` };
  } catch (error) {
    return { fault: `not valid JSON (${(error as Error).message})` };
  }
}

/** A record before its cells have names. */
type Cells = { readonly line: number; readonly share: number } & (
  | { readonly cells: readonly string[]; readonly fault?: never }
  | { readonly fault: string }
);

async function* tabRecords(lines: AsyncIterable<Line>): AsyncGenerator<Cells> {
  for await (const { number: line, text, share } of lines) {
    if (text === undefined) yield { line, share, fault: NOT_UTF8 };
    else if (withoutReturn(text) !== "") yield { line, share, cells: withoutReturn(text).split("\t") };
  }
}

async function* csvRecords(lines: AsyncIterable<Line>, name: string): AsyncGenerator<Cells> {
  const parser = csvParser();
  /** The line on which a record began that goes on. */
  let begun: number | undefined;
  let length = 0;
  const unclosed = (): Error =>
    new Error(`${name}: line ${begun}: a quote is opened that is never closed; where the record ends cannot be told`);
  for await (const { number: line, text, share } of lines) {
    if (text === undefined) {
      if (parser.open) throw new Error(`${name}: line ${line}: ${NOT_UTF8}, within a quoted cell`);
      yield { line, share, fault: NOT_UTF8 };
      continue;
    }
    if (!parser.open && withoutReturn(text) === "") continue;
    begun ??= line;
    length += text.length;
    if (length > LONGEST_LINE) throw unclosed();
    try {
      const cells = parser.feed(text);
      if (!cells) continue;
      yield { line, share, cells };
    } catch (error) {
      yield { line, share, fault: (error as Error).message };
    }
    begun = undefined;
    length = 0;
  }
  if (parser.open) throw unclosed();
}

async function* recordRows(
  columns: readonly string[],
  records: AsyncIterable<Cells>,
  first: Cells | undefined,
): AsyncGenerator<Row> {
  let number = 0;
  const rowOf = ({ line, share, ...record }: Cells): Row => {
    const place = { number: ++number, line, share };
    if (record.fault !== undefined) return { ...place, fault: record.fault };
    const { cells } = record;
    if (cells.length !== columns.length) {
      return {
        ...place,
        fault: `it has ${plural(cells.length, "cell")}, ${plural(columns.length, "column")} expected`,
      };
    }
    return { ...place, values: Object.fromEntries(columns.map((column, i) => [column, cells[i]])) };
  };
  if (first) yield rowOf(first);
  for await (const record of records) yield rowOf(record);
}

const NOT_UTF8 = "it is not UTF-8";

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;

async function* each<T>(batches: AsyncIterable<readonly T[]>): AsyncGenerator<T> {
  for await (const batch of batches) yield* batch;
}

/** The next item, without ending the iteration as a loop would. */
async function next<T>(items: AsyncIterator<T>): Promise<T | undefined> {
  const { done, value } = await items.next();
  return done ? undefined : value;
}
