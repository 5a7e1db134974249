/** Records of CSV and TSV: cells of rows, once it is known what parts them. */

import { type ChosenColumn, columnNames } from "./columns.ts";
import { csvParser } from "./csv.ts";
import { delimiterSearch, SEPARATOR_LINE } from "./delimiter.ts";
import { type Line, LONGEST_LINE, NOT_UTF8 } from "./lines.ts";
import type { Row } from "./rows.ts";

interface RecordOptions {
  /** In CSV they may enclose cells, in TSV they are ordinary characters. */
  readonly quotes: boolean;
  readonly delimiter: string | undefined;
  readonly header: boolean;
  /** Columns that the header should have. */
  readonly wanted: readonly string[];
}

export interface Records {
  readonly columns: readonly string[];
  /** To be called once. */
  rows(chosen: readonly ChosenColumn[]): AsyncIterable<Row>;
}

/** Reads as far as the first record. @throws Error when there is none, or it cannot be told what parts its cells */
export async function readRecords(lines: AsyncGenerator<Line>, name: string, options: RecordOptions): Promise<Records> {
  const { quotes, header } = options;
  const { delimiter, all } = await findDelimiter(lines, name, options);
  const records = quotes ? quotedRecords(all, name, delimiter) : plainRecords(all, delimiter);
  const first = await next(records);
  if (!first) throw new Error(`${name}: it is empty, a ${header ? "header" : "row"} was expected`);
  if (first.fault !== undefined) throw new Error(`${name}: line ${first.line}: ${first.fault}`);
  const columns = columnNames(header ? first.cells : first.cells.map(() => ""));
  const rest = header ? records : chain([first], records);
  return { columns, rows: (chosen) => recordRows(rest, columns.length, chosen, delimiter) };
}

/** @returns what parts cells, and all lines but for one that only says that */
async function findDelimiter(
  lines: AsyncGenerator<Line>,
  name: string,
  { quotes, delimiter: given, header, wanted }: RecordOptions,
): Promise<{ readonly delimiter: string; readonly all: AsyncIterable<Line> }> {
  let line = await next(lines);
  while (line?.text === "") line = await next(lines);
  const said = SEPARATOR_LINE.exec(line?.text ?? "")?.[1];
  if (said !== undefined) return { delimiter: given ?? said, all: lines };
  const seen = line ? [line] : [];
  let delimiter = given ?? (quotes ? undefined : "\t");
  if (delimiter === undefined) {
    const search = delimiterSearch(name, header ? wanted : []);
    for (;;) {
      delimiter = search.feed(line);
      if (delimiter !== undefined) break;
      line = await next(lines);
      if (line) seen.push(line);
    }
  }
  return { delimiter, all: chain(seen, lines) };
}

/** A record before its cells have names. */
type Cells = { readonly line: number; readonly share: number } & (
  | { readonly cells: readonly string[]; readonly fault?: never }
  | { readonly fault: string; readonly cells?: never }
);

async function* plainRecords(lines: AsyncIterable<Line>, delimiter: string): AsyncGenerator<Cells> {
  for await (const { number: line, text, share } of lines) {
    if (text === undefined) yield { line, share, fault: NOT_UTF8 };
    else if (text !== "") yield { line, share, cells: text.split(delimiter) };
  }
}

async function* quotedRecords(lines: AsyncIterable<Line>, name: string, delimiter: string): AsyncGenerator<Cells> {
  const parser = csvParser(delimiter);
  /** The line on which a record began that goes on. */
  let begun: number | undefined;
  let length = 0;
  const unclosed = (): Error => {
    const remedy = `close it, or read quotes as text with --format tsv --delimiter ${JSON.stringify(delimiter)}`;
    return new Error(
      `${name}: line ${begun}: a quote is opened that is never closed; where the record ends cannot be told: ${remedy}`,
    );
  };
  for await (const { number: line, text, end, share } of lines) {
    if (text === undefined) {
      if (parser.open) throw new Error(`${name}: line ${line}: ${NOT_UTF8}, within a quoted cell`);
      yield { line, share, fault: NOT_UTF8 };
      continue;
    }
    if (!parser.open && text === "") continue;
    begun ??= line;
    length += text.length + end.length;
    if (length > LONGEST_LINE) throw unclosed();
    try {
      const cells = parser.feed(text, end);
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
  records: AsyncIterable<Cells>,
  expected: number,
  chosen: readonly ChosenColumn[],
  delimiter: string,
): AsyncGenerator<Row> {
  let number = 0;
  for await (const { line, share, cells, fault } of records) {
    const place = { number: ++number, line, share };
    if (cells?.length === expected) {
      yield { ...place, values: Object.fromEntries(chosen.map(({ name, index }) => [name, cells[index]])) };
    } else {
      yield { ...place, fault: fault ?? misfit(cells.length, expected, delimiter) };
    }
  }
}

function misfit(cells: number, columns: number, delimiter: string): string {
  const remedy = cells > columns ? `; a cell that holds ${JSON.stringify(delimiter)} must be in quotes` : "";
  return `it has ${plural(cells, "cell")}, ${plural(columns, "column")} expected${remedy}`;
}

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;

async function* chain<T>(first: Iterable<T>, rest: AsyncIterable<T>): AsyncGenerator<T> {
  yield* first;
  yield* rest;
}

/** The next item, without ending the iteration as a loop would. */
async function next<T>(items: AsyncIterator<T>): Promise<T | undefined> {
  const { done, value } = await items.next();
  return done ? undefined : value;
}
