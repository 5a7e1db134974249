/** `evaluate --task TASK --input LABELLED`: how well a model does, against data whose answers are known. */

import { writeFile } from "node:fs/promises";
import { type Command, Option } from "commander";
import type { Table } from "../data/table.ts";
import { type CommonOptions, newCommand, positiveInteger } from "./command.ts";
import { EVALUATIONS, type EvaluationName, type Report } from "./evaluations.ts";
import { InputError } from "./failure.ts";
import { type InputOptions, inputOptions } from "./file_options.ts";
import { placeOf, rowOutcomes } from "./file_rows.ts";
import { print, warnings } from "./output.ts";
import { progressBar } from "./progress_bar.ts";
import { reportSvg, reportText } from "./report.ts";
import { type Session, withSession } from "./session.ts";

export interface EvaluateOptions extends CommonOptions, InputOptions {
  readonly input: string;
  readonly task: EvaluationName;
  readonly pairColumn?: string;
  readonly labelColumn?: string;
  readonly scheme: "lenient" | "strict";
  readonly maxAnswerLen: number;
  readonly report?: string;
}

const HELP = `
Tasks and what they are measured by:
  text-classification    accuracy, F1 per class, confusion matrix. Columns: text, label (a name or a number of the
                         model's labels), --pair-column for pairs
  token-classification   F1 of whole entities, as seqeval has it. CoNLL (word ... tag), or JSONL and Parquet with the
                         columns tokens, tags
  question-answering     exact match and F1 as SQuAD defines them. SQuAD's JSON, or JSONL and Parquet with the columns
                         question, context, answers
  sts                    Spearman and Pearson. Columns: sentence1, sentence2, score; compared by their vectors, or read
                         together by a model with one label
  fill-mask              share of masked word pieces that are the model's first guess, or among its first 5. Column:
                         text; every 7th piece is masked`;

export function evaluateCommand(): Command {
  return inputOptions(newCommand("evaluate", "measure how well a model does on labelled data"))
    .addOption(
      new Option("--task <NAME>", "what to measure")
        .choices(Object.keys(EVALUATIONS) as EvaluationName[])
        .makeOptionMandatory(),
    )
    .option("--pair-column <NAME>", "the column with second texts, or contexts")
    .option("--label-column <NAME>", "the column with labels, tags, answers or scores")
    .addOption(
      new Option("--scheme <NAME>", "how tags make entities: as conlleval reads them, or by IOB2 or IOBES to the letter")
        .choices(["lenient", "strict"])
        .default("lenient"),
    )
    .option("--max-answer-len <N>", "tokens of an answer", positiveInteger, 30)
    .option("--report <FILE>", "a chart as SVG")
    .addHelpText("after", HELP)
    .action((given: EvaluateOptions, command: Command) => {
      if (given.input === undefined) throw new InputError("required option '--input <FILE>' not specified");
      // every task has names of its own for its columns
      const { column, ...others } = given;
      const options = command.getOptionValueSource("column") === "default" ? others : given;
      return withSession(given, (session) => evaluate(session, options));
    });
}

export type GivenOptions = Omit<EvaluateOptions, "column"> & { readonly column?: string };

async function evaluate(session: Session, options: GivenOptions): Promise<void> {
  const { table, begin } = await EVALUATIONS[options.task](options);
  const report = await measure(session, options, table, begin);
  await print(options.json ? JSON.stringify(asJson(report)) : reportText(report).join("\n"));
  if (options.report !== undefined) await writeFile(options.report, reportSvg(report));
}

async function measure(
  session: Session,
  { onError }: GivenOptions,
  table: Table,
  begin: Awaited<ReturnType<(typeof EVALUATIONS)[EvaluationName]>>["begin"],
): Promise<Report> {
  const notes = warnings();
  const bar = progressBar();
  let skipped = 0;
  try {
    const { pretrained } = await session.start();
    const { plan, inputOf, add, report } = begin(pretrained, session.taskOptions);
    for await (const { row, fault, ...outcome } of rowOutcomes(pretrained.model, plan, table, inputOf)) {
      bar.at(row.number, row.share);
      if (fault === undefined) {
        if ("result" in outcome) add(outcome.input, outcome.result);
        continue;
      }
      const what = `${table.name}: ${placeOf(row)}: ${fault}`;
      if (onError === "stop") throw new InputError(`${what}; --on-error skip leaves such rows out`);
      notes.warn(what);
      skipped++;
    }
    bar.end();
    return { ...report(notes.warn), skipped };
  } finally {
    bar.end();
    notes.end();
    await table.close();
  }
}

function asJson({ classes, ...report }: Report): unknown {
  return { ...report, ...(classes && { classes: Object.fromEntries(classes) }) };
}
