/** Pipelines of models that write: names, options in snake case and shapes of results of transformers.js. */

import { ModelError } from "../bert/config.ts";
import {
  GENERATION_OPTIONS,
  type GenerationOptions,
  generateTexts,
  inputOf,
  type TextGenerator,
} from "../bert/generation/generator.ts";
import { GenerationModel } from "../bert/generation/model.ts";
import { camelOptions, type SnakeOptions } from "../bert/tasks/pipeline.ts";
import type { Pretrained } from "../bert/tasks/pretrained.ts";
import type { Summary, SummaryOptions } from "../bert/tasks/summarization.ts";
import type { Folder } from "../files/bytes.ts";

export type WritingOptions = SnakeOptions<GenerationOptions>;

export interface ContinuationOptions extends Omit<WritingOptions, "prompt"> {
  /** Whether results begin with what they go on from. Default true. */
  readonly return_full_text?: boolean | undefined;
}

/** A list for one text or several: of each `num_return_sequences`, one after another. */
type Write<Result> = (texts: string | readonly string[], options?: WritingOptions) => Promise<Result[]>;

interface GeneratedResult {
  readonly generated_text: string;
}

interface Continue {
  (text: string, options?: ContinuationOptions): Promise<GeneratedResult[]>;
  (texts: readonly string[], options?: ContinuationOptions): Promise<GeneratedResult[][]>;
}

/** Where the model is an encoder, `summarization` picks sentences, which are told. */
type SummaryResult = Pick<Summary, "summary_text"> & Partial<Summary>;

export interface WritingCalls {
  readonly translation: Write<{ readonly translation_text: string }>;
  readonly "text2text-generation": Write<GeneratedResult>;
  readonly "text-generation": Continue;
  readonly summarization: (
    texts: string | readonly string[],
    options?: SnakeOptions<SummaryOptions> | WritingOptions,
  ) => Promise<SummaryResult[]>;
}

export type WritingName = keyof WritingCalls;

/** What is written, as results name it. */
const RESULTS: { readonly [Name in WritingName]: string } = {
  translation: "translation_text",
  "text2text-generation": "generated_text",
  "text-generation": "generated_text",
  summarization: "summary_text",
};

export function isWritingName(task: string): task is WritingName {
  return Object.hasOwn(RESULTS, task);
}

/** Whether what is given as a model writes and is loaded already. */
export function isTextGenerator(model: string | Folder | Pretrained | TextGenerator): model is TextGenerator {
  return typeof model === "object" && "model" in model && model.model instanceof GenerationModel;
}

/** @throws ModelError for a model of the other kind */
export function writingCall<Name extends WritingName>(task: Name, generator: TextGenerator): WritingCalls[Name] {
  const { name, config } = generator.model;
  const continues = task === "text-generation";
  if (continues && config.encoder) {
    throw new ModelError(name, ["text-generation takes a causal BERT, and it has an encoder: text2text-generation"]);
  }
  if (!continues && !config.encoder) {
    throw new ModelError(name, [`${task} takes an encoder-decoder, and it has no encoder: text-generation`]);
  }
  const call = continues ? continueTexts : writeTexts;
  return ((texts: string | readonly string[], options: object = {}) =>
    call(task, generator, texts, options)) as WritingCalls[Name];
}

async function writeTexts(
  task: WritingName,
  generator: TextGenerator,
  texts: string | readonly string[],
  given: WritingOptions,
): Promise<object[]> {
  const options = camelOptions<GenerationOptions>(task, GENERATION_OPTIONS, given);
  const results = await generateTexts(generator, listOf(texts), options);
  return results.flat().map(({ text }) => ({ [RESULTS[task]]: text }));
}

async function continueTexts(
  task: WritingName,
  generator: TextGenerator,
  texts: string | readonly string[],
  given: ContinuationOptions,
): Promise<object[] | object[][]> {
  const { prompt: _, ...own } = GENERATION_OPTIONS;
  const names = { ...own, returnFullText: 1 } as const;
  const { returnFullText = true, ...options } = camelOptions<GenerationOptions & { returnFullText?: boolean }>(
    task,
    names,
    given,
  );
  const list = listOf(texts);
  const results = await generateTexts(generator, list, options);
  const shown = results.map((of, i) => {
    const begun = returnFullText ? 0 : inputOf(generator, list[i]!, options).prompt!.length;
    return of.map(({ text, ids }) => ({
      generated_text: begun === 0 ? text : generator.tokenizer.decode(ids.slice(begun), { skipSpecialTokens: true }),
    }));
  });
  return typeof texts === "string" ? shown[0]! : shown;
}

function listOf(texts: string | readonly string[]): readonly string[] {
  return typeof texts === "string" ? [texts] : texts;
}
