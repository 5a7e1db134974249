/** `train answer`: where in a context the answer to a question stands. */

import { crossEntropy } from "../../../bert/losses.ts";
import { answerScores } from "../../../bert/metrics/squad.ts";
import { type AnswerWindow, answerSpans } from "../../../bert/tasks/answers.ts";
import { epochsOf } from "../../../train/data/epochs.ts";
import { type AnswerRange, placeAnswer, spanExamples } from "../../../train/data/spans.ts";
import type { Evaluation, Example } from "../../../train/index.ts";
import type { RowValues } from "../../data/rows.ts";
import { squadTable } from "../../data/squad.ts";
import { formatOf } from "../../data/table.ts";
import { InputError } from "../failure.ts";
import { textIn } from "../file_rows.ts";
import { evaluateAll } from "./evaluate.ts";
import { type Context, count, learntAndHeld, type Prepared } from "./prepared.ts";
import { type OpenTable, type Placed, readRows, tableOf } from "./rows.ts";

interface Row {
  readonly question: string;
  readonly context: string;
  readonly answers: readonly string[];
  /** Of the first answer; undefined where there is none. */
  readonly range: AnswerRange | undefined;
}

export async function prepareAnswer(context: Context): Promise<Prepared> {
  const { options, tokenizer, maxLength } = context;
  const { textColumn = "question", pairColumn = "context", labelColumn = "answers", format, seed } = options;
  const stride = Math.min(options.docStride, Math.floor(maxLength / 2));
  if (stride >= maxLength - 3) {
    throw new InputError(`--max-length is ${maxLength}, a question with a part of its context needs at least 7 tokens`);
  }
  const open: OpenTable = async (path) =>
    format === undefined && (/\.json(\.gz)?$/i.test(path) || formatOf(path) === "lines")
      ? squadTable(path, textColumn, pairColumn, labelColumn)
      : tableOf(options, [textColumn, pairColumn, labelColumn])(path);
  const rowOf = (values: RowValues): Row => {
    const question = textIn(values, textColumn);
    const text = textIn(values, pairColumn);
    for (const [name, value] of [
      [textColumn, question],
      [pairColumn, text],
    ] as const) {
      if (value.trim() === "") throw new InputError(`column ${JSON.stringify(name)} is empty`);
    }
    const { texts, start } = answersIn(values[labelColumn], labelColumn);
    const [first] = texts;
    if (first === undefined) return { question, context: text, answers: [], range: undefined };
    const range = placeAnswer(text, first, start);
    if (range) return { question, context: text, answers: texts, range };
    const where = start === undefined ? "in the context" : `at ${start} of the context`;
    throw new InputError(`the answer ${JSON.stringify(first)} does not stand ${where}`);
  };
  const { learnt, held } = await learntAndHeld(options, (paths) => readRows(paths, open, rowOf));
  const windowsOf = ({ row: { question, context, range } }: Placed<Row>): Example[] =>
    spanExamples(tokenizer, question, context, range, { maxLength, stride });
  const examples = learnt.flatMap(windowsOf);
  const answered = learnt.filter(({ row }) => row.range).length;
  if (answered === 0) throw new InputError(`none of ${count(learnt.length, "question")} has an answer`);
  return {
    objectives: ["span"],
    data: epochsOf(examples, seed, (example) => example),
    evaluation: held.length > 0 ? evaluationOf(held, context, stride) : undefined,
    metrics: ["f1", "exact_match", "loss"],
    facts: {
      questions: `${learnt.length.toLocaleString("en")}, ${answered.toLocaleString("en")} of them with an answer, in ${count(examples.length, "window")}`,
      ...(held.length > 0 && { "questions evaluated on": held.length.toLocaleString("en") }),
    },
  };
}

/** A text, a list of texts, or `{ text: [...], answer_start: [...] }` as in the data sets of the hub. */
function answersIn(
  value: unknown,
  column: string,
): { readonly texts: readonly string[]; readonly start?: number | undefined } {
  const nested = value !== null && typeof value === "object" && "text" in value;
  const list = nested ? value.text : value;
  const texts = typeof list === "string" ? [list] : list;
  if (!Array.isArray(texts) || !texts.every((text) => typeof text === "string")) {
    throw new InputError(
      `column ${JSON.stringify(column)} holds no answers: a text, a list of them, or { text: [...] }`,
    );
  }
  const starts = nested && "answer_start" in value ? value.answer_start : undefined;
  const start: unknown = Array.isArray(starts) ? starts[0] : starts;
  return { texts, start: typeof start === "number" ? start : undefined };
}

function evaluationOf(
  rows: readonly Placed<Row>[],
  { tokenizer, maxLength, options: { maxAnswerLen } }: Context,
  stride: number,
): Evaluation {
  const units = rows.flatMap(({ row: { question, context, range } }, row) => {
    const options = { maxLength, stride };
    const first = tokenizer.encode(question, context, { ...options, truncation: "only_second", returnOverflow: true });
    const examples = spanExamples(tokenizer, question, context, range, options);
    return [first, ...first.overflow].map((encoding, w) => ({ row, encoding, example: examples[w]! }));
  });
  const sequences = units.map(({ example }) => example.sequence);
  const handleImpossibleAnswer = rows.some(({ row }) => row.range === undefined);
  return async (forward) => {
    const windows: AnswerWindow[][] = rows.map(() => []);
    let losses = 0;
    await evaluateAll(forward, sequences, { spanLogits: true }, (output, { index, begin, end }) => {
      const { row, encoding, example } = units[index]!;
      const startLogits = output.startLogits.slice(begin, end);
      const endLogits = output.endLogits.slice(begin, end);
      const { start, end: last } = example.labels;
      losses += crossEntropy(startLogits, end - begin, [start!]) + crossEntropy(endLogits, end - begin, [last!]);
      windows[row]!.push({ encoding, startLogits, endLogits });
    });
    let [exact, f1] = [0, 0];
    for (const [i, { row }] of rows.entries()) {
      const search = { topK: 1, maxAnswerLen, handleImpossibleAnswer, alignToWords: true };
      const [best] = answerSpans(row.context, windows[i]!, search);
      const scores = answerScores(best?.answer ?? "", row.answers);
      exact += scores.exact;
      f1 += scores.f1;
    }
    return { loss: losses / 2 / units.length, exact_match: exact / rows.length, f1: f1 / rows.length };
  };
}
