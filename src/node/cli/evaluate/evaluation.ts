/** What an evaluation is: labelled data, what the model is asked about each row, and the figures at the end. */

import type { Averages, Scores } from "../../../bert/metrics/f1.ts";
import type { Plan } from "../../../bert/tasks/plan.ts";
import type { Pretrained, TaskOptions } from "../../../bert/tasks/pretrained.ts";
import type { DataTable, RowValues } from "../../data/rows.ts";
import { InputError } from "../failure.ts";
import type { InputOptions } from "../file_options.ts";

export interface EvaluationOptions extends Omit<InputOptions, "column"> {
  readonly input: string;
  readonly column?: string;
  readonly pairColumn?: string;
  readonly labelColumn?: string;
  readonly scheme: "lenient" | "strict";
  readonly maxAnswerLen: number;
  readonly impossible: boolean;
}

export interface Report extends Partial<Averages> {
  /** Without those left out. */
  readonly rows: number;
  /** In the order in which they are shown. */
  readonly figures: Readonly<Record<string, number>>;
  readonly classes?: ReadonlyMap<string, Scores>;
  readonly confusion?: { readonly labels: readonly string[]; readonly counts: readonly (readonly number[])[] };
  /** Gold and predicted score of each row. */
  readonly points?: readonly (readonly [gold: number, predicted: number])[];
}

/** An evaluation at work on rows, each with its gold answer. */
export interface Measuring<Gold, Result> {
  readonly plan: Plan<Gold, Result>;
  /** @throws InputError for a row that cannot be used */
  readonly inputOf: (values: RowValues) => Gold;
  readonly add: (input: Gold, result: Result) => void;
  /** Called once, when there was a row. */
  readonly report: (warn: (message: string) => void) => Report;
}

/** With the types of its rows left out, which whoever runs it need not know. */
export interface Evaluation {
  readonly table: DataTable;
  readonly begin: (pretrained: Pretrained, options: TaskOptions) => Measuring<unknown, unknown>;
}

export function evaluation<Gold, Result>(
  table: DataTable,
  begin: (pretrained: Pretrained, options: TaskOptions) => Measuring<Gold, Result>,
): Evaluation {
  return { table, begin: begin as Evaluation["begin"] };
}

export interface WithGold<Input, Gold> {
  readonly input: Input;
  readonly gold: Gold;
}

/** A plan for rows that carry their gold answer. */
export function withGold<Input, Gold, Result>(plan: Plan<Input, Result>): Plan<WithGold<Input, Gold>, Result> {
  return mapped(
    plan,
    ({ input }: WithGold<Input, Gold>) => input,
    (result) => result,
  );
}

export function mapped<From, Input, Between, Result>(
  plan: Plan<Input, Between>,
  input: (from: From) => Input,
  result: (between: Between) => Result,
): Plan<From, Result> {
  return {
    wanted: plan.wanted,
    prepare(from, index) {
      const { sequences, rows, finish } = plan.prepare(input(from), index);
      return { sequences, rows, finish: (outputs) => result(finish(outputs)) };
    },
  };
}

/** A label as data sets write it: its name, in whatever case, or its number. @throws InputError for any other */
export function labelOf(value: unknown, labels: readonly string[], column: string): string {
  const text = String(value).trim();
  const named = labels.find((label) => label === text) ?? labels.find((label) => same(label, text));
  const numbered = /^\d+$/.test(text) ? labels[Number(text)] : undefined;
  const label = named ?? numbered;
  if (label !== undefined) return label;
  const known = labels.map((name, i) => `${i} ${name}`).join(", ");
  throw new InputError(`column ${JSON.stringify(column)} is ${JSON.stringify(value)}, the model's labels are ${known}`);
}

const same = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();
