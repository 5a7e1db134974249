/** F1 of whole entities, of a classifier of words. */

import { entityReport, strictScheme } from "../../../bert/metrics/entities.ts";
import { type Entity, planTokenClassification } from "../../../bert/tasks/token_classification.ts";
import { conllTable } from "../../data/conll.ts";
import type { RowValues } from "../../data/rows.ts";
import { formatOf } from "../../data/table.ts";
import { InputError } from "../failure.ts";
import { openInput } from "../file_rows.ts";
import { type Evaluation, type EvaluationOptions, evaluation, type WithGold, withGold } from "./evaluation.ts";

type Row = WithGold<readonly string[], readonly string[]>;

export async function evaluateTokens(options: EvaluationOptions): Promise<Evaluation> {
  const { input, format, delimiter, scheme, column = "tokens", labelColumn = "tags" } = options;
  const rows = delimiter !== undefined || ["jsonl", "parquet"].includes(format ?? formatOf(input));
  const table = rows ? await openInput(options, [column, labelColumn]) : conllTable(input, column, labelColumn);
  return evaluation<Row, Entity[]>(table, (pretrained, settings) => {
    const { labels } = pretrained.model.config;
    const gold: (readonly string[])[] = [];
    const predicted: string[][] = [];
    return {
      plan: withGold(
        planTokenClassification(pretrained, { ...settings, aggregationStrategy: "none", ignoreLabels: [] }),
      ),
      inputOf(values) {
        const words = listIn(values, column, (word) => word);
        // tags may be numbers of the model's labels, as in the data sets of the hub
        const tags = listIn(values, labelColumn, (tag) => (Number.isInteger(tag) ? labels[tag as number] : tag));
        if (words.length === tags.length && words.length > 0) return { input: words, gold: tags };
        throw new InputError(`${words.length} words and ${tags.length} tags, a tag for each word is needed`);
      },
      add(row, entities) {
        gold.push(row.gold);
        predicted.push(wordTags(row.input, entities));
      },
      report(warn) {
        const unknown = [...new Set(gold.flat())].filter((tag) => tag !== "O" && !labels.includes(tag));
        if (unknown.length > 0) warn(`the model has no label ${unknown.join(", ")}; it has ${labels.join(", ")}`);
        const read = scheme === "strict" ? strictScheme([...gold, labels]) : "lenient";
        const { accuracy, sentences, ...rest } = entityReport(gold, predicted, read);
        return { rows: sentences, figures: { f1: rest.micro.f1, "word accuracy": accuracy }, ...rest };
      },
    };
  });
}

/** As is the custom, a word is what its first piece is; one without a piece is outside. */
export function wordTags(words: readonly string[], pieces: readonly Entity[]): string[] {
  let begin = 0;
  let next = 0;
  return words.map((word) => {
    const end = begin + word.length;
    while (next < pieces.length && pieces[next]!.start < begin) next++;
    begin = end + 1; // words are joined by a space
    const piece = pieces[next];
    return piece && piece.start < end && "entity" in piece ? piece.entity : "O";
  });
}

function listIn(values: RowValues, column: string, textOf: (item: unknown) => unknown): string[] {
  const list = values[column];
  if (!Array.isArray(list)) throw new InputError(`column ${JSON.stringify(column)} is no list`);
  return list.map((item: unknown, i) => {
    const text = textOf(item);
    if (typeof text === "string") return text;
    throw new InputError(`column ${JSON.stringify(column)} has ${JSON.stringify(item)} at ${i + 1}`);
  });
}
