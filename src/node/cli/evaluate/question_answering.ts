/** Exact match and F1 of answers, as SQuAD defines them. */

import { answerScores } from "../../../bert/metrics/squad.ts";
import { type Answer, planQuestionAnswering, type Question } from "../../../bert/tasks/question_answering.ts";
import { squadTable } from "../../data/squad.ts";
import { formatOf } from "../../data/table.ts";
import { InputError } from "../failure.ts";
import { openInput, textIn } from "../file_rows.ts";
import { type Evaluation, type EvaluationOptions, evaluation, type WithGold, withGold } from "./evaluation.ts";

type Row = WithGold<Question, readonly string[]>;

export async function evaluateAnswers(options: EvaluationOptions): Promise<Evaluation> {
  const { input, format, delimiter, column = "question", pairColumn = "context", labelColumn = "answers" } = options;
  const rows =
    format !== undefined || delimiter !== undefined || (formatOf(input) !== "lines" && !/\.json(\.gz)?$/i.test(input));
  const table = rows
    ? await openInput(options, [column, pairColumn, labelColumn])
    : await squadTable(input, column, pairColumn, labelColumn);
  return evaluation<Row, Answer[]>(table, (pretrained, settings) => {
    const { maxAnswerLen, impossible: handleImpossibleAnswer } = options;
    let [questions, exact, f1] = [0, 0, 0];
    return {
      plan: withGold(planQuestionAnswering(pretrained, { ...settings, maxAnswerLen, handleImpossibleAnswer })),
      inputOf: (values) => ({
        input: { question: textIn(values, column), context: textIn(values, pairColumn) },
        gold: answersIn(values[labelColumn], labelColumn),
      }),
      add({ gold }, [best]) {
        const scores = answerScores(best?.answer ?? "", gold);
        questions++;
        exact += scores.exact;
        f1 += scores.f1;
      },
      report: () => ({ rows: questions, figures: { "exact match": exact / questions, f1: f1 / questions } }),
    };
  });
}

/** A text, a list of texts, or `{ text: [...] }` as in the data sets of the hub. */
function answersIn(value: unknown, column: string): readonly string[] {
  const list = value !== null && typeof value === "object" && "text" in value ? value.text : value;
  const answers = typeof list === "string" ? [list] : list;
  if (Array.isArray(answers) && answers.every((answer) => typeof answer === "string")) return answers;
  throw new InputError(`column ${JSON.stringify(column)} holds no answers: a text, a list of them, or { text: [...] }`);
}
