/** `train classify`: labels of texts or pairs, one or several of each, or a number. */

import { classifierKind } from "../../../bert/heads/classifier.ts";
import { binaryCrossEntropy, crossEntropy, meanSquaredError } from "../../../bert/losses.ts";
import { classificationReport, confusionMatrix } from "../../../bert/metrics/classification.ts";
import { pearson, spearman } from "../../../bert/metrics/correlation.ts";
import { averagesOf } from "../../../bert/metrics/f1.ts";
import { epochsOf } from "../../../train/data/epochs.ts";
import { labelNames, labelNumber, severalLabels } from "../../../train/data/labels.ts";
import type { Evaluation, Example } from "../../../train/index.ts";
import type { RowValues } from "../../data/rows.ts";
import { InputError } from "../failure.ts";
import { textIn } from "../file_rows.ts";
import { evaluateAll } from "./evaluate.ts";
import type { TrainOptions } from "./options.ts";
import { type Context, count, learntAndHeld, type Prepared } from "./prepared.ts";
import { collectFaults, type Placed, readRows, tableOf } from "./rows.ts";

type Problem = NonNullable<TrainOptions["problemType"]>;

interface Row {
  readonly text: string;
  readonly pair: string | undefined;
  /** As it stands in the data. */
  readonly labels: readonly (string | number)[];
  /** Whether the data have a list there. */
  readonly list: boolean;
}

export async function prepareClassify(context: Context): Promise<Prepared> {
  const { options, tokenizer, maxLength, warn } = context;
  const { textColumn = "text", pairColumn, labelColumn = "label", seed } = options;
  const columns = [textColumn, ...(pairColumn === undefined ? [] : [pairColumn]), labelColumn];
  const open = tableOf(options, columns);
  const rowOf = (values: RowValues): Row => ({
    text: filled(textIn(values, textColumn), textColumn),
    pair: pairColumn === undefined ? undefined : filled(textIn(values, pairColumn), pairColumn),
    ...labelsIn(values[labelColumn], labelColumn, options.problemType === "multi_label_classification"),
  });
  const { learnt, held } = await learntAndHeld(options, (paths) => readRows(paths, open, rowOf));
  const problem = options.problemType ?? problemOf(learnt);
  const labels = labelsOf(context, learnt, problem);
  const faults = collectFaults();
  let cut = 0;
  const exampleOf = ({ row, where }: Placed<Row>): Example => {
    const onCut = (): number => cut++;
    const encoding = tokenizer.encode(row.text, row.pair, { truncation: "longest_first", maxLength, onCut });
    return {
      sequence: {
        inputIds: Uint32Array.from(encoding.ids),
        ...(row.pair !== undefined && { tokenTypeIds: Uint8Array.from(encoding.typeIds) }),
      },
      labels: { label: numberOf(row, problem, labels, (what) => faults.add(where, what)) },
    };
  };
  const examples = learnt.map(exampleOf);
  const judged = held.map(exampleOf);
  faults.end();
  if (cut > 0) warn(`${count(cut, "text")} longer than ${maxLength} tokens: the rest is left out`);
  const classes = new Set(examples.map(({ labels }) => String(labels.label)));
  if (classes.size < 2) {
    const what = problem === "regression" ? "number" : "label";
    throw new InputError(
      `all ${count(learnt.length, "row")} have the ${what} ${JSON.stringify(learnt[0]!.row.labels.join(", "))}: there is nothing to tell apart`,
    );
  }
  return {
    objectives: [problem === "regression" ? "number" : problem === "multi_label_classification" ? "labels" : "label"],
    labels,
    data: epochsOf(examples, seed, (example) => example),
    evaluation: judged.length > 0 ? evaluationOf(judged, problem, labels, context.onConfusion) : undefined,
    metrics: METRICS[problem],
    facts: {
      rows: examples.length.toLocaleString("en"),
      ...(judged.length > 0 && { "rows evaluated on": judged.length.toLocaleString("en") }),
      ...(problem !== "regression" && { labels: labels.join(", ") }),
    },
  };
}

const METRICS: Readonly<Record<Problem, readonly string[]>> = {
  single_label_classification: ["accuracy", "f1", "precision", "recall", "loss"],
  multi_label_classification: ["f1", "f1_macro", "accuracy", "loss"],
  regression: ["pearson", "spearman", "loss"],
};

function filled(text: string, column: string): string {
  if (text.trim() !== "") return text;
  throw new InputError(`column ${JSON.stringify(column)} is empty`);
}

function labelsIn(value: unknown, column: string, several: boolean): Pick<Row, "labels" | "list"> {
  const name = JSON.stringify(column);
  const list = Array.isArray(value);
  const labels = list
    ? value
    : several && typeof value === "string"
      ? value
          .split(",")
          .map((label) => label.trim())
          .filter((label) => label !== "")
      : [value];
  for (const label of labels) {
    if (label === undefined || label === null || label === "") throw new InputError(`column ${name} has no label`);
    if (typeof label === "object")
      throw new InputError(`column ${name} is an object, it must be a label or a list of them`);
    if (typeof label === "number" && !Number.isFinite(label)) throw new InputError(`column ${name} is ${label}`);
  }
  return { labels: labels.map((label) => (typeof label === "number" ? label : String(label).trim())), list };
}

/** Lists are several labels; numbers that are not all whole are for regression. */
function problemOf(rows: readonly Placed<Row>[]): Problem {
  if (rows.some(({ row }) => row.list)) return "multi_label_classification";
  const numbers = rows.map(({ row }) => (row.labels[0] === "" ? Number.NaN : Number(row.labels[0])));
  const plain = numbers.every(Number.isFinite) && numbers.some((value) => !Number.isInteger(value));
  return plain ? "regression" : "single_label_classification";
}

/** Those of the model's classifier, where it has one, else those of the data. */
function labelsOf({ config, parts, options }: Context, rows: readonly Placed<Row>[], problem: Problem): string[] {
  if (problem === "regression") return ["LABEL_0"];
  const own =
    parts?.heads.has("classifier") && classifierKind(config) === "sequence" && config.problemType !== "regression";
  if (own && !options.newLabels) return [...config.labels];
  return labelNames(rows.flatMap(({ row }) => row.labels));
}

function numberOf(
  { labels: given }: Row,
  problem: Problem,
  names: readonly string[],
  fault: (what: string) => void,
): number | number[] {
  if (problem === "regression") {
    const value = given.length === 1 ? Number(given[0]) : Number.NaN;
    if (!Number.isFinite(value)) fault(`label is ${JSON.stringify(given.join(", "))}, it must be a number`);
    return value;
  }
  const numbers = given.map((label) => labelNumber(label, names) ?? -1);
  numbers.forEach((number, i) => {
    if (number >= 0) return;
    const known = names
      .slice(0, 10)
      .map((name, i) => `${i} ${name}`)
      .join(", ");
    fault(
      `label is ${JSON.stringify(given[i])}, the model has ${known}${names.length > 10 ? ", ..." : ""}; --new-labels takes those of the data`,
    );
  });
  if (problem === "multi_label_classification") return severalLabels(numbers, names.length);
  if (numbers.length !== 1)
    fault(`it has ${numbers.length} labels, 1 is needed; --problem-type multi_label_classification takes several`);
  return numbers[0] ?? -1;
}

function evaluationOf(
  examples: readonly Example[],
  problem: Problem,
  labels: readonly string[],
  onConfusion: Context["onConfusion"],
): Evaluation {
  const sequences = examples.map(({ sequence }) => sequence);
  const width = labels.length;
  return async (forward) => {
    const logits = new Float32Array(examples.length * width);
    await evaluateAll(forward, sequences, { logits: true }, ({ logits: { data } }, { index, sequence }) => {
      logits.set(data.subarray(sequence * width, (sequence + 1) * width), index * width);
    });
    const gold = examples.flatMap(({ labels }) => labels.label as number | number[]);
    if (problem === "regression") {
      return {
        loss: meanSquaredError(logits, gold),
        ...(examples.length > 1 && { pearson: pearson(logits, gold), spearman: spearman(logits, gold) }),
      };
    }
    if (problem === "multi_label_classification") return severalFigures(logits, gold, width);
    const best = examples.map((_, i) => argmax(logits.subarray(i * width, (i + 1) * width)));
    const nameOf = (label: number): string => labels[label]!;
    const confusion = confusionMatrix(gold.map(nameOf), best.map(nameOf), labels);
    onConfusion(confusion);
    const { accuracy, macro } = classificationReport(confusion);
    return {
      ...{ loss: crossEntropy(logits, width, gold), accuracy },
      ...{ f1: macro.f1, precision: macro.precision, recall: macro.recall },
    };
  };
}

/** A label is predicted where its logit is above 0. `accuracy` counts rows with all labels right. */
function severalFigures(logits: Float32Array, gold: readonly number[], width: number): Record<string, number> {
  const tallies = Array.from({ length: width }, () => ({ correct: 0, predicted: 0, gold: 0 }));
  let right = 0;
  for (let row = 0; row < gold.length / width; row++) {
    let all = true;
    for (const [label, tally] of tallies.entries()) {
      const at = row * width + label;
      const predicted = logits[at]! > 0;
      const wanted = gold[at] === 1;
      if (predicted) tally.predicted++;
      if (wanted) tally.gold++;
      if (predicted && wanted) tally.correct++;
      all &&= predicted === wanted;
    }
    if (all) right++;
  }
  const { micro, macro } = averagesOf(tallies.filter(({ predicted, gold }) => predicted + gold > 0));
  const rows = gold.length / width;
  return { loss: binaryCrossEntropy(logits, gold), f1: micro.f1, f1_macro: macro.f1, accuracy: right / rows };
}

function argmax(values: Float32Array): number {
  return values.reduce((best, value, i) => (value > values[best]! ? i : best), 0);
}
