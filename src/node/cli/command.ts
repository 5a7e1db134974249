/** What all commands share: their options, and how those are read. */

import { Command, InvalidArgumentError, Option } from "commander";
import { bundledModel } from "./package.ts";

export interface CommonOptions {
  readonly json: boolean;
  readonly model: string;
  readonly adapter: string;
  readonly dtype: "f32" | "f16" | "q8";
  readonly verify: boolean;
  readonly batchInvariant: boolean;
  readonly lora?: string;
}

/**
 * A command with the options that all have. Those that name the GPU are taken by commands without one as well, so that
 * one set of options fits every command of a script; `gpu: false` says so in the help.
 */
export function newCommand(name: string, description: string, { gpu = true }: { gpu?: boolean } = {}): Command {
  const unused = gpu ? "" : " (no effect here: this runs without a GPU)";
  return new Command(name)
    .description(description)
    .option("--json", "JSON Lines: one object per line", false)
    .addOption(
      new Option(
        "--model <MODEL>",
        "model folder in Hugging Face layout, or org/name[@revision] of the Hugging Face hub",
      ).default(bundledModel(), "the bundled movie-bert"),
    )
    .option(
      "--lora <ADAPTER>",
      `a LoRA adapter of PEFT over the model: a folder with adapter_config.json, or org/name[@revision] of the hub${unused}`,
    )
    .option(
      "--verify",
      "hash the files of a model or adapter of the hub before they are used, also those in the cache",
      false,
    )
    .option("--adapter <NAME>", `auto, hardware, software, or a part of an adapter's name${unused}`, "auto")
    .addOption(
      dtypeOption(`storage of weights and activations; q8: linear layers of the encoder in int8${unused}`, [
        "f32",
        "f16",
        "q8",
      ]).default("f32"),
    )
    .option("--batch-invariant", `results to the bit the same in any batch; slower for few texts${unused}`, false);
}

/** `--dtype`, which is spelt fp32 and fp16 as well. */
export function dtypeOption(description: string, dtypes: readonly CommonOptions["dtype"][]): Option {
  const option = new Option("--dtype <TYPE>", `${description}; fp32 and fp16 are read too`).choices(dtypes);
  const { parseArg } = option;
  return option.argParser((text: string) => parseArg!.call(option, text.replace(/^fp/, "f"), undefined));
}

/** The TEXT arguments of a command. */
export const TEXTS = ["<TEXT...>", "texts; - reads lines from standard input and answers each in turn"] as const;

export function positiveInteger(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value > 0) return value;
  throw new InvalidArgumentError("It must be a whole number from 1.");
}

export function wordList(text: string): string[] {
  const words = text.split(",").map((word) => word.trim());
  if (words.every((word) => word !== "")) return words;
  throw new InvalidArgumentError("It must be words separated by commas.");
}
