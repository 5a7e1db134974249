/** `next-sentence TEXT...`: whether texts follow another one. */

import type { Command } from "commander";
import type { SentencePair } from "../../bert/tasks/next_sentence.ts";
import { createTask } from "../../bert/tasks/task.ts";
import { answerStream } from "./answer_stream.ts";
import { type CommonOptions, newCommand, TEXTS } from "./command.ts";
import { printable, scoreText } from "./output.ts";
import { withSession } from "./session.ts";

interface NextOptions extends CommonOptions {
  readonly first: string;
}

export function nextSentenceCommand(): Command {
  return newCommand("next-sentence", "say how probable it is that texts follow another one")
    .argument(...TEXTS)
    .requiredOption("--first <TEXT>", "the text that comes before")
    .action((texts: readonly string[], options: NextOptions) =>
      withSession(options, (session) => {
        const { json, first } = options;
        return answerStream(session, texts, {
          run: (pretrained, inputs) =>
            createTask(pretrained, "next-sentence-prediction", session.taskOptions).stream(after(first, inputs)),
          show: (text, { score, is_next }) =>
            json
              ? JSON.stringify({ text: first, text_pair: text, score, is_next })
              : `${scoreText(score)}  ${printable(text)}`,
        });
      }),
    );
}

async function* after(first: string, texts: AsyncIterable<string>): AsyncGenerator<SentencePair> {
  for await (const pair of texts) yield { text: first, pair };
}
