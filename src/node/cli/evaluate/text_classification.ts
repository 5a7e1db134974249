/** Accuracy, F1 per class and the confusion matrix of a classifier of texts. */

import { classificationReport, confusionMatrix } from "../../../bert/metrics/classification.ts";
import type { TextInput } from "../../../bert/tasks/pretrained.ts";
import { type Classification, planTextClassification } from "../../../bert/tasks/text_classification.ts";
import { openInput, textIn } from "../file_rows.ts";
import { type Evaluation, type EvaluationOptions, evaluation, labelOf, type WithGold, withGold } from "./evaluation.ts";

export async function evaluateTexts(options: EvaluationOptions): Promise<Evaluation> {
  const { column = "text", pairColumn, labelColumn = "label" } = options;
  const pairs = pairColumn === undefined ? [] : [pairColumn];
  const table = await openInput(options, [column, ...pairs, labelColumn]);
  return evaluation<WithGold<TextInput, string>, Classification[]>(table, (pretrained, settings) => {
    const { labels } = pretrained.model.config;
    const gold: string[] = [];
    const predicted: string[] = [];
    return {
      plan: withGold(planTextClassification(pretrained, { ...settings, topK: 1 })),
      inputOf(values) {
        const text = textIn(values, column);
        return {
          input: pairColumn === undefined ? text : { text, pair: textIn(values, pairColumn) },
          gold: labelOf(values[labelColumn], labels, labelColumn),
        };
      },
      add(row, [best]) {
        gold.push(row.gold);
        predicted.push(best!.label);
      },
      report() {
        const { accuracy, rows, ...rest } = classificationReport(confusionMatrix(gold, predicted, labels));
        return { rows, figures: { accuracy }, ...rest };
      },
    };
  });
}
