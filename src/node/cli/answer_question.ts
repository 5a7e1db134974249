/** `answer QUESTION...`: where a text answers questions. */

import type { Command } from "commander";
import { type Answer, planQuestionAnswering, type Question } from "../../bert/tasks/question_answering.ts";
import { createTask } from "../../bert/tasks/task.ts";
import type { Column } from "../data/rows.ts";
import { answerStream } from "./answer_stream.ts";
import { type CommonOptions, newCommand, positiveInteger } from "./command.ts";
import { type FileOptions, fileOptions, required } from "./file_options.ts";
import { answerFile, fromFile } from "./files.ts";
import { aligned, printable, scoreText } from "./output.ts";
import { withSession } from "./session.ts";

interface AnswerOptions extends CommonOptions, FileOptions {
  readonly context?: string;
  readonly contextColumn: string;
  readonly topK: number;
  readonly maxAnswerLen: number;
  readonly impossible: boolean;
}

export function answerCommand(): Command {
  return fileOptions(
    newCommand("answer", "answer questions with parts of a text; offsets are in UTF-16 units").argument(
      "[QUESTION...]",
      "questions; - reads lines from standard input and answers each in turn",
    ),
    { column: "the questions", name: "question" },
  )
    .option("--context <TEXT>", "where the answers are to be found; a long one is read in windows")
    .option("--context-column <NAME>", "the column of --input with contexts, unless there is one --context", "context")
    .option("--top-k <N>", "answers for each question", positiveInteger, 1)
    .option("--max-answer-len <N>", "tokens of an answer", positiveInteger, 15)
    .option("--impossible", "let the empty answer compete", false)
    .action((questions: readonly string[], options: AnswerOptions) => {
      const context = fromFile(options) ? options.context : required(options.context, "--context <TEXT>");
      return withSession(options, (session) => {
        const { json, topK, maxAnswerLen, impossible: handleImpossibleAnswer } = options;
        const settings = { ...session.taskOptions, topK, maxAnswerLen, handleImpossibleAnswer };
        const show = (question: string, answers: readonly Answer[]): string =>
          json ? session.json({ question, answers }) : answersText(question, answers);
        if (fromFile(options)) {
          return answerFile(session, options, {
            command: "answer",
            settings: { topK, maxAnswerLen, handleImpossibleAnswer, context },
            read: context === undefined ? [options.column, options.contextColumn] : [options.column],
            input: ([question, own = context]): Question => ({ question: question!, context: own! }),
            plan: (pretrained) => planQuestionAnswering(pretrained, settings),
            columns: [
              { name: "question", type: "text", from: options.column },
              ...(topK === 1 ? BEST_COLUMNS : ALL_COLUMNS),
            ],
            values: ({ question }, answers) => ({ question, ...(topK === 1 ? answers[0] : { answers }) }),
            show: ({ question }, answers) => show(question, answers),
          });
        }
        return answerStream(session, questions, {
          run: (pretrained, inputs) =>
            createTask(pretrained, "question-answering", settings).stream(withContext(inputs, context!)),
          show,
          lacks: (question) => (question === "" ? "no question" : undefined),
        });
      });
    });
}

const BEST_COLUMNS: readonly Column[] = [
  { name: "answer", type: "text" },
  { name: "score", type: "number" },
  { name: "start", type: "integer" },
  { name: "end", type: "integer" },
];

const ALL_COLUMNS: readonly Column[] = [{ name: "answers", type: "json" }];

async function* withContext(questions: AsyncIterable<string>, context: string): AsyncGenerator<Question> {
  for await (const question of questions) yield { question, context };
}

function answersText(question: string, answers: readonly Answer[]): string {
  const rows = answers.map(({ score, start, end, answer }) => [
    scoreText(score),
    `${start}-${end}`,
    answer === "" ? "(no answer)" : printable(answer),
  ]);
  return [printable(question), ...aligned(rows)].join("\n");
}
