/** `summarise TEXT...`: the sentences that say most of a text. */

import { type Command, Option } from "commander";
import type { SummaryOptions } from "../../bert/tasks/summarization.ts";
import { createTask } from "../../bert/tasks/task.ts";
import { answerStream } from "./answer_stream.ts";
import { newCommand, positiveInteger, TEXTS } from "./command.ts";
import { type VectorCommandOptions, vectorOptions, vectorSettings } from "./embed.ts";
import { printable } from "./output.ts";
import { withSession } from "./session.ts";

interface SummariseOptions extends VectorCommandOptions {
  readonly sentences: number;
  readonly method: NonNullable<SummaryOptions["method"]>;
  readonly language: string;
}

export function summariseCommand(): Command {
  return vectorOptions(
    newCommand("summarise", "pick the sentences that say most of a text, by their vectors")
      .alias("summarize")
      .argument(...TEXTS)
      .option("--sentences <N>", "sentences of a summary", positiveInteger, 3)
      .addOption(
        new Option("--method <NAME>", "maximal marginal relevance, or centrality among all sentences")
          .choices(["mmr", "centrality"])
          .default("mmr"),
      )
      .option("--language <TAG>", "of the texts, to tell where sentences end", "en"),
  ).action((texts: readonly string[], options: SummariseOptions) =>
    withSession(options, (session) => {
      const { json, sentences, method, language } = options;
      const settings = { ...session.taskOptions, ...vectorSettings(options), sentences, method, language };
      return answerStream(session, texts, {
        run: (pretrained, inputs) => createTask(pretrained, "summarization", settings).stream(inputs),
        show: (text, summary) => (json ? JSON.stringify({ text, ...summary }) : printable(summary.summary_text)),
      });
    }),
  );
}
