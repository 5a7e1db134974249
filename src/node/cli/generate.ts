/** `translate TEXT...` and `generate TEXT...`: what a model writes from texts. */

import type { Command } from "commander";
import { streamText } from "../../bert/generation/generator.ts";
import { harmless } from "../terminal.ts";
import { newCommand } from "./command.ts";
import { InputError } from "./failure.ts";
import { fileOptions, TEXTS_OR_INPUT } from "./file_options.ts";
import { fromFile } from "./files.ts";
import {
  type GenerationCommandOptions,
  generationOptions,
  generationSettings,
  settled,
  writeTexts,
} from "./generation.ts";
import { printRaw } from "./output.ts";
import { withGenerator } from "./session.ts";

export function translateCommand(): Command {
  const command = fileOptions(
    newCommand("translate", "write texts in the language that an encoder-decoder was trained for").argument(
      ...TEXTS_OR_INPUT,
    ),
  );
  generationOptions(command);
  return command.action((texts: readonly string[], options: GenerationCommandOptions) =>
    writeTexts("translate", "translation_text", texts, options),
  );
}

interface GenerateOptions extends GenerationCommandOptions {
  readonly stream?: boolean;
}

export function generateCommand(): Command {
  const command = fileOptions(
    newCommand("generate", "write what follows from texts: of an encoder-decoder, or a causal BERT").argument(
      ...TEXTS_OR_INPUT,
    ),
  ).option("--stream", "print one text as it is written, piece by piece");
  generationOptions(command);
  return command.action((texts: readonly string[], options: GenerateOptions) =>
    options.stream ? streamTo(texts, options) : writeTexts("generate", "generated_text", texts, options),
  );
}

async function streamTo(texts: readonly string[], options: GenerateOptions): Promise<void> {
  if (fromFile(options) || options.json)
    throw new InputError("--stream prints plain text as it comes: leave out --input and --json");
  if (texts.length !== 1 || texts[0] === "-") throw new InputError("--stream takes one text as an argument");
  const prepare: typeof settled = (...of) => {
    const whole = settled(...of);
    const { beams, returned } = whole;
    if (beams > 1)
      throw new InputError(`--stream: a search of ${beams} beams knows its text at the end: give --beams 1`);
    if (returned > 1) throw new InputError(`--stream: one text at a time, and not ${returned}: give --sequences 1`);
    return whole;
  };
  const asked = generationSettings(options);
  await withGenerator(
    options,
    (...of) => prepare(...of, asked),
    async (session) => {
      const { pretrained } = await session.start();
      const settings = { ...asked, onWarning: session.taskOptions.onWarning };
      for await (const piece of streamText(pretrained, texts[0]!, settings)) await printRaw(harmless(piece));
      await printRaw("\n");
    },
  );
}
