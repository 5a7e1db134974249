/** `summarise TEXT...`: a text in few words: written by a model that can, or the sentences that say most of it. */

import { type Command, Option } from "commander";
import { isWriter } from "../../bert/generation/config.ts";
import { planSummarization, type Summary, type SummaryOptions } from "../../bert/tasks/summarization.ts";
import { createTask } from "../../bert/tasks/task.ts";
import { answerStream } from "./answer_stream.ts";
import { newCommand, positiveInteger } from "./command.ts";
import { type VectorCommandOptions, vectorOptions, vectorSettings } from "./embed.ts";
import { InputError } from "./failure.ts";
import { fileOptions, TEXTS_OR_INPUT } from "./file_options.ts";
import { answerFile, fromFile } from "./files.ts";
import { type GenerationCommandOptions, generationOptions, writeTexts } from "./generation.ts";
import { openModelFolder } from "./model.ts";
import { printable } from "./output.ts";
import { withSession } from "./session.ts";

interface SummariseOptions extends VectorCommandOptions, GenerationCommandOptions {
  readonly extractive: boolean;
  readonly sentences: number;
  readonly method: NonNullable<SummaryOptions["method"]>;
  readonly language: string;
}

/** Of picking alone; --prompt is of both. */
const EXTRACTIVE = ["sentences", "method", "language", "pooling", "normalize", "promptName", "truncateDim"];

export function summariseCommand(): Command {
  const command = fileOptions(
    newCommand(
      "summarise",
      "write a summary, with an encoder-decoder; with an encoder, pick the sentences that say most of a text",
    )
      .alias("summarize")
      .argument(...TEXTS_OR_INPUT),
  )
    .option("--extractive", "pick sentences, which takes an encoder", false)
    .option("--sentences <N>", "sentences of a summary, where they are picked", positiveInteger, 3)
    .addOption(
      new Option("--method <NAME>", "of picking: maximal marginal relevance, or centrality among all sentences")
        .choices(["mmr", "centrality"])
        .default("mmr"),
    )
    .option("--language <TAG>", "of the texts, to tell where sentences end", "en");
  const writing = generationOptions(vectorOptions(command), { prompt: false });
  return command.action(async (texts: readonly string[], options: SummariseOptions) => {
    const given = (names: readonly string[]) => names.find((name) => command.getOptionValueSource(name) === "cli");
    const flag = (name: string) => command.options.find((option) => option.attributeName() === name)!.long;
    const folder = await openModelFolder(options.model, options);
    const able = await isWriter(folder);
    const other = given(able && !options.extractive ? EXTRACTIVE : writing);
    if (other && able && !options.extractive) {
      throw new InputError(
        `${flag(other)} is for picking sentences, and ${folder.name} writes summaries: leave it out`,
      );
    }
    if (other) {
      throw new InputError(`${flag(other)} is for writing, which takes a model with a decoder: leave it out`);
    }
    if (able && options.extractive) {
      throw new InputError(`--extractive takes an encoder, and ${folder.name} is an encoder-decoder: leave it out`);
    }
    return able ? writeTexts("summarise", "summary_text", texts, options) : pick(texts, options);
  });
}

/** The sentences that say most of a text. */
function pick(texts: readonly string[], options: SummariseOptions): Promise<void> {
  return withSession(options, (session) => {
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
  });
}
