/** `summarise TEXT...`: the sentences that say most of a text. */

import { type Command, Option } from "commander";
import { planSummarization, type Summary, type SummaryOptions } from "../../bert/tasks/summarization.ts";
import { createTask } from "../../bert/tasks/task.ts";
import { answerStream } from "./answer_stream.ts";
import { newCommand, positiveInteger } from "./command.ts";
import { type VectorCommandOptions, vectorOptions, vectorSettings } from "./embed.ts";
import { type FileOptions, fileOptions, TEXTS_OR_INPUT } from "./file_options.ts";
import { answerFile, fromFile } from "./files.ts";
import { printable } from "./output.ts";
import { withSession } from "./session.ts";

interface SummariseOptions extends VectorCommandOptions, FileOptions {
  readonly sentences: number;
  readonly method: NonNullable<SummaryOptions["method"]>;
  readonly language: string;
}

export function summariseCommand(): Command {
  return vectorOptions(
    fileOptions(
      newCommand("summarise", "pick the sentences that say most of a text, by their vectors")
        .alias("summarize")
        .argument(...TEXTS_OR_INPUT),
    )
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
      const show = (text: string, summary: Summary): string =>
        json ? session.json({ text, ...summary }) : printable(summary.summary_text);
      if (fromFile(options)) {
        return answerFile(session, options, {
          command: "summarise",
          settings: { ...vectorSettings(options), sentences, method, language },
          read: [options.column],
          input: ([text]) => text!,
          plan: (pretrained) => planSummarization(pretrained, settings),
          columns: [
            { name: "text", type: "text" },
            { name: "summary_text", type: "text" },
            { name: "sentences", type: "json" },
          ],
          values: (text, summary) => ({ text, ...summary }),
          show,
        });
      }
      return answerStream(session, texts, {
        run: (pretrained, inputs) => createTask(pretrained, "summarization", settings).stream(inputs),
        show,
      });
    }),
  );
}
