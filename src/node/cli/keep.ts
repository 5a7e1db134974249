/** `--keep`: columns of the input that go into the results as they are. */

import { InvalidArgumentError } from "commander";
import { csvParser } from "../data/csv.ts";
import type { OutputFormat } from "../data/layout.ts";
import type { Column, DataTable, RowValues } from "../data/rows.ts";
import { InputError } from "./failure.ts";

/** Names, or all that there are. */
export type Keep = readonly string[] | "all";

export interface Kept {
  readonly columns: readonly Column[];
  /** @param values of the input's row @throws InputError for a number that is not what the file says */
  of(values: RowValues): RowValues;
  /** Those that no row had so far. */
  missing(): string[];
}

/** A record of CSV, so that a name may hold a comma; a column called all is `"all"`. */
export function keepList(text: string): Keep {
  if (text === "all") return "all";
  let names: string[] | undefined;
  try {
    names = csvParser(",").feed(text, "");
  } catch {
    // as if it were not there
  }
  if (names?.every((name) => name !== "")) return [...new Set(names)];
  throw new InvalidArgumentError('It must be names of columns separated by commas, with commas in "quotes", or all.');
}

/**
 * A column that the results repeat under its own name is there once; another one with a name of theirs gets `input_` put
 * before it.
 * @throws InputError for a format that has no room for them
 */
export function keptColumns(
  keep: Keep | undefined,
  table: DataTable,
  results: readonly Column[],
  format: OutputFormat,
): Kept {
  if (keep === undefined) return { columns: [], of: () => ({}), missing: () => [] };
  if (format === "npy") {
    throw new InputError(
      "--keep: .npy holds vectors alone, its rows are those of the input; use .jsonl, .csv or .parquet",
    );
  }
  const known = keep === "all" ? table.columns : keep;
  if (!known && format !== "jsonl") {
    throw new InputError(
      `--keep all: JSON Lines do not say beforehand which columns there are, and ${format} must; name them, or write .jsonl`,
    );
  }
  const fixed = known && keptNames(known, results);
  const found = new Set<string>();
  return {
    columns: [...(fixed?.values() ?? [])].map((name) => ({ name, type: "any" })),
    of(values) {
      const names = fixed ?? keptNames(Object.keys(values), results);
      return Object.fromEntries(
        Array.from(names, ([column, name]) => {
          const value = Object.hasOwn(values, column) ? values[column] : undefined;
          if (value !== undefined) found.add(column);
          return [name, plain(value, column, table.columns === undefined)];
        }),
      );
    },
    // whether other formats have them, is known before the first row
    missing: () => (table.columns ? [] : [...(fixed?.keys() ?? [])].filter((column) => !found.has(column))),
  };
}

/** @returns by the names of columns, what they are called in the results */
function keptNames(columns: readonly string[], results: readonly Column[]): Map<string, string> {
  const own = new Map<string, string | undefined>([
    ["row", undefined],
    ...results.map(({ name, from }) => [name, from] as const),
  ]);
  const kept = columns.filter((column) => own.get(column) !== column);
  const taken = new Set([...own.keys(), ...kept]);
  return new Map(
    kept.map((column) => {
      let name = column;
      if (own.has(column)) {
        do name = `input_${name}`;
        while (taken.has(name));
        taken.add(name);
      }
      return [column, name];
    }),
  );
}

/**
 * As JSON has it: NaN is null, a date is text, and so is a whole number of Parquet beyond 2^53.
 * @param json whether it has come as JSON, where such a number is read as another one
 */
function plain(value: unknown, column: string, json: boolean): unknown {
  if (value === undefined || value === null) return null;
  if (typeof value === "string") return value;
  return JSON.parse(
    JSON.stringify(value, (_, item: unknown) => {
      if (typeof item === "bigint") return Number.isSafeInteger(Number(item)) ? Number(item) : String(item);
      if (json && Number.isInteger(item) && !Number.isSafeInteger(item) && Math.abs(item as number) < 2 ** 64) {
        const what = `column ${JSON.stringify(column)} has a whole number beyond 2^53, about ${String(item)}`;
        throw new InputError(`${what}, which would not be kept exactly; make it text`);
      }
      return ArrayBuffer.isView(item) ? Array.from(item as Uint8Array) : item;
    }),
  ) as unknown;
}
