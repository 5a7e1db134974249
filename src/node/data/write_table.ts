/** Rows to a file, whatever its format: what the command line's `--output` writes, for programs. */

import { requireKnown } from "../../files/options.ts";
import { claimOutput, writeOutput } from "./claim.ts";
import { layoutOf, type OutputFormat, outputFormatOf } from "./layout.ts";
import type { Column, RowValues } from "./rows.ts";

export interface WriteOptions {
  /** Default: by the file's extension, .jsonl, .csv, .parquet or .npy. */
  readonly format?: OutputFormat | undefined;
  /** Default: those of the first row, typed arrays as `vector`, others as `any`. JSON Lines have whatever a row has. */
  readonly columns?: readonly Column[] | undefined;
  /** Replace a file that is there, once the new one is complete. Default false. */
  readonly force?: boolean | undefined;
}

/**
 * Writes rows as they come. Each has its number, from 1, in a column `row` before its own; .npy has the first column of
 * vectors alone. Until the file is complete, whoever looks finds what was there before; when anything fails, nothing is left.
 * @returns how many rows it wrote
 * @throws Error for a file that is there, a column that is not declared, vectors of unlike lengths in .npy; TypeError for an unknown option; what `rows` throws
 */
export async function writeTable(
  path: string,
  rows: Iterable<RowValues> | AsyncIterable<RowValues>,
  options: WriteOptions = {},
): Promise<number> {
  requireKnown("writeTable", options, { format: 1, columns: 1, force: 1 });
  const { format = outputFormatOf(path), columns: declared, force = false } = options;
  const refuse = force ? undefined : new Error(`${path}: it is there already; force: true replaces it`);
  const claim = await claimOutput(path, { refuse });
  let columns = declared;
  let layout = layoutOf("jsonl", []);
  let number = 0;
  try {
    await writeOutput(
      claim,
      async (write) => {
        for await (const values of rows) {
          number++;
          columns ??= Object.entries(values).map(([name, value]) => ({
            name,
            type: isVector(value) ? "vector" : "any",
          }));
          if (number === 1) {
            layout = layoutOf(format, columns);
            await write(layout.head);
          }
          await write(layout.encode(number, laidOut(values, columns, `${path}: row ${number}`, format)));
        }
        if (number > 0) return;
        layout = layoutOf(format, columns ?? []);
        await write(layout.head);
      },
      (file) => layout.complete(file),
    );
    return number;
  } finally {
    await claim.release();
  }
}

const isVector = (value: unknown): boolean => ArrayBuffer.isView(value) && !(value instanceof DataView);

/** @throws Error for a column that would be lost */
function laidOut(values: RowValues, columns: readonly Column[], place: string, format: OutputFormat): RowValues {
  const known = new Map(columns.map((column) => [column.name, column]));
  const lost = Object.keys(values).filter((name) => !known.has(name));
  if (lost.length > 0 && format !== "jsonl") {
    const names = (of: Iterable<string>): string => [...of].map((name) => JSON.stringify(name)).join(", ");
    throw new Error(`${place} has ${names(lost)}; the columns are ${names(known.keys())}: give columns`);
  }
  // numbers of single precision are written as such
  const vectors = Object.entries(values).filter(
    ([name, value]) => known.get(name)?.type === "vector" && Array.isArray(value),
  );
  return {
    ...values,
    ...Object.fromEntries(vectors.map(([name, value]) => [name, Float32Array.from(value as number[])])),
  };
}
