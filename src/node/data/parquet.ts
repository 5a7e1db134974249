/** Parquet files, read with hyparquet a slice of a row group at a time. */

import { isUtf8 } from "node:buffer";
import { openFile } from "../folder.ts";
import type { DataTable, Row } from "./table.ts";

/** Rows decoded at once. A column chunk without a page index is read again for each slice, so not too few. */
const SLICE = 16_384;

/**
 * @param wanted the columns to be decoded; all where it is left out. Those that the file lacks are passed over.
 * @throws Error when it is no Parquet file
 */
export async function openParquet(path: string, wanted?: readonly string[]): Promise<DataTable> {
  if (path === "-") throw new Error("Parquet is read from its end: give a file, standard input cannot be sought");
  const file = await openFile(path);
  try {
    // loaded when needed: most runs read text
    const [{ parquetScan, parquetMetadataAsync, parquetSchema }, { compressors }] = await Promise.all([
      import("hyparquet"),
      import("hyparquet-compressors"),
    ]);
    const source = {
      byteLength: file.size,
      async slice(start: number, end: number = file.size): Promise<ArrayBuffer> {
        const bytes = await file.read(start, end - start);
        return bytes.buffer as ArrayBuffer; // openFile reads into a buffer of that very size
      },
    };
    const metadata = await parquetMetadataAsync(source);
    const columns = parquetSchema(metadata).children.map(({ element }) => element.name);
    const columnsRead = wanted ? columns.filter((column) => wanted.includes(column)) : columns;
    const parsers = { stringFromBytes: textOf };
    const scan = await parquetScan({ file: source, metadata, columns: columnsRead, compressors, parsers });
    const total = Number(metadata.num_rows);
    return {
      name: path,
      columns,
      async *rows(): AsyncGenerator<Row> {
        try {
          for (const { rowStart, rowEnd } of slices(scan.ranges)) {
            const data = await Promise.all(columnsRead.map((column) => scan.readColumn({ column, rowStart, rowEnd })));
            for (let row = rowStart; row < rowEnd; row++) {
              const cells = data.map((column) => plain(column[row - rowStart]));
              const place = { number: row + 1, share: (row + 1) / total };
              const bad = cells.indexOf(NOT_UTF8);
              if (bad >= 0) yield { ...place, fault: `column ${JSON.stringify(columnsRead[bad])} is not UTF-8` };
              else yield { ...place, values: Object.fromEntries(columnsRead.map((column, i) => [column, cells[i]])) };
            }
          }
        } catch (error) {
          throw new Error(`${path}: ${(error as Error).message}`, { cause: error });
        } finally {
          await file.close();
        }
      },
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw new Error(`${path}: not a Parquet file that can be read (${(error as Error).message})`, { cause: error });
  }
}

function* slices(
  ranges: readonly { rowStart: number; rowEnd: number }[],
): Generator<{ rowStart: number; rowEnd: number }> {
  for (const { rowStart, rowEnd } of ranges) {
    for (let begin = rowStart; begin < rowEnd; begin += SLICE) {
      yield { rowStart: begin, rowEnd: Math.min(begin + SLICE, rowEnd) };
    }
  }
}

/** Stands for text that is none. */
const NOT_UTF8: unique symbol = Symbol("not UTF-8");

function textOf(bytes: Uint8Array | undefined): string | typeof NOT_UTF8 | undefined {
  if (!bytes) return undefined;
  return isUtf8(bytes) ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8") : NOT_UTF8;
}

/** 64-bit integers as numbers where they are exact. */
function plain(value: unknown): unknown {
  return typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}
