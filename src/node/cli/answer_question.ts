/** `answer QUESTION...`: where a text answers questions. */

import type { Command } from "commander";
import type { Answer, Question } from "../../bert/tasks/question_answering.ts";
import { createTask } from "../../bert/tasks/task.ts";
import { answerStream } from "./answer_stream.ts";
import { type CommonOptions, newCommand, positiveInteger } from "./command.ts";
import { aligned, printable, scoreText } from "./output.ts";
import { withSession } from "./session.ts";

interface AnswerOptions extends CommonOptions {
  readonly context: string;
  readonly topK: number;
  readonly maxAnswerLen: number;
  readonly impossible: boolean;
}

export function answerCommand(): Command {
  return newCommand("answer", "answer questions with parts of a text; offsets are in UTF-16 units")
    .argument("<QUESTION...>", "questions; - reads lines from standard input and answers each in turn")
    .requiredOption("--context <TEXT>", "where the answers are to be found; a long one is read in windows")
    .option("--top-k <N>", "answers for each question", positiveInteger, 1)
    .option("--max-answer-len <N>", "tokens of an answer", positiveInteger, 15)
    .option("--impossible", "let the empty answer compete", false)
    .action((questions: readonly string[], options: AnswerOptions) =>
      withSession(options, (session) => {
        const { json, context, topK, maxAnswerLen, impossible: handleImpossibleAnswer } = options;
        const settings = { ...session.taskOptions, topK, maxAnswerLen, handleImpossibleAnswer };
        return answerStream(session, questions, {
          run: (pretrained, inputs) =>
            createTask(pretrained, "question-answering", settings).stream(withContext(inputs, context)),
          show: (question, answers) => (json ? JSON.stringify({ question, answers }) : answersText(question, answers)),
          lacks: (question) => (question === "" ? "no question" : undefined),
        });
      }),
    );
}

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
