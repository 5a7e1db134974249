/** The options of the bench's commands, and which of them contradict each other. Nothing is measured to tell. */

import { type Command, InvalidArgumentError } from "commander";
import type { Scalar } from "../src/kernels/kernel.ts";
import { requireWritable } from "./outputs.ts";
import type { ModelShapeName } from "./random_model.ts";
import type { WorkbenchOptions } from "./workbench_claims.ts";

/** Of every command that measures. */
export interface CommonOptions {
  readonly adapter: string;
  readonly dtype: "f32" | "f16" | "q8";
  readonly budget: number;
  readonly json: string | true | undefined;
  readonly html?: string;
  readonly tuned?: boolean;
}

/** Of those that time kernels. */
interface ScalarOptions extends CommonOptions {
  readonly dtype: Scalar;
}

export interface QuickOptions extends ScalarOptions {
  readonly full?: true;
  readonly compare?: readonly string[];
  readonly report?: readonly string[];
}

export interface KernelOptions extends ScalarOptions {
  readonly shape?: readonly number[];
}

export interface FileOptions extends ScalarOptions, WorkbenchOptions {
  readonly watch?: true;
}

export interface ModelOptions extends CommonOptions {
  readonly full?: true;
  readonly model?: string;
  readonly shape?: ModelShapeName;
  readonly batch?: number;
  readonly tokens?: number;
  readonly ragged?: true;
}

type AnyOptions = Omit<QuickOptions, "dtype"> & Omit<ModelOptions, "dtype"> & Pick<CommonOptions, "dtype">;

const MEASURING = ["adapter", "budget", "json", "html", "tuned"];

/** Options of the whole program that a command makes something of. */
const TAKEN: Readonly<Record<string, readonly string[]>> = {
  bench: [...MEASURING, "dtype", "full", "compare", "report"],
  kernels: [...MEASURING, "dtype"],
  kernel: [...MEASURING, "dtype"],
  model: [...MEASURING, "dtype", "full"],
  peers: MEASURING,
};

/** Whether a command makes something of an option of the whole program: its help offers no other. */
export function takes(command: Command, option: string): boolean {
  return TAKEN[command.name()]?.includes(option) ?? true;
}

/**
 * What can be told of a command line by itself.
 * @throws RangeError for options that are meant for another command or contradict each other, and as `requireWritable`
 */
export async function refuseContradictions(program: Command, command: Command): Promise<void> {
  const options = command.optsWithGlobals<AnyOptions>();
  const given = program.options
    .map((option) => option.attributeName())
    .filter((name) => program.getOptionValueSource(name) === "cli");
  const { compare, report, json, html } = options;
  if (compare && report) throw new RangeError("--compare and --report are two questions: ask one at a time");
  const alone = compare ? "compare" : report ? "report" : undefined;
  if (alone) {
    if (command !== program) {
      throw new RangeError(`--${alone} reads results and measures nothing: give it without "${command.name()}"`);
    }
    const other = given.find((name) => name !== alone && !(alone === "report" && name === "html"));
    if (other) throw new RangeError(`--${alone} reads results and measures nothing: leave --${other} out`);
  }
  refuseUntaken(command, given, options);
  if (typeof json === "string") await requireWritable("--json", json);
  if (html !== undefined) await requireWritable("--html", html);
}

function refuseUntaken(command: Command, given: readonly string[], options: AnyOptions): void {
  const { dtype, full, model, shape } = options;
  const name = command.name();
  if (name === "peers" && dtype !== "f32") {
    throw new RangeError(`peers are measured in f32, which all of them have: leave --dtype ${dtype} out`);
  }
  if (name !== "model" && dtype === "q8") {
    throw new RangeError(
      "--dtype q8 is of models: bench model --dtype q8; its kernel is timed by bench kernels matmul_q8",
    );
  }
  const untaken = given.find((option) => option !== "dtype" && !takes(command, option));
  if (untaken) throw new RangeError(`"${name}" makes nothing of --${untaken}: leave it out`);
  if (name !== "model") return;
  const one = model !== undefined ? "--model" : shape !== undefined ? "--shape" : undefined;
  if (model !== undefined && shape !== undefined) {
    throw new RangeError("--shape is of a random model, --model names another: give one of them");
  }
  if (full && one) throw new RangeError(`--full says which random models, ${one} names one: give one of them`);
}

export function positiveInteger(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError("it must be a whole number from 1");
  return Number(text);
}

export function fileShape(text: string): number[] {
  if (!/^[1-9]\d{0,8}(x[1-9]\d{0,8})*$/.test(text)) throw new InvalidArgumentError("write it as 128x768x768");
  return text.split("x").map(Number);
}

export function kernelShape(text: string): number[] {
  if (!/^[1-9]\d{0,6}(x[1-9]\d{0,6}){1,2}$/.test(text)) throw new InvalidArgumentError("write it as 128x768x768");
  return text.split("x").map(Number);
}
