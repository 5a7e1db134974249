/** The page of a run of training: its curves, what was taken for what, and the facts of its model card. */

import { basename } from "node:path";
import { documentOf, factCard, failureCard, figureOf, section } from "../../../page/document.ts";
import { escapeHtml, type TableColumn, table } from "../../../page/tables.ts";
import type { Curves, Matrix } from "../../../page/training.ts";
import type { LogRow, Trainer } from "../../../train/index.ts";
import { packageVersion } from "../package.ts";
import { factsOf, type RunFacts } from "./card.ts";
import type { KeptConfusion } from "./confusion.ts";
import { gradientCurves, lossCurves, metricCurves, metricNames, rateCurves } from "./curves.ts";
import type { TrainOptions } from "./options.ts";
import type { Prepared } from "./prepared.ts";

/** What the page says it was written by. */
export const GENERATOR = "bert-webgpu train";

/** How a run ended. */
export type RunEnd =
  | { readonly kind: "finished" }
  | { readonly kind: "interrupted" }
  | { readonly kind: "failed"; readonly message: string };

export interface RunPage {
  readonly kind: string;
  readonly options: TrainOptions;
  readonly prepared: Prepared;
  readonly trainer: Pick<Trainer, "step" | "totalSteps" | "history" | "best">;
  readonly confusion: KeptConfusion | undefined;
  readonly adapter: string;
  readonly end: RunEnd;
  readonly date: Date;
}

/** Rows of a table of steps; of more, those that lie evenly among them. */
const MOST_ROWS = 500;
/** Labels whose whole matrix is in a table; of more, the mistakes that are made most. */
const MOST_LABELS = 30;
const MOST_MISTAKES = 100;

/** @param script plain JavaScript that draws the figures */
export function trainPage(run: RunPage, script: string): string {
  const { kind, options, prepared, trainer, confusion, adapter, end } = run;
  const { history, best, step, totalSteps } = trainer;
  const facts = factsOf(options, prepared, trainer);
  const name = basename(options.output);
  const parts = [
    summary(run, facts),
    end.kind === "failed" && failureCard("It ended by an error", [escapeHtml(end.message)]),
    results(facts, best?.step),
    steps(history, best?.step),
    evaluations(facts, history, best?.step),
    confusion && mistakes(confusion),
    factCard("Data", facts.data),
    factCard("Options", facts.options),
  ];
  return documentOf({
    title: `${name}: bert-webgpu train ${kind}`,
    generator: GENERATOR,
    heading: name,
    parts: parts.filter((part) => typeof part === "string"),
    footer: "What was told of steps and evaluations is in this page, as JSON in the element <code>rows</code>.",
    data: { kind, adapter, step, steps: totalSteps, best, end, history, confusion },
    script,
  });
}

function summary({ kind, trainer, adapter, end, date }: RunPage, { from }: RunFacts): string {
  const { step, totalSteps, best } = trainer;
  const of = `${whole(step)} of ${whole(totalSteps)}`;
  const state = {
    finished: step < totalSteps ? `${of}, it ended early` : whole(step),
    interrupted: `${of}, then it was interrupted`,
    failed: `it failed; ${whole(totalSteps)} were to be taken`,
  }[end.kind];
  return factCard(`train ${kind}`, [
    ["began with", from],
    ["steps", state],
    ...(best && end.kind === "finished" ? [["weights", `those of step ${whole(best.step)}, the best evaluation`]] : []),
    ["adapter", adapter],
    ["bert-webgpu", packageVersion()],
    ["date", `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`],
  ]);
}

function results({ results }: RunFacts, best: number | undefined): string {
  if (!results) return section("Results", "It was not evaluated.", [], "");
  const which = results.step === best ? "best" : "last";
  return section(
    "Results",
    `Of the ${which} evaluation, after step ${whole(results.step)}.`,
    [],
    table(results.metrics, [
      { name: "metric", text: true, cell: ([name]) => name },
      { name: "value", cell: ([, value]) => value },
    ]),
  );
}

function steps(history: readonly LogRow[], best: number | undefined): string | undefined {
  const loss = lossCurves(history, best);
  if (!loss) return undefined;
  const rows = history.filter((row) => row.loss !== undefined);
  const every = Math.ceil(rows.length / MOST_ROWS);
  const shown = rows.filter((_, i) => (rows.length - 1 - i) % every === 0);
  return section(
    "Loss, gradient and learning rate",
    [
      "A loss is the mean since the one before it, the norm of the gradient is that of the step, before it was shortened.",
      ...(every > 1 ? [`The table has one row of ${every}, the page's JSON all ${whole(rows.length)}.`] : []),
    ].join(" "),
    [figureOf(loss, "loss over steps"), side([gradientCurves(history), rateCurves(history)])],
    long(
      table(shown, [
        ...placeColumns,
        { name: "loss", cell: (row) => fixed(row.loss) },
        { name: "gradient norm", cell: (row) => fixed(row.grad_norm) },
        { name: "learning rate", cell: (row) => row.learning_rate!.toExponential(2) },
      ]),
    ),
  );
}

function evaluations(
  { evaluated }: RunFacts,
  history: readonly LogRow[],
  best: number | undefined,
): string | undefined {
  if (evaluated.length === 0) return undefined;
  const names = metricNames(history);
  const metrics = names.map((name): TableColumn<LogRow> => ({ name, cell: (row) => fixed(row[`eval_${name}`]) }));
  return section(
    "Evaluations",
    best === undefined ? "" : `The best by the metric that decides was after step ${whole(best)}.`,
    [side(metricCurves(history, best))],
    long(table(evaluated, [...placeColumns, ...metrics])),
  );
}

function mistakes({ step, labels, counts }: KeptConfusion): string {
  const matrix: Matrix = { kind: "matrix", labels, counts };
  const few = labels.length <= MOST_LABELS;
  return section(
    "Confusion matrix",
    `What was taken for what in the evaluation after step ${whole(step)}: a row for each gold label, a column for each predicted one. A cell is the stronger, the larger its share of the row.${few ? "" : " The table has the mistakes that were made most."}`,
    [figureOf(matrix, "confusion matrix, gold labels by predicted ones")],
    long(few ? matrixTable(labels, counts) : mistakeTable(labels, counts)),
  );
}

function matrixTable(labels: readonly string[], counts: readonly (readonly number[])[]): string {
  return table(counts, [
    { name: "gold \\ predicted", text: true, cell: (_, gold) => labels[gold]! },
    ...labels.map((name, predicted) => ({ name, cell: (row: readonly number[]) => whole(row[predicted]!) })),
  ]);
}

function mistakeTable(labels: readonly string[], counts: readonly (readonly number[])[]): string {
  const mistakes = counts.flatMap((row, gold) => {
    const total = row.reduce((sum, count) => sum + count, 0);
    return row.map((count, predicted) => ({ gold, predicted, count, total }));
  });
  const made = mistakes.filter(({ gold, predicted, count }) => gold !== predicted && count > 0);
  return table(made.sort((a, b) => b.count - a.count).slice(0, MOST_MISTAKES), [
    { name: "gold", text: true, cell: ({ gold }) => labels[gold]! },
    { name: "predicted", text: true, cell: ({ predicted }) => labels[predicted]! },
    { name: "rows", cell: ({ count }) => whole(count) },
    { name: "of", cell: ({ total }) => whole(total) },
  ]);
}

const placeColumns: readonly TableColumn<LogRow>[] = [
  { name: "step", cell: (row) => whole(row.step!) },
  { name: "epoch", cell: (row) => row.epoch!.toFixed(2) },
];

/** Plots beside each other, where there is room. */
function side(figures: readonly (Curves | undefined)[]): string {
  const drawn = figures.flatMap((one) => (one ? [figureOf(one, `${one.label} over steps`)] : []));
  return `<div class="beside">${drawn.join("")}</div>`;
}

/** A table that scrolls in itself where it is long. */
const long = (table: string): string => `<div class="long">${table}</div>`;

const whole = (value: number): string => value.toLocaleString("en");

const fixed = (value: number | undefined | null): string => (Number.isFinite(value) ? value!.toFixed(4) : "-");
