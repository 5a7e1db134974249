/** Rows as they are read from a table and laid down in a file of results. */

export type RowValues = Readonly<Record<string, unknown>>;

interface Place {
  /** From 1; a header and blank lines do not count. */
  readonly number: number;
  /** Where it ends in a text file, from 1. */
  readonly line?: number;
  /** How much of the input lies up to its end, 0 to 1; 0 where that is unknown. */
  readonly share: number;
}

/** A row, or what is wrong with it. */
export type Row = Place &
  ({ readonly values: RowValues; readonly fault?: never } | { readonly fault: string; readonly values?: never });

export interface DataTable {
  /** For messages. */
  readonly name: string;
  /** Known before the first row, but for JSONL, where every row has its own. */
  readonly columns: readonly string[] | undefined;
  /** To be called once. Holds a chunk of the file at a time, of Parquet up to 16,384 rows. */
  rows(): AsyncIterable<Row>;
  /** Ends the reading early. */
  close(): Promise<void>;
}

/**
 * Of results. `vector` is a list of numbers, `json` anything nested: a cell of text in CSV and Parquet. `any` is told by
 * the values, once all are there.
 */
export interface Column {
  readonly name: string;
  readonly type: "integer" | "number" | "boolean" | "text" | "vector" | "json" | "any";
  /** The column of the input whose text it is. */
  readonly from?: string | undefined;
}

export interface Recovered {
  /** Bytes up to the end of the last whole row. */
  readonly end: number;
  /** Number of the last input row that is dealt with, 0 where none is. */
  readonly row: number;
}

export interface Layout {
  /** What a new file begins with. */
  readonly head: string;
  /** The bytes of an input row's result; `undefined` stands for a row that is left out. */
  encode(row: number, values: RowValues | undefined): string | Uint8Array;
  /** What of a file that an earlier run left can be kept. @throws Error when it is no such file */
  recover(path: string): Promise<Recovered>;
  /** Makes the rows at `partial` a complete file. @returns where it lies: there, or beside it where the rows are kept */
  complete(partial: string): Promise<string>;
}
