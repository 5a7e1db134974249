/** `similarity SOURCE TEXT...`: how close texts are to one. */

import type { Command } from "commander";
import type { Pretrained } from "../../bert/tasks/pretrained.ts";
import { createTask } from "../../bert/tasks/task.ts";
import { SIMILARITIES } from "../../bert/tasks/vectors.ts";
import { answerStream } from "./answer_stream.ts";
import { newCommand, TEXTS } from "./command.ts";
import { type VectorCommandOptions, vectorOptions, vectorSettings } from "./embed.ts";
import { printable, scoreText } from "./output.ts";
import { type Session, withSession } from "./session.ts";

export function similarityCommand(): Command {
  return vectorOptions(
    newCommand("similarity", "say how close texts are to one, by their vectors")
      .argument("<SOURCE>", "the text that the others are compared with")
      .argument(...TEXTS),
  ).action((source: string, texts: readonly string[], options: VectorCommandOptions) =>
    withSession(options, (session) =>
      answerStream(session, texts, {
        run: (pretrained, inputs) =>
          compare(pretrained, source, inputs, { ...session.taskOptions, ...vectorSettings(options) }),
        show: (text, similarity) =>
          options.json ? JSON.stringify({ source, text, similarity }) : `${scoreText(similarity)}  ${printable(text)}`,
      }),
    ),
  );
}

/** The source is the first in the stream of vectors, and the others are compared as they come. */
async function* compare(
  pretrained: Pretrained,
  source: string,
  texts: AsyncIterable<string>,
  settings: Session["taskOptions"],
): AsyncGenerator<number> {
  const similarity = SIMILARITIES[pretrained.sentence?.similarity ?? "cosine"];
  const all = async function* (): AsyncGenerator<string> {
    yield source;
    yield* texts;
  };
  let first: ArrayLike<number> | undefined;
  for await (const vector of createTask(pretrained, "sentence-embedding", settings).stream(all())) {
    if (first) yield similarity(first, vector);
    else first = vector;
  }
}
