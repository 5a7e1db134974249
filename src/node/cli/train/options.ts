/** The options of `train`, under the words of Hugging Face's Trainer. */

import { type Command, InvalidArgumentError, Option } from "commander";
import type { SentenceLossName } from "../../../train/index.ts";
import { INPUT_FORMATS, type InputFormat } from "../../data/table.ts";
import { positiveInteger, wordList } from "../command.ts";

export interface TrainOptions {
  readonly json: boolean;
  readonly verify: boolean;
  readonly adapter: string;
  readonly model?: string;
  readonly config?: string;
  readonly tokenizer?: string;
  readonly input: readonly string[];
  readonly format?: InputFormat;
  readonly delimiter?: string;
  readonly header: boolean;
  readonly textColumn?: string;
  readonly pairColumn?: string;
  readonly labelColumn?: string;
  readonly evalInput?: readonly string[];
  readonly evalSplit?: number;
  readonly maxLength?: number;
  readonly output: string;
  readonly report?: string;
  readonly resume: boolean;
  readonly force: boolean;
  readonly epochs?: number;
  readonly maxSteps?: number;
  readonly learningRate?: number;
  readonly weightDecay?: number;
  readonly warmupSteps?: number;
  readonly schedule?: (typeof SCHEDULES)[number];
  readonly maxGradNorm?: number;
  readonly gradientAccumulation?: number;
  readonly batchTokens?: number;
  readonly batchSize?: number;
  readonly evalSteps?: number;
  readonly saveSteps?: number;
  readonly saveLimit: number;
  readonly loggingSteps: number;
  readonly metric?: string;
  readonly earlyStopping?: number;
  readonly seed: number;
  readonly dtype: "f32" | "f16";
  readonly dropout?: number;
  readonly freeze?: readonly string[];
  readonly recompute: boolean;
  readonly loraRank?: number;
  readonly loraAlpha?: number;
  readonly loraTargets?: readonly string[];
  readonly loraDropout?: number;
  /** Of some commands. */
  readonly maskShare: number;
  readonly wholeWord: boolean;
  readonly shuffleBuffer?: number;
  readonly problemType?: "single_label_classification" | "multi_label_classification" | "regression";
  readonly newLabels: boolean;
  readonly docStride: number;
  readonly maxAnswerLen: number;
  readonly loss?: SentenceLossName;
  readonly negativeColumn?: readonly string[];
  readonly pooling?: "mean" | "cls" | "max";
  readonly scale?: number;
  readonly margin?: number;
  readonly matryoshka?: readonly number[];
  readonly miniBatchSize?: number;
}

export const SCHEDULES = ["constant", "linear", "cosine"] as const;

const HELP = `
Training:
  DIR becomes a model folder in Hugging Face's layout: config.json, model.safetensors, the tokenizer's files, and README.md
  with data, options and metrics. While the run is on it has checkpoint-STEP folders, each whole or not there; the
  weights at the end are those of the best by --metric where there is an evaluation, else the last. Ctrl-C saves
  and ends; --resume goes on from the last checkpoint, after a kill as well, and comes to the same bits as a run that
  was not interrupted. One job writes to DIR at a time (DIR.lock).
  A batch is --batch-size rows as they come, or rows of like lengths of at most --batch-tokens tokens; a step is taken
  on --gradient-accumulation batches together, as on one large batch. Nothing is padded.
  Progress is on stderr; with --json, stdout has an object per line: begin, step, evaluation, saved, end or interrupted.
  --report is one file that loads nothing: curves of the whole run, the confusion matrix of single labels, and what the
  model card says. It is written when the run ends, is interrupted or fails; --resume replaces the report of its run.`;

/** @param columns what its columns are called where nothing is said */
export function trainOptions(
  command: Command,
  columns: { text?: string; pair?: string; label?: string; answers?: string },
): Command {
  command
    .requiredOption("--input <FILE...>", "what is learnt, also gzipped; several files are one after the other")
    .requiredOption("--output <DIR>", "the folder of the trained model")
    .option("--model <MODEL>", "begin with a model folder, or org/name[@revision] of the Hugging Face hub")
    .option("--config <FILE>", "begin with random weights for this config.json, and with --tokenizer")
    .option("--tokenizer <DIR>", "the folder with vocab.txt or tokenizer.json, for --config");
  if (columns.text) tableOptions(command, columns.text);
  if (columns.pair) command.option("--pair-column <NAME>", `the column with ${columns.pair}`);
  if (columns.label)
    command.option(
      "--label-column <NAME>",
      `the column with ${columns.answers ?? "the answers"} (default: ${columns.label})`,
    );
  return command
    .option("--eval-input <FILE...>", "what is evaluated on")
    .option(
      "--eval-split <SHARE>",
      "evaluate on this share of the rows, chosen by the seed, in place of --eval-input",
      share,
    )
    .option("--max-length <N>", "tokens of a text (default: what the model takes, 512 at most)", positiveInteger)
    .option("--epochs <N>", "times that all rows are learnt from (default: 3)", positiveInteger)
    .option("--max-steps <N>", "steps in all, in place of --epochs", positiveInteger)
    .option("--learning-rate <RATE>", "at its highest (default: 5e-5)", number)
    .option("--weight-decay <RATE>", "of all but biases and normalisations (default: 0.01)", number)
    .option("--warmup-steps <N>", "steps in which the rate rises from 0; below 1 a share of all (default: 0)", number)
    .addOption(
      new Option("--schedule <NAME>", "how the rate falls afterwards (default: linear, to 0)").choices(SCHEDULES),
    )
    .option("--max-grad-norm <NORM>", "longer gradients are shortened to it; 0: none are (default: 1)", number)
    .option("--gradient-accumulation <N>", "batches of a step (default: 1)", positiveInteger)
    .option("--batch-tokens <N>", "tokens of a batch", positiveInteger)
    .option("--batch-size <N>", "rows of a batch (default: 8)", positiveInteger)
    .option("--eval-steps <N>", "steps between evaluations (default: after each epoch)", positiveInteger)
    .option("--save-steps <N>", "steps between checkpoints (default: after each epoch)", positiveInteger)
    .option("--save-limit <N>", "checkpoints that are kept, beside the best", positiveInteger, 1)
    .option("--logging-steps <N>", "steps between two that are told", positiveInteger, 10)
    .option("--metric <NAME>", "of the evaluation, by which checkpoints are better or worse")
    .option("--early-stopping <N>", "end after so many evaluations that were no better than the best", positiveInteger)
    .option("--seed <N>", "of the order, of masks, of new weights and of dropout", wholeNumber, 0)
    .addOption(
      new Option("--dtype <TYPE>", "of activations and of the weights that are computed with; what is trained is f32")
        .choices(["f32", "f16"])
        .default("f32"),
    )
    .option("--dropout <SHARE>", "in place of that of config.json", probability)
    .option(
      "--freeze <PARTS>",
      "what stays as it is, such as embeddings,layers:0-3: also layers:5, encoder (both of these), pooler",
      parts,
    )
    .option(
      "--lora-rank <N>",
      "train adapters of this rank (LoRA) and the new head alone, into PEFT's files",
      positiveInteger,
    )
    .option("--lora-alpha <A>", "what they add is multiplied by A / N (default: 8)", aboveZero)
    .option(
      "--lora-targets <NAMES>",
      "which linear layers have one: query, key, value, dense (default: query,value)",
      targets,
    )
    .option("--lora-dropout <SHARE>", "of the inputs of adapters (default: 0)", probability)
    .option(
      "--recompute",
      "compute layers again in the backward pass: less memory, a third more time, the same bits",
      false,
    )
    .option("--report <FILE.html>", "a page with plots of the run, written when it ends, however it does", page)
    .option("--resume", "go on from the last checkpoint of --output", false)
    .option("--force", "replace what is in --output, and --report", false)
    .option("--json", "JSON Lines: one object per line", false)
    .option("--adapter <NAME>", "auto, hardware, software, or a part of an adapter's name", "auto")
    .option("--verify", "hash the files of a model of the hub before they are used, also those in the cache", false)
    .addHelpText("after", HELP);
}

/**
 * How files are read that have a text a row.
 * @param column what that of the texts is called where nothing is said
 */
export function tableOptions(command: Command, column: string): Command {
  return command
    .addOption(
      new Option("--format <NAME>", "of the files (default: by their extensions, else lines)").choices(INPUT_FORMATS),
    )
    .option("--delimiter <CHARACTER>", "between cells of CSV (default: found)")
    .option("--no-header", "CSV and TSV begin with a row of data; columns are named 1, 2, 3...")
    .option("--text-column <NAME>", `the column with the texts (default: ${column})`);
}

/** A browser shows a file as a page by its name. */
function page(text: string): string {
  if (/\.html?$/i.test(text)) return text;
  throw new InvalidArgumentError("It must end with .html.");
}

function parts(text: string): string[] {
  const words = wordList(text);
  if (words.every((word) => /^(embeddings|encoder|pooler|layers:\d+(-\d+)?)$/.test(word))) return words;
  throw new InvalidArgumentError("There are embeddings, layers:A-B or layers:N (from 0), encoder and pooler.");
}

/** A path within the model may stand before each. */
function targets(text: string): string[] {
  const words = wordList(text);
  if (words.every((word) => /(^|\.)(query|key|value|dense)$/.test(word))) return words;
  throw new InvalidArgumentError("There are query, key, value and dense.");
}

export function number(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value) && value >= 0) return value;
  throw new InvalidArgumentError("It must be a number from 0.");
}

export function wholeNumber(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value < 2 ** 32) return value;
  throw new InvalidArgumentError("It must be a whole number from 0 to 4294967295.");
}

function probability(text: string): number {
  const value = number(text);
  if (value < 1) return value;
  throw new InvalidArgumentError("It must be from 0 to less than 1.");
}

export function aboveZero(text: string): number {
  const value = number(text);
  if (value > 0) return value;
  throw new InvalidArgumentError("It must be above 0.");
}

export function dimensions(text: string): number[] {
  return text.split(",").map(positiveInteger);
}

export function share(text: string): number {
  const value = number(text);
  if (value > 0 && value < 1) return value;
  throw new InvalidArgumentError("It must be above 0 and below 1.");
}
