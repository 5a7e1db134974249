/** How rows are laid down in a file that may be cut off at any byte, and found again in it. */

import { createReadStream } from "node:fs";
import { harmless } from "../terminal.ts";
import { csvLine } from "./csv.ts";
import { npyLayout } from "./npy.ts";
import { parquetLayout } from "./parquet_writer.ts";
import type { Column, Layout, RowValues } from "./rows.ts";

export const OUTPUT_FORMATS = ["jsonl", "csv", "parquet", "npy"] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** @param columns of the results; the number of the row comes before them, but not in .npy, which has the rows in place */
export function layoutOf(format: OutputFormat, columns: readonly Column[]): Layout {
  if (format === "csv") return csvLayout(columns);
  if (format === "npy") return npyLayout(columns);
  return format === "parquet" ? parquetLayout(columns, jsonlLayout()) : jsonlLayout();
}

/** By extension: .jsonl .ndjson .json .csv .parquet .pq .npy. @throws Error for any other */
export function outputFormatOf(path: string): OutputFormat {
  const extension = /\.([a-z0-9]+)$/i.exec(path)?.[1]?.toLowerCase() ?? "";
  const known: Readonly<Record<string, OutputFormat>> = {
    jsonl: "jsonl",
    ndjson: "jsonl",
    json: "jsonl",
    csv: "csv",
    parquet: "parquet",
    pq: "parquet",
    npy: "npy",
  };
  const format = known[extension];
  if (format) return format;
  throw new Error(
    `${path}: its name tells no format; end it in .jsonl, .csv, .parquet or .npy, or give --output-format`,
  );
}

/** An object per line; the number of its row comes first, so that a line tells how far the run had come. */
function jsonlLayout(): Layout {
  return {
    head: "",
    encode(row, values) {
      if (!values) return "";
      const others = JSON.stringify(plainValues(values)).slice(1); // in an object, a name such as "1" would come before row
      return `${harmless(`{"row":${row}${others === "}" ? "" : ","}${others}`)}\n`;
    },
    async recover(path) {
      let end = 0;
      let row = 0;
      await scan(path, false, (line, after) => {
        row = rowNumber(/^\{"row":(\d+)[,}]/.exec(line), path);
        end = after;
      });
      return { end, row };
    },
    complete: async (partial) => partial,
  };
}

function csvLayout(columns: readonly Column[]): Layout {
  const names = ["row", ...columns.map(({ name }) => name)];
  return {
    head: csvLine(names),
    encode: (row, values) => (values ? csvLine([String(row), ...columns.map(({ name }) => cellOf(values[name]))]) : ""),
    async recover(path) {
      let end = 0;
      let row = 0;
      await scan(path, true, (line, after) => {
        if (end > 0) row = rowNumber(/^(\d+)(,|$)/.exec(line), path);
        end = after;
      });
      return { end, row };
    },
    complete: async (partial) => partial,
  };
}

/** Numbers of single precision in 9 digits, which tell any two apart; a double's 17 would be twice as long. */
function plainValues(values: RowValues): RowValues {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, plainValue(value)]));
}

function plainValue(value: unknown): unknown {
  if (value instanceof Float32Array) return Array.from(value, (x) => Number(x.toPrecision(9)));
  return ArrayBuffer.isView(value) ? Array.from(value as Int8Array) : value;
}

function cellOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(plainValue(value)) : String(value);
}

function rowNumber(match: RegExpExecArray | null, path: string): number {
  if (match) return Number(match[1]);
  throw new Error(
    `${path}: it has a line without the number of its row, so it was not written here; --force starts anew`,
  );
}

const NEWLINE = 0x0a;
const QUOTE = 0x22;

/**
 * Finds whole lines. In quoted files those that end within quotes go on.
 * @param found gets the first characters of each line, and the number of bytes up to its end
 */
async function scan(path: string, quoted: boolean, found: (line: string, after: number) => void): Promise<void> {
  let position = 0;
  let start = "";
  let open = false;
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    let begin = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at];
      if (quoted && byte === QUOTE) open = !open;
      if (byte !== NEWLINE || open) continue;
      found(start + head(chunk, begin, at, start), position + at + 1);
      begin = at + 1;
      start = "";
    }
    start += head(chunk, begin, chunk.length, start);
    position += chunk.length;
  }
}

/** As much of a line as holds a row's number. */
function head(chunk: Buffer, begin: number, end: number, before: string): string {
  return chunk.toString("latin1", begin, Math.min(end, begin + 40 - before.length));
}
