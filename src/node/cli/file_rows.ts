/** Rows of a data file through a task, in order; what is wrong with one does not touch the others. */

import type { BertModel } from "../../bert/model.ts";
import type { Job, Plan } from "../../bert/tasks/plan.ts";
import { streamPlan } from "../../bert/tasks/stream.ts";
import { nameList } from "../data/columns.ts";
import type { DataTable, Row, RowValues } from "../data/rows.ts";
import { openTable } from "../data/table.ts";
import { InputError } from "./failure.ts";
import type { InputOptions } from "./file_options.ts";
import type { Session } from "./session.ts";

/** Of a row: what the task made of it, or what is wrong with it. */
export type Outcome<Input, Result> = { readonly row: Row } & (
  | { readonly input: Input; readonly result: Result; readonly fault?: never }
  | { readonly fault: string }
);

/**
 * Opens `--input` and sees to it that it has the columns.
 * @param others whether all others are read as well
 * @throws Error naming those that it has
 */
export function openInput(
  {
    input,
    format,
    delimiter,
    header,
  }: Pick<InputOptions, "format" | "delimiter" | "header"> & { readonly input: string },
  columns: readonly string[],
  others = false,
): Promise<DataTable> {
  return openTable(input, { format, delimiter, header, columns, others });
}

/** @throws InputError when the row has no such column, or no text in it */
export function textIn(values: RowValues, column: string): string {
  const value = values[column];
  if (typeof value === "string") return value;
  const name = JSON.stringify(column);
  if (value === undefined) throw new InputError(`no column ${name}; it has ${nameList(Object.keys(values))}`);
  throw new InputError(`column ${name} is ${value === null ? "null" : `a ${typeof value}`}, it must be text`);
}

/**
 * @param at does something of which warnings may come, and says with them which row they are of
 * @param inputOf throws an InputError for a row that cannot be used
 * @param begun number of the last row that is to be passed over
 */
export async function* rowOutcomes<Input, Result>(
  { at }: Pick<Session, "at">,
  model: BertModel,
  plan: Plan<Input, Result>,
  table: DataTable,
  inputOf: (values: RowValues) => Input,
  { begun = 0, signal }: { readonly begun?: number; readonly signal?: AbortSignal } = {},
): AsyncGenerator<Outcome<Input, Result>> {
  const guarded: Plan<Row, Outcome<Input, Result>> = {
    wanted: plan.wanted,
    prepare(row) {
      if (row.fault !== undefined) return without(row, row.fault);
      let input: Input;
      let job: Job<Result>;
      try {
        input = inputOf(row.values);
        job = at(`${table.name}: ${placeOf(row)}`, () => plan.prepare(input, row.number - 1));
      } catch (error) {
        if (!(error instanceof InputError || error instanceof RangeError)) throw error;
        return without(row, error.message);
      }
      return {
        ...job,
        finish: (outputs) => ({ row, input, result: job.finish(outputs) }),
        fail: ({ message }) => ({ row, fault: message }),
      };
    },
  };
  yield* streamPlan(model, guarded, after(begun, table.rows()), { signal });
}

/** `row 3 (line 5)`, where the two differ. */
export function placeOf({ number, line }: Row): string {
  return line === undefined || line === number ? `row ${number}` : `row ${number} (line ${line})`;
}

function without(row: Row, fault: string): Job<{ row: Row; fault: string }> {
  return { sequences: [], finish: () => ({ row, fault }) };
}

/** The rows behind one. */
export async function* after(begun: number, rows: AsyncIterable<Row>): AsyncGenerator<Row> {
  for await (const row of rows) if (row.number > begun) yield row;
}
