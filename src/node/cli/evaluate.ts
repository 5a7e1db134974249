/** `evaluate --task TASK --input LABELLED`: how well a model does, against data whose answers are known. */

import { basename } from "node:path";
import { type Command, Option } from "commander";
import { withClaim, writeOutput } from "../data/claim.ts";
import { type CommonOptions, newCommand, positiveInteger } from "./command.ts";
import type { Evaluation, EvaluationOptions, Report } from "./evaluate/evaluation.ts";
import { evaluateMasks } from "./evaluate/masked_pieces.ts";
import { evaluateAnswers } from "./evaluate/question_answering.ts";
import { reportSvg, reportText } from "./evaluate/report.ts";
import { evaluateRetrieval } from "./evaluate/retrieval.ts";
import { evaluateSimilarity } from "./evaluate/similarity.ts";
import { evaluateTexts } from "./evaluate/text_classification.ts";
import { evaluateTokens } from "./evaluate/token_classification.ts";
import { InputError } from "./failure.ts";
import { inputOptions } from "./file_options.ts";
import { placeOf, rowOutcomes } from "./file_rows.ts";
import { print, printRaw, say, warnings } from "./output.ts";
import { barsOn, progressBar } from "./progress_bar.ts";
import { type Session, withModel } from "./session.ts";

const EVALUATIONS = {
  "text-classification": evaluateTexts,
  "token-classification": evaluateTokens,
  "question-answering": evaluateAnswers,
  sts: evaluateSimilarity,
  retrieval: evaluateRetrieval,
  "fill-mask": evaluateMasks,
} as const;

interface EvaluateOptions extends CommonOptions, EvaluationOptions {
  readonly task: keyof typeof EVALUATIONS;
  readonly report?: string;
  readonly force: boolean;
}

const HELP = `
Tasks, what they read and what they are measured by:
  text-classification    columns text, label (a name or number of the model's labels), --pair-column for pairs:
                         accuracy, F1 per class, confusion matrix
  token-classification   CoNLL (word ... tag), or JSONL and Parquet with columns tokens, tags: F1 of whole entities,
                         as in seqeval
  question-answering     SQuAD's JSON, or columns question, context (--pair-column), answers (--label-column): exact
                         match and F1, as SQuAD defines them
  sts                    columns sentence1, sentence2 (--pair-column), score (--label-column): Spearman and Pearson of
                         the similarity of vectors, or of a model with one label that reads both together
  retrieval              columns anchor, positive (--pair-column): where each anchor's positives stand among all of them,
                         by vectors: MRR, recall
  fill-mask              column text: share of masked word pieces that are the first guess, or among the first 5;
                         every 7th piece is masked`;

export function evaluateCommand(): Command {
  return inputOptions(newCommand("evaluate", "measure how well a model does on labelled data"))
    .addOption(new Option("--task <NAME>", "what to measure").choices(Object.keys(EVALUATIONS)).makeOptionMandatory())
    .option("--pair-column <NAME>", "the column with second texts")
    .option("--label-column <NAME>", "the column with the right answers")
    .addOption(
      new Option(
        "--scheme <NAME>",
        "how tags make entities: as conlleval reads them, or by IOB2 or IOBES to the letter",
      )
        .choices(["lenient", "strict"])
        .default("lenient"),
    )
    .option("--max-answer-len <N>", "tokens of an answer", positiveInteger, 30)
    .option("--impossible", "let the empty answer compete, for questions without one (SQuAD 2.0)", false)
    .option("--report <FILE>", "also a chart, as SVG; - is standard output")
    .option("--force", "replace --report, once the new one is complete", false)
    .addHelpText("after", HELP)
    .action((given: EvaluateOptions, command: Command) => {
      if (given.input === undefined) throw new InputError("required option '--input <FILE>' not specified");
      // every task has names of its own for its columns
      const { column, ...others } = given;
      const options = command.getOptionValueSource("column") === "default" ? others : given;
      const { report, input, force } = options;
      const refuse = force ? undefined : new InputError(`${report}: it exists; --force replaces it`);
      // the file of the chart is this job's own before any work is done
      return withClaim(report === "-" ? undefined : report, { inputs: [input], refuse }, (chart) =>
        withModel(given, chart, false, (session) => evaluate(session, options)),
      );
    });
}

async function evaluate(session: Session, options: EvaluateOptions): Promise<void> {
  const { task, json, model } = options;
  const { report, skipped } = await measure(session, options, await EVALUATIONS[task](options));
  const { classes, ...rest } = report;
  const plain = { task, model, skipped, ...rest, ...(classes && { classes: Object.fromEntries(classes) }) };
  const said = json ? session.json(plain) : reportText(report, skipped).join("\n");
  const svg = reportSvg(report, `${task}: ${basename(model)}`);
  if (options.report === "-") {
    say(said); // standard output has the chart
    await printRaw(svg);
    return;
  }
  await print(said);
  if (session.output) await writeOutput(session.output, (write) => write(svg));
}

async function measure(
  session: Session,
  { onError, json }: EvaluateOptions,
  { table, begin }: Evaluation,
): Promise<{ readonly report: Report; readonly skipped: number }> {
  const notes = warnings();
  const bar = progressBar(undefined, barsOn({ json }));
  let [rows, skipped] = [0, 0];
  try {
    const { pretrained } = await session.start();
    const { plan, inputOf, add, report } = begin(pretrained, session.taskOptions);
    for await (const outcome of rowOutcomes(session, pretrained.model, plan, table, inputOf)) {
      const { row, fault } = outcome;
      rows++;
      if (fault === undefined) add(outcome.input, outcome.result);
      else {
        const what = `${table.name}: ${placeOf(row)}: ${fault}`;
        if (onError === "stop") throw new InputError(`${what}; --on-error skip leaves such rows out`);
        notes.warn(what);
        skipped++;
      }
      bar.at(row.number, row.share);
    }
    bar.end();
    if (rows === skipped) throw new InputError(`${table.name}: no row to measure by`);
    return { report: report(notes.warn), skipped };
  } finally {
    bar.end();
    notes.end();
    await table.close();
  }
}
