/** `train tag`: labels of words. */

import { classifierKind } from "../../../bert/heads/classifier.ts";
import { crossEntropy } from "../../../bert/losses.ts";
import { confusionMatrix } from "../../../bert/metrics/classification.ts";
import { entityReport } from "../../../bert/metrics/entities.ts";
import { epochsOf } from "../../../train/data/epochs.ts";
import { labelNames, labelNumber } from "../../../train/data/labels.ts";
import { NONE } from "../../../train/data/masking.ts";
import { tagExamples } from "../../../train/data/tags.ts";
import type { Evaluation, Example } from "../../../train/index.ts";
import { conllTable } from "../../data/conll.ts";
import type { RowValues } from "../../data/rows.ts";
import { formatOf } from "../../data/table.ts";
import { InputError } from "../failure.ts";
import { evaluateAll } from "./evaluate.ts";
import { type Context, learntAndHeld, type Prepared } from "./prepared.ts";
import { collectFaults, type OpenTable, type Placed, readRows, tableOf } from "./rows.ts";

interface Row {
  readonly words: readonly string[];
  readonly tags: readonly string[];
}

export async function prepareTag(context: Context): Promise<Prepared> {
  const { options, tokenizer, config, parts, maxLength } = context;
  const { textColumn = "tokens", labelColumn = "tags", format, newLabels, seed } = options;
  const open: OpenTable = async (path) =>
    ["jsonl", "parquet"].includes(format ?? formatOf(path))
      ? tableOf(options, [textColumn, labelColumn])(path)
      : conllTable(path, textColumn, labelColumn);
  const rowOf = (values: RowValues): Row => {
    const words = listIn(values, textColumn);
    const tags = listIn(values, labelColumn);
    if (words.length === tags.length && words.length > 0) return { words, tags };
    throw new InputError(`${words.length} words and ${tags.length} tags, a tag for each word is needed`);
  };
  const { learnt, held } = await learntAndHeld(options, (paths) => readRows(paths, open, rowOf));
  const own = parts?.heads.has("classifier") && classifierKind(config) === "token" && !newLabels;
  const labels = own ? [...config.labels] : labelNames(learnt.flatMap(({ row }) => row.tags));
  if (labels.length < 2) throw new InputError(`all words have the tag ${labels[0]}: there is nothing to tell apart`);
  const faults = collectFaults();
  const examplesOf = ({ row: { words, tags }, where }: Placed<Row>): Example[] => {
    const numbers = tags.map((tag) => labelNumber(tag, labels) ?? -1);
    const unknown = [...new Set(tags.filter((_, i) => numbers[i]! < 0))];
    if (unknown.length === 0) return tagExamples(tokenizer, words, numbers, maxLength);
    const remedy = own ? "; --new-labels takes those of the data" : "";
    faults.add(where, `tags ${unknown.join(", ")}, the model has ${labels.join(", ")}${remedy}`);
    return [];
  };
  const examples = learnt.flatMap(examplesOf);
  const judged = held.map(examplesOf);
  faults.end();
  const entities = labels.every((label) => /^(O|[BIESLU](-.*)?)$/su.test(label));
  return {
    objectives: ["tags"],
    labels,
    data: epochsOf(examples, seed, (example) => example),
    evaluation: judged.length > 0 ? evaluationOf(judged, labels, entities, context.onConfusion) : undefined,
    metrics: entities ? ["f1", "precision", "recall", "accuracy", "loss"] : ["accuracy", "loss"],
    facts: {
      sentences: learnt.length.toLocaleString("en"),
      ...(held.length > 0 && { "sentences evaluated on": held.length.toLocaleString("en") }),
      labels: labels.join(", "),
    },
  };
}

/** Lists of words, and of tags, which may be numbers. */
function listIn(values: RowValues, column: string): string[] {
  const list = values[column];
  const name = JSON.stringify(column);
  if (!Array.isArray(list)) throw new InputError(`column ${name} is ${list === undefined ? "not there" : "no list"}`);
  return list.map((item: unknown, i) => {
    if (typeof item === "string" || typeof item === "number") return String(item);
    throw new InputError(`column ${name} has ${JSON.stringify(item)} at ${i + 1}`);
  });
}

/** @param rows each of one or more sequences; a word without a tag of its own counts for nothing */
function evaluationOf(
  rows: readonly (readonly Example[])[],
  labels: readonly string[],
  entities: boolean,
  onConfusion: Context["onConfusion"],
): Evaluation {
  const width = labels.length;
  const units = rows.flatMap((own, row) => own.map((example) => ({ example, row })));
  const sequences = units.map(({ example }) => example.sequence);
  return async (forward) => {
    const predicted: number[][] = units.map(() => []);
    const gold: number[][] = units.map(() => []);
    let [losses, words, right] = [0, 0, 0];
    await evaluateAll(forward, sequences, { logits: true }, ({ logits: { data } }, { index, begin, end }) => {
      const tags = units[index]!.example.labels.tags!;
      for (let i = 0; i < end - begin; i++) {
        if (tags[i] === NONE) continue;
        const scores = data.subarray((begin + i) * width, (begin + i + 1) * width);
        const best = scores.reduce((best, value, label) => (value > scores[best]! ? label : best), 0);
        losses += crossEntropy(scores, width, [tags[i]!]);
        words++;
        if (best === tags[i]) right++;
        predicted[index]!.push(best);
        gold[index]!.push(tags[i]!);
      }
    });
    const named = (tags: readonly number[][]): string[] => tags.flat().map((tag) => labels[tag]!);
    onConfusion(confusionMatrix(named(gold), named(predicted), labels));
    const figures = { loss: losses / words, accuracy: right / words };
    if (!entities) return figures;
    const sentences = (tags: readonly number[][]): string[][] => {
      const joined: string[][] = rows.map(() => []);
      for (const [i, { row }] of units.entries()) joined[row]!.push(...tags[i]!.map((tag) => labels[tag]!));
      return joined;
    };
    const { micro } = entityReport(sentences(gold), sentences(predicted));
    return { ...figures, f1: micro.f1, precision: micro.precision, recall: micro.recall };
  };
}
