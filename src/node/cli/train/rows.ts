/** Rows of several files, each made what is learnt from; whatever is wrong with any of them is told together. */

import type { DataTable, RowValues } from "../../data/rows.ts";
import { InputError } from "../failure.ts";
import { openInput, placeOf } from "../file_rows.ts";
import type { TrainOptions } from "./options.ts";

/** Faults that are told; of more, how many. */
const MOST = 10;

export interface Faults {
  add(where: string, what: string): void;
  /** @throws InputError with all of them */
  end(): void;
}

export function collectFaults(): Faults {
  const told: string[] = [];
  let count = 0;
  return {
    add(where, what) {
      if (count++ < MOST) told.push(`${where}: ${what}`);
    },
    end() {
      if (count === 0) return;
      const more = count > MOST ? `; and ${(count - MOST).toLocaleString("en")} more like these` : "";
      throw new InputError(`${told.join("; ")}${more}`);
    },
  };
}

/** A row, and how messages call it. */
export interface Placed<Row> {
  readonly row: Row;
  readonly where: string;
}

/** The columns of a file; of JSON Lines those of its first row. */
export async function columnNames({ format, delimiter, header }: TrainOptions, path: string): Promise<string[]> {
  if (path === "-")
    throw new InputError("the columns are told by the file: standard input is not read twice; name a file");
  const options = { input: path, header, ...(format && { format }), ...(delimiter !== undefined && { delimiter }) };
  const table = await openInput(options, [], true);
  try {
    if (table.columns) return [...table.columns];
    for await (const { values } of table.rows()) return Object.keys(values ?? {});
    return [];
  } finally {
    await table.close();
  }
}

export type OpenTable = (path: string) => Promise<DataTable>;

export const tableOf =
  (
    { format, delimiter, header }: Pick<TrainOptions, "format" | "delimiter" | "header">,
    columns: readonly string[],
  ): OpenTable =>
  (input) =>
    openInput({ input, header, ...(format && { format }), ...(delimiter !== undefined && { delimiter }) }, columns);

/**
 * All rows of all files.
 * @param rowOf throws an InputError or a RangeError for a row that cannot be used; undefined: it is passed over
 * @throws InputError with all rows that cannot be used, and for a file without one that can
 */
export async function readRows<Row>(
  paths: readonly string[],
  open: OpenTable,
  rowOf: (values: RowValues) => Row | undefined,
): Promise<Placed<Row>[]> {
  const faults = collectFaults();
  const rows: Placed<Row>[] = [];
  for await (const placed of eachRow(paths, open, rowOf, faults)) rows.push(placed);
  faults.end();
  return rows;
}

export async function* eachRow<Row>(
  paths: readonly string[],
  open: OpenTable,
  rowOf: (values: RowValues) => Row | undefined,
  faults: Faults,
): AsyncGenerator<Placed<Row>> {
  for (const path of paths) {
    const table = await open(path);
    let some = false;
    try {
      for await (const found of table.rows()) {
        const where = `${table.name}: ${placeOf(found)}`;
        some = true;
        if (found.fault !== undefined) {
          faults.add(where, found.fault);
          continue;
        }
        let row: Row | undefined;
        try {
          row = rowOf(found.values);
        } catch (error) {
          if (!(error instanceof InputError || error instanceof RangeError)) throw error;
          faults.add(where, error.message);
        }
        if (row !== undefined) yield { row, where };
      }
    } finally {
      await table.close();
    }
    if (!some) faults.add(table.name, "it has no rows");
  }
}
