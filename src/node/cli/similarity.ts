/** `similarity SOURCE TEXT...`: how close texts are to one. */

import type { Command } from "commander";
import type { Pretrained } from "../../bert/tasks/pretrained.ts";
import { planSimilarity, type SimilarityInput } from "../../bert/tasks/similarity.ts";
import { createTask } from "../../bert/tasks/task.ts";
import { SIMILARITIES } from "../../bert/tasks/vectors.ts";
import { answerStream } from "./answer_stream.ts";
import { newCommand } from "./command.ts";
import { type VectorCommandOptions, vectorOptions, vectorSettings } from "./embed.ts";
import { type FileOptions, fileOptions, required, TEXTS_OR_INPUT } from "./file_options.ts";
import { answerFile, fromFile } from "./files.ts";
import { printable, scoreText } from "./output.ts";
import { type Session, withSession } from "./session.ts";

export function similarityCommand(): Command {
  return vectorOptions(
    fileOptions(
      newCommand("similarity", "say how close texts are to one, by their vectors")
        .argument("[SOURCE]", "the text that the others are compared with")
        .argument(...TEXTS_OR_INPUT),
      { fixed: 1 },
    ).option("--pair-column <NAME>", "the column of --input with the texts to compare with, in place of SOURCE"),
  ).action((source: string | undefined, texts: readonly string[], options: SimilarityCommandOptions) => {
    const { column, pairColumn } = options;
    const fixed = pairColumn === undefined ? required(source, "--pair-column <NAME>") : undefined;
    const settings = vectorSettings(options);
    return withSession(options, (session) => {
      const show = (one: string, text: string, similarity: number): string =>
        options.json ? session.json({ source: one, text, similarity }) : `${scoreText(similarity)}  ${printable(text)}`;
      if (fromFile(options)) {
        return answerFile(session, options, {
          command: "similarity",
          settings: { ...settings, source: fixed },
          read: [column, ...(pairColumn === undefined ? [] : [pairColumn])],
          input: ([text, one = fixed]): SimilarityInput => ({ source_sentence: one!, sentences: [text!] }),
          plan: (pretrained) => planSimilarity(pretrained, { ...session.taskOptions, ...settings }),
          columns: [
            { name: "source", type: "text", from: pairColumn },
            { name: "text", type: "text", from: column },
            { name: "similarity", type: "number" },
          ],
          values: ({ source_sentence, sentences }, [similarity]) => ({
            source: source_sentence,
            text: sentences[0],
            similarity,
          }),
          show: ({ source_sentence, sentences }, [similarity]) => show(source_sentence, sentences[0]!, similarity!),
        });
      }
      return answerStream(session, texts, {
        run: (pretrained, inputs) => compare(pretrained, fixed!, inputs, { ...session.taskOptions, ...settings }),
        show: (text, similarity) => show(fixed!, text, similarity),
      });
    });
  });
}

interface SimilarityCommandOptions extends VectorCommandOptions, FileOptions {
  readonly pairColumn?: string;
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
