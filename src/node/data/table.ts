/** Rows of a data file, one at a time and in order, whatever its format. */

import { requireKnown, requireList } from "../../files/options.ts";
import { type ChosenColumn, chooseColumns } from "./columns.ts";
import { keyTwice } from "./json_keys.ts";
import { type Line, NOT_UTF8, readLines } from "./lines.ts";
import { openParquet } from "./parquet.ts";
import { readRecords } from "./records.ts";
import type { DataTable, Row, RowValues } from "./rows.ts";
import { inputName } from "./source.ts";

export const INPUT_FORMATS = ["lines", "jsonl", "csv", "tsv", "parquet"] as const;
export type InputFormat = (typeof INPUT_FORMATS)[number];

export interface TableOptions {
  /** Default: by the file's extension. */
  readonly format?: InputFormat | undefined;
  /** Of CSV and TSV, one UTF-16 unit. Default: of CSV what a `sep=` line says, else what is found; of TSV a tab. */
  readonly delimiter?: string | undefined;
  /** Whether the first row of CSV and TSV names the columns; else they are named 1, 2, 3... Default true. */
  readonly header?: boolean | undefined;
  /** Columns that must be there; of CSV and TSV a number, from 1, stands for one where no column has it for a name. */
  readonly columns?: readonly string[] | undefined;
  /** Whether all others are read as well, where the format can leave them out. Default: when no `columns` are given. */
  readonly others?: boolean | undefined;
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
 * Lines end with \n, \r\n or \r.
 * - lines: every line is a row, an empty one too; its one column is the first that is wanted, else `text`
 * - jsonl: an object per line
 * - csv: RFC 4180, with any delimiter
 * - tsv: cells between tabs, quotes are ordinary characters, as in GLUE
 * - parquet
 * @param path `-` is standard input
 * @throws Error when the file as a whole cannot be read, and for columns that are missing or there more than once; TypeError
 * for an unknown option
 */
export async function openTable(path: string, options: TableOptions = {}): Promise<DataTable> {
  const { format = formatOf(path), delimiter, columns: wanted = [], others = wanted.length === 0 } = options;
  requireKnown("openTable", options, { format: 1, delimiter: 1, header: 1, columns: 1, others: 1 });
  requireList("columns", wanted);
  const numbered = format === "csv" || format === "tsv";
  if (delimiter !== undefined && !numbered)
    throw new Error(
      `${inputName(path)}: --delimiter is for CSV and TSV, it is read as ${format}; --format csv reads it so`,
    );
  const table =
    format === "parquet" ? await openParquet(path, others ? undefined : wanted) : await openText(path, format, options);
  try {
    if (!table.columns) return { ...table, rows: () => table.rows([]) };
    const chosen = chooseColumns(table.name, table.columns, wanted, { others, numbered });
    return { ...table, rows: () => table.rows(chosen) };
  } catch (error) {
    await table.close();
    throw error;
  }
}

/** Of CSV and TSV the columns are yet to be chosen. */
interface OpenedTable extends Omit<DataTable, "rows"> {
  rows(chosen: readonly ChosenColumn[]): AsyncIterable<Row>;
}

async function openText(
  path: string,
  format: Exclude<InputFormat, "parquet">,
  { header = true, columns: wanted = [], others = wanted.length === 0, delimiter }: TableOptions,
): Promise<OpenedTable> {
  const name = inputName(path);
  const chunks = readLines(path);
  const close = async (): Promise<void> => {
    await chunks.return(undefined);
  };
  const lines = each(chunks);
  if (format === "lines") {
    const column = wanted[0] ?? "text";
    return { name, columns: [column], rows: () => plainRows(lines, column), close };
  }
  if (format === "jsonl")
    return { name, columns: undefined, rows: () => jsonRows(lines, others ? undefined : wanted), close };
  const quotes = format === "csv";
  try {
    return { name, close, ...(await readRecords(lines, name, { quotes, delimiter, header, wanted })) };
  } catch (error) {
    await close();
    throw error;
  }
}

async function* plainRows(lines: AsyncIterable<Line>, column: string): AsyncGenerator<Row> {
  for await (const { number, text, share } of lines) {
    const place = { number, line: number, share };
    yield text === undefined ? { ...place, fault: NOT_UTF8 } : { ...place, values: { [column]: text } };
  }
}

async function* jsonRows(lines: AsyncIterable<Line>, wanted: readonly string[] | undefined): AsyncGenerator<Row> {
  let number = 0;
  for await (const { number: line, text, share } of lines) {
    if (text !== undefined && text.trim() === "") continue;
    const place = { number: ++number, line, share };
    yield { ...place, ...(text === undefined ? { fault: NOT_UTF8 } : parseObject(text, wanted)) };
  }
}

/** Where a file is one list, or an object over many lines. */
const PER_LINE = "JSON Lines have an object on each line";

function parseObject(text: string, wanted: readonly string[] | undefined): { values: RowValues } | { fault: string } {
  try {
    const value: unknown = JSON.parse(text);
    if (value !== null && typeof value === "object" && !Array.isArray(value)) {
      const twice = keyTwice(text, wanted ?? Object.keys(value));
      if (twice === undefined) return { values: value as RowValues };
      return { fault: `it has ${JSON.stringify(twice)} twice; rename one` };
    }
    const found = Array.isArray(value) ? "an array" : JSON.stringify(value);
    return { fault: `it must be an object, it is ${found}; ${PER_LINE}` };
  } catch (error) {
    return { fault: `not valid JSON (${(error as Error).message}); ${PER_LINE}` };
  }
}

async function* each<T>(batches: AsyncIterable<readonly T[]>): AsyncGenerator<T> {
  for await (const batch of batches) yield* batch;
}
