/** The history of a run as lines over its steps. */

import type { Curves, Line } from "../../../page/training.ts";
import type { LogRow } from "../../../train/index.ts";
import { figuresOf } from "./card.ts";

/** Points of a line; of more, means of neighbours are drawn. */
const MOST_POINTS = 600;
/** Up to so many, each is seen. */
const MOST_DOTS = 60;

/** A line through the values of those rows that have a number there. */
export function lineOf(name: string, rows: readonly LogRow[], numberOf: (row: LogRow) => number | undefined): Line {
  const found = rows.flatMap((row) => {
    const value = numberOf(row);
    return Number.isFinite(value) ? [[row.step!, value!] as const] : []; // JSON has no other numbers, nor has an axis
  });
  const size = Math.ceil(found.length / MOST_POINTS);
  const steps: number[] = [];
  const values: number[] = [];
  for (let at = 0; at < found.length; at += size) {
    const some = found.slice(at, at + size);
    steps.push(some.at(-1)![0]);
    values.push(some.reduce((sum, [, value]) => sum + value, 0) / some.length);
  }
  return { name, steps, values, dots: steps.length <= MOST_DOTS };
}

/** @returns undefined where no line has a point */
function curves(label: string, lines: readonly Line[], scale: Curves["scale"], best?: number): Curves | undefined {
  const drawn = lines.filter(({ steps }) => steps.length > 0);
  return drawn.length > 0 ? { kind: "curves", label, lines: drawn, scale, best } : undefined;
}

const isLoss = (name: string): boolean => /(^|_)loss$/.test(name);

/** Losses of training and of evaluations, in one plot. */
export function lossCurves(history: readonly LogRow[], best: number | undefined): Curves | undefined {
  const evaluated = metricNames(history).filter(isLoss);
  const lines = evaluated.map((name) =>
    lineOf(name === "loss" ? "evaluation" : `evaluation, ${name}`, history, (row) => row[`eval_${name}`]),
  );
  const all = [lineOf("training", history, ({ loss }) => loss), ...lines];
  const values = all.flatMap(({ values }) => values);
  const falls = Math.min(...values) < Math.max(...values) / 2;
  return curves("loss", all, falls ? "zero" : "fit", best);
}

export function gradientCurves(history: readonly LogRow[]): Curves | undefined {
  return curves("gradient norm", [lineOf("gradient norm", history, (row) => row.grad_norm)], "zero or log");
}

export function rateCurves(history: readonly LogRow[]): Curves | undefined {
  return curves("learning rate", [lineOf("learning rate", history, (row) => row.learning_rate)], "zero");
}

/** Metrics but losses: shares and correlations in one plot, whatever goes beyond 1 in one of its own. */
export function metricCurves(history: readonly LogRow[], best: number | undefined): Curves[] {
  const lines = metricNames(history)
    .filter((name) => !isLoss(name))
    .map((name) => lineOf(name, history, (row) => row[`eval_${name}`]));
  const shares = lines.filter(({ values }) => values.every((value) => Math.abs(value) <= 1));
  const others = lines.filter((line) => !shares.includes(line));
  const all = [
    curves(shares.length === 1 ? shares[0]!.name : "metric", shares, "fit", best),
    ...others.map((line) => curves(line.name, [line], "fit or log", best)),
  ];
  return all.filter((one) => one !== undefined);
}

/** Of the evaluations, in their order. */
export function metricNames(history: readonly LogRow[]): string[] {
  return [...new Set(history.flatMap((row) => figuresOf(row).map(([name]) => name)))];
}
