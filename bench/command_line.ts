/** The options of the bench's commands, and which of them contradict each other. Nothing is measured to tell. */

import { type Command, InvalidArgumentError } from "commander";
import type { Workgroups } from "../src/kernels/kernel.ts";
import { dtypeOption } from "../src/node/cli/command.ts";
import type { Claim } from "../src/node/data/claim.ts";
import { claimResults, type OutputOptions } from "./outputs.ts";

/** Of every command that measures. */
export interface CommonOptions extends OutputOptions {
  readonly adapter: string;
  readonly dtype: "f32" | "f16" | "q8";
  readonly budget: number;
  readonly tuned?: boolean;
}

/** @param dtypes that it can be asked for; it has no `--dtype` where there are none */
export function measures(command: Command, dtypes: readonly CommonOptions["dtype"][]): Command {
  command.option("--adapter <NAME>", "hardware, software, or a part of an adapter's name", "auto");
  if (dtypes.length > 0) {
    command.addOption(dtypeOption("storage of weights and activations", dtypes).default("f32"));
  }
  return command
    .option("--budget <MS>", "time for each row, of at least 3 repeats", positiveInteger, 2000)
    .option("--json [FILE]", "write JSON: a file, or - or nothing: JSON Lines to stdout in place of the tables")
    .option("--html <FILE>", "write a page with plots and tables")
    .option("--wide", "tables with all columns; without it they fit 100 characters")
    .option("--force", "replace files of --json and --html that are there")
    .option("--tuned", "choose matmuls by what bert-webgpu tune stored for the adapter, not by the built-in choice");
}

/** As they are given. */
interface ResultOptions {
  readonly json?: string | true;
  readonly html?: string;
  readonly force?: boolean;
  readonly report?: readonly string[];
}

/**
 * What can be told of a command line by itself. The files of results are this run's own from then on.
 * @throws RangeError for options that stand before another command or contradict each other, and as `claimResults`
 */
export async function refuseContradictions(program: Command, command: Command): Promise<void> {
  const given = program.options
    .map((option) => option.attributeName())
    .filter((name) => program.getOptionValueSource(name) === "cli");
  if (command !== program && given.length > 0) {
    throw new RangeError(`--${given[0]} is of bench alone: give "${command.name()}" options of its own behind it`);
  }
  const alone = given.find((name) => name === "compare" || name === "report");
  const other = given.find((name) => name !== alone && !(alone === "report" && ["html", "force"].includes(name)));
  if (alone && other) throw new RangeError(`--${alone} reads results and measures nothing: leave --${other} out`);
  const { json, html, force, report: inputs } = command.opts<ResultOptions>();
  if (html === "-" && alone !== "report") throw new RangeError("--html - would come between the tables: name a file");
  const claim = (option: string, file: string): Promise<Claim> => claimResults(option, file, { force, inputs });
  if (json !== undefined) {
    command.setOptionValue("json", json === true || json === "-" ? true : await claim("--json", json));
  }
  if (html !== undefined && html !== "-") command.setOptionValue("html", await claim("--html", html));
}

export function positiveInteger(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError("it must be a whole number from 1");
  return Number(text);
}

export function kernelShape(text: string): number[] {
  if (!/^[1-9]\d{0,6}(x[1-9]\d{0,6}){1,2}$/.test(text)) throw new InvalidArgumentError("write it as 128x768x768");
  return text.split("x").map(Number);
}

export function workgroupCounts(text: string): Workgroups {
  if (!/^[1-9]\d{0,4}(x[1-9]\d{0,4}){0,2}$/.test(text))
    throw new InvalidArgumentError("write it as 12, 12x2 or 12x2x1");
  const [x, y = 1, z = 1] = text.split("x").map(Number);
  return [x!, y, z];
}
