/** The options of every command that works through a data file: which one, which columns, where to. */

import { type Command, InvalidArgumentError, Option } from "commander";
import { OUTPUT_FORMATS, type OutputFormat } from "../data/layout.ts";
import { INPUT_FORMATS, type InputFormat } from "../data/table.ts";
import { InputError } from "./failure.ts";
import { type Keep, keepList } from "./keep.ts";

export interface InputOptions {
  /** A file, or - for standard input; `undefined` when texts are arguments. */
  readonly input?: string;
  readonly format?: InputFormat;
  readonly delimiter?: string;
  readonly column: string;
  readonly header: boolean;
  readonly onError: "stop" | "skip";
}

export interface FileOptions extends InputOptions {
  readonly output?: string;
  readonly outputFormat?: OutputFormat;
  readonly keep?: Keep;
  readonly resume: boolean;
  readonly force: boolean;
}

const INPUT_HELP = `
Input:
  Lines end with \\n, \\r\\n or \\r. CSV has its cells between commas, semicolons, tabs or |: what parts them is found by the
  columns in the header, or by rows that are alike; a line sep=; before the header tells it, and --delimiter always. TSV
  has tabs, and quotes are ordinary characters. In both, a column may be named by its number, from 1, where none has that
  name; one without a name has its number for one. A name that is there twice is refused where it is asked for.`;

const HELP = `
Files:
  Results are in the order of the rows and carry their numbers. While the run is on, they are in OUT.partial; OUT
  appears when it ends, and also, with what there is, when Ctrl-C interrupts it. --resume goes on from there, or after
  a kill, exactly once per row. In .npy, vector n is that of row n, and a row left out is NaN. Parquet is put together
  when the run ends; until then OUT.partial is JSON Lines.
  One job writes an output at a time (OUT.lock); what is there is refused, or with --force kept until the new file is
  complete. --resume goes on only with the same input, options and model, by the SHA-256 of every file of them.
  With --keep, columns of the input come before the results, under their names; one that the results repeat under its
  own name is there once, and one with another's name gets input_ before it. Text stays text; of JSON Lines and Parquet
  numbers, lists and objects stay what they are, dates and whole numbers beyond 2^53 become text.`;

/** @param held what `--column` holds, and what it is called where nothing is said */
export function inputOptions(command: Command, held: { column?: string; name?: string } = {}): Command {
  const { column = "the texts", name = "text" } = held;
  return command
    .option("--input <FILE>", "rows of a file, also gzipped; - is standard input")
    .addOption(
      new Option("--format <NAME>", "of --input (default: by its extension, else lines)").choices(INPUT_FORMATS),
    )
    .option("--column <NAME>", `the column with ${column}`, name)
    .option(
      "--delimiter <CHARACTER>",
      "between cells of CSV, \\t is a tab (default: found among , ; tab |)",
      delimiterOf,
    )
    .option("--no-header", "CSV and TSV begin with a row of data; columns are named 1, 2, 3...")
    .addHelpText("after", INPUT_HELP)
    .addOption(
      new Option("--on-error <WHAT>", "at a row that cannot be used: stop, or skip it and count it")
        .choices(["stop", "skip"])
        .default("stop"),
    );
}

/**
 * Adds them to a command whose arguments are texts, and sees to it that either is given.
 * @param fixed arguments before the texts, which may also stand for every row of a file
 */
export function fileOptions(
  command: Command,
  { fixed = 0, ...held }: { fixed?: number; column?: string; name?: string } = {},
): Command {
  return inputOptions(command, held)
    .option("--output <FILE>", "where results go: .jsonl, .csv, .parquet, or .npy for vectors; - is stdout")
    .addOption(new Option("--output-format <NAME>", "of --output (default: by its extension)").choices(OUTPUT_FORMATS))
    .option(
      "--keep <COLUMNS>",
      "columns of --input that --output has as well, separated by commas, or all; input_NAME where results have the NAME",
      keepList,
    )
    .option("--resume", "go on with the unfinished run that left --output", false)
    .option("--force", "replace --output, once the new one is complete", false)
    .addHelpText("after", HELP)
    .hook("preAction", (_, { args, registeredArguments }) => {
      const { input, output, keep, resume, force } = command.opts<FileOptions>();
      const texts = registeredArguments.at(-1)!.name();
      const refuse = (message: string): never => command.error(`error: ${message}`);
      if (input === undefined && args.length <= fixed) {
        refuse(`missing required argument '${texts}', or a file of them with --input`);
      }
      if (input !== undefined && args.length > fixed) refuse(`give either ${texts} or --input`);
      if (input === undefined && output !== undefined) refuse("--output needs --input; texts are answered on stdout");
      const needs = Object.entries({ resume, force, keep }).find(([, given]) => given)?.[0];
      if (output === undefined && needs) refuse(`--${needs} needs --output`);
      if (output === "-" && resume) refuse("--resume needs a file as --output; standard output keeps nothing");
      if (input === "-" && resume) refuse("standard input cannot be read again: --resume needs a file as --input");
    });
}

function delimiterOf(text: string): string {
  const delimiter = text === "\\t" ? "\t" : text;
  if (/^[^"\r\n\w]$/.test(delimiter)) return delimiter;
  throw new InvalidArgumentError("It must be one character that is no quote, letter, digit or line end; \\t is a tab.");
}

/** The TEXT arguments of a command that may have a file in their place. */
export const TEXTS_OR_INPUT = [
  "[TEXT...]",
  "texts; - reads lines from standard input and answers each in turn",
] as const;

/** An option that texts need and a file may have a column for. @throws InputError where it is missing */
export function required(value: string | undefined, option: string): string {
  if (value !== undefined) return value;
  throw new InputError(`required option '${option}' not specified`);
}
