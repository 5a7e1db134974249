/** Spearman and Pearson correlation of a model's similarities with people's. */

import { pearson, spearman } from "../../../bert/metrics/correlation.ts";
import type { Plan } from "../../../bert/tasks/plan.ts";
import type { Pretrained, TaskOptions } from "../../../bert/tasks/pretrained.ts";
import { planSimilarity } from "../../../bert/tasks/similarity.ts";
import { planTextClassification } from "../../../bert/tasks/text_classification.ts";
import { InputError } from "../failure.ts";
import { openInput, textIn } from "../file_rows.ts";
import { type Evaluation, type EvaluationOptions, evaluation, mapped, type WithGold, withGold } from "./evaluation.ts";

interface Pair {
  readonly text: string;
  readonly pair: string;
}

export async function evaluateSimilarity(options: EvaluationOptions): Promise<Evaluation> {
  const { column = "sentence1", pairColumn = "sentence2", labelColumn = "score" } = options;
  const table = await openInput(options, [column, pairColumn, labelColumn]);
  return evaluation<WithGold<Pair, number>, number>(table, (pretrained, settings) => {
    const { model } = pretrained;
    const together = model.classifierKind === "sequence" && model.config.labels.length === 1;
    const points: [number, number][] = [];
    return {
      plan: withGold(together ? readTogether(pretrained, settings) : byVectors(pretrained, settings)),
      inputOf: (values) => ({
        input: { text: textIn(values, column), pair: textIn(values, pairColumn) },
        gold: numberOf(values[labelColumn], labelColumn),
      }),
      add({ gold }, similarity) {
        points.push([gold, similarity]);
      },
      report() {
        const gold = points.map(([score]) => score);
        const found = points.map(([, similarity]) => similarity);
        if (points.length < 2) throw new InputError(`${points.length} row, a correlation needs at least 2`);
        const figures = { spearman: spearman(gold, found), pearson: pearson(gold, found) };
        return { rows: points.length, figures, points };
      },
    };
  });
}

function readTogether(pretrained: Pretrained, options: TaskOptions): Plan<Pair, number> {
  return mapped(
    planTextClassification(pretrained, { ...options, functionToApply: "none" }),
    (pair: Pair) => pair,
    ([best]) => best!.score,
  );
}

function byVectors(pretrained: Pretrained, options: TaskOptions): Plan<Pair, number> {
  return mapped(
    planSimilarity(pretrained, options),
    ({ text, pair }: Pair) => ({ source_sentence: text, sentences: [pair] }),
    ([similarity]) => similarity!,
  );
}

function numberOf(value: unknown, column: string): number {
  const number = typeof value === "string" && value.trim() === "" ? Number.NaN : Number(value ?? Number.NaN);
  if (Number.isFinite(number)) return number;
  throw new InputError(`column ${JSON.stringify(column)} is ${JSON.stringify(value)}, it must be a number`);
}
