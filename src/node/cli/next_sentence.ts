/** `next-sentence TEXT...`: whether texts follow another one. */

import type { Command } from "commander";
import { type NextSentence, planNextSentence, type SentencePair } from "../../bert/tasks/next_sentence.ts";
import { createTask } from "../../bert/tasks/task.ts";
import { answerStream } from "./answer_stream.ts";
import { type CommonOptions, newCommand } from "./command.ts";
import { type FileOptions, fileOptions, required, TEXTS_OR_INPUT } from "./file_options.ts";
import { answerFile, fromFile } from "./files.ts";
import { printable, scoreText } from "./output.ts";
import { withSession } from "./session.ts";

interface NextOptions extends CommonOptions, FileOptions {
  readonly first?: string;
  readonly firstColumn?: string;
}

export function nextSentenceCommand(): Command {
  return fileOptions(
    newCommand("next-sentence", "say how probable it is that texts follow another one").argument(...TEXTS_OR_INPUT),
    { column: "the texts that may follow" },
  )
    .option("--first <TEXT>", "the text that comes before")
    .option("--first-column <NAME>", "the column of --input with the texts that come before")
    .action((texts: readonly string[], options: NextOptions) => {
      const { json, column, firstColumn } = options;
      const fixed = firstColumn === undefined ? required(options.first, "--first <TEXT>") : undefined;
      return withSession(options, (session) => {
        const show = ({ text, pair }: SentencePair, { score, is_next }: NextSentence): string =>
          json ? session.json({ text, text_pair: pair, score, is_next }) : `${scoreText(score)}  ${printable(pair)}`;
        if (fromFile(options)) {
          return answerFile(session, options, {
            command: "next-sentence",
            settings: { first: fixed },
            read: [column, ...(firstColumn === undefined ? [] : [firstColumn])],
            input: ([pair, first = fixed]): SentencePair => ({ text: first!, pair: pair! }),
            plan: (pretrained) => planNextSentence(pretrained, session.taskOptions),
            columns: [
              { name: "text", type: "text", from: firstColumn },
              { name: "text_pair", type: "text", from: column },
              { name: "score", type: "number" },
              { name: "is_next", type: "boolean" },
            ],
            values: ({ text, pair }, result) => ({ text, text_pair: pair, ...result }),
            show,
          });
        }
        const first = required(options.first, "--first <TEXT>");
        return answerStream(session, texts, {
          run: (pretrained, inputs) =>
            createTask(pretrained, "next-sentence-prediction", session.taskOptions).stream(after(first, inputs)),
          show: (pair, result) => show({ text: first, pair }, result),
        });
      });
    });
}

async function* after(first: string, texts: AsyncIterable<string>): AsyncGenerator<SentencePair> {
  for await (const pair of texts) yield { text: first, pair };
}
