/** What the commands that write text share: their options, texts and files through a model, and what they print. */

import { type Command, InvalidArgumentError } from "commander";
import type { GenerationModelConfig } from "../../bert/generation/config.ts";
import { type GenerationInput, generateSequences } from "../../bert/generation/generate.ts";
import {
  type GeneratedText,
  type GenerationOptions,
  inputOf,
  optionsOf,
  streamGenerations,
  type TextGenerator,
  textOf,
} from "../../bert/generation/generator.ts";
import { type Settled, settle, startTokens } from "../../bert/generation/settings.ts";
import type { Tokenizer } from "../../bert/tokenizer/tokenizer.ts";
import type { Row, RowValues } from "../data/rows.ts";
import { answerStream } from "./answer_stream.ts";
import { type CommonOptions, positiveInteger } from "./command.ts";
import { InputError } from "./failure.ts";
import type { FileOptions } from "./file_options.ts";
import { after, type Outcome, placeOf } from "./file_rows.ts";
import { answerRows, fromFile, type Outcomes } from "./files.ts";
import { printable } from "./output.ts";
import { type Session, withGenerator } from "./session.ts";
import { number, wholeNumber } from "./train/options.ts";

export interface GenerationCommandOptions extends CommonOptions, FileOptions {
  readonly maxLength?: number;
  readonly maxNewTokens?: number;
  readonly minLength?: number;
  readonly minNewTokens?: number;
  readonly beams?: number;
  readonly sequences?: number;
  readonly lengthPenalty?: number;
  readonly earlyStopping?: boolean | "never";
  readonly distinctNgrams?: number;
  readonly distinctSourceNgrams?: number;
  readonly repetitionPenalty?: number;
  readonly badWord?: readonly string[];
  readonly sample?: boolean;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly seed?: number;
  readonly prompt?: string;
  readonly startToken?: number;
}

function anyNumber(text: string): number {
  if (text.trim() !== "" && Number.isFinite(Number(text))) return Number(text);
  throw new InvalidArgumentError("It must be a number.");
}

function more(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

function stopping(text: string): boolean | "never" {
  if (text === "never") return text;
  if (text === "true" || text === "false") return text === "true";
  throw new InvalidArgumentError("It must be true, false or never.");
}

/** Where an option is not given, the model's files decide. @returns the names of the options that it has added */
export function generationOptions(command: Command, { prompt = true }: { prompt?: boolean } = {}): string[] {
  const before = command.options.length;
  command
    .option("--max-length <N>", "tokens of a text, its beginning among them", positiveInteger)
    .option("--max-new-tokens <N>", "tokens that are written at most", positiveInteger)
    .option("--min-length <N>", "tokens of a text before it may end", wholeNumber)
    .option("--min-new-tokens <N>", "tokens that are written before it may end", wholeNumber)
    .option("--beams <N>", "search with so many beams; 1: take the best token each time", positiveInteger)
    .option("--sequences <N>", "texts for each input; of a search no more than beams", positiveInteger)
    .option("--length-penalty <X>", "of a search: scores are divided by the length to this power", anyNumber)
    .option("--early-stopping <WHAT>", "of a search: true, false or never, as transformers has it", stopping)
    .option("--distinct-ngrams <N>", "no N tokens in a row twice", wholeNumber)
    .option("--distinct-source-ngrams <N>", "no N tokens in a row of the source", wholeNumber)
    .option("--repetition-penalty <X>", "above 1: tokens that are there become less likely", number)
    .option("--bad-word <TEXT>", "what may not be written; may be given several times", more)
    .option("--sample", "draw each token")
    .option("--no-sample", "take the best, where the model's files say that tokens are drawn")
    .option("--temperature <X>", "of draws: scores are divided by it", number)
    .option("--top-k <N>", "of draws: among the N most probable, 0 for all", wholeNumber)
    .option("--top-p <P>", "of draws: among the fewest whose probabilities sum to P", number)
    .option("--seed <N>", "of draws", wholeNumber)
    .option("--start-token <ID>", "what texts begin with, where the model's files do not say it", wholeNumber);
  if (prompt) command.option("--prompt <TEXT>", "how each text of an encoder-decoder begins");
  return command.options.slice(before).map((option) => option.attributeName());
}

/** As the library has them. */
export function generationSettings(options: GenerationCommandOptions): GenerationOptions {
  const { maxLength, maxNewTokens, minLength, minNewTokens, lengthPenalty, earlyStopping, repetitionPenalty } = options;
  const { temperature, topK, topP, seed, prompt } = options;
  const settings = {
    ...{ maxLength, maxNewTokens, minLength, minNewTokens, lengthPenalty, earlyStopping, repetitionPenalty },
    ...{ temperature, topK, topP, seed, prompt, numBeams: options.beams, numReturnSequences: options.sequences },
    ...{ noRepeatNgramSize: options.distinctNgrams, encoderNoRepeatNgramSize: options.distinctSourceNgrams },
    ...{ badWords: options.badWord, doSample: options.sample, decoderStartTokenId: options.startToken },
  };
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

/** What errors of the library name, as it is given here. */
const FLAGS: Readonly<Record<string, string>> = {
  "set doSample to true": "give --sample",
  "doSample to false": "give --no-sample",
  doSample: "--sample",
  numBeams: "--beams",
  numReturnSequences: "--sequences",
  noRepeatNgramSize: "--distinct-ngrams",
  encoderNoRepeatNgramSize: "--distinct-source-ngrams",
  repetitionPenalty: "--repetition-penalty",
  lengthPenalty: "--length-penalty",
  earlyStopping: "--early-stopping",
  maxLength: "--max-length",
  maxNewTokens: "--max-new-tokens",
  minLength: "--min-length",
  minNewTokens: "--min-new-tokens",
  topK: "--top-k",
  topP: "--top-p",
  badWords: "--bad-word",
  decoderStartTokenId: "--start-token",
};

/**
 * All that is decided about texts.
 * @throws InputError for what makes no sense, does not go together, or is not for this model
 */
export function settled(config: GenerationModelConfig, tokenizer: Tokenizer, asked: GenerationOptions): Settled {
  if (!config.encoder && asked.prompt !== undefined) {
    throw new InputError("--prompt: a causal language model goes on with the text itself: leave it out");
  }
  return inFlags(() => {
    const { settings } = optionsOf({ tokenizer }, asked);
    return settle(config, settings, config.encoder ? startTokens(config, settings).length : 1);
  });
}

/** @throws InputError for what `work` refuses */
function inFlags<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    const names = new RegExp(`\\b(${Object.keys(FLAGS).join("|")})\\b`, "g");
    throw new InputError(error.message.replace(names, (name) => FLAGS[name]!).replace(/^(temperature|seed) /, "--$1 "));
  }
}

/**
 * Answers texts or the rows of a file.
 * @param name of the text in results
 */
export function writeTexts(
  command: string,
  name: string,
  texts: readonly string[],
  options: GenerationCommandOptions,
): Promise<void> {
  const settings = generationSettings(options);
  const prepare = (config: GenerationModelConfig, tokenizer: Tokenizer): Settled => {
    if (!config.encoder && command !== "generate") {
      throw new InputError(`${command} takes an encoder-decoder, and ${options.model} is a causal BERT: generate`);
    }
    return settled(config, tokenizer, settings);
  };
  return withGenerator(options, prepare, (session, { returned }) => {
    const several = returned > 1;
    const values = (text: string, results: readonly GeneratedText[]): RowValues => ({
      text,
      [name]: results[0]?.text ?? "",
      score: results[0]?.score ?? null,
      ...(several && { sequences: results.map(({ text, score }) => ({ text, score: score ?? null })) }),
    });
    const show = (text: string, results: readonly GeneratedText[]): string =>
      options.json
        ? session.json(values(text, results))
        : results.map((one) => printable(one.text)).join("\n") || printable("");
    const all: GenerationOptions = { ...settings, onWarning: session.taskOptions.onWarning };
    if (fromFile(options)) {
      const job = {
        ...{ command, settings: { ...settings }, read: [options.column], values, show },
        input: ([text]: readonly string[]) => text!,
        columns: [
          { name: "text", type: "text", from: options.column },
          { name, type: "text" },
          { name: "score", type: "number" },
          ...(several ? [{ name: "sequences", type: "json" } as const] : []),
        ] as const,
      };
      return answerRows(session, options, job, rowsWritten(session, all));
    }
    return answerStream<GeneratedText[], TextGenerator>(session, texts, {
      run: (generator, inputs) => streamGenerations(generator, inputs, all),
      show,
    });
  });
}

type TextOutcome = Outcome<string, readonly GeneratedText[]>;

/** A row that waits for its texts, or to be told what is wrong with it. */
interface Waiting {
  readonly row: Row;
  readonly input: string;
  readonly fault?: string | undefined;
}

/** Rows in their order; what is wrong with one does not touch the others. */
function rowsWritten(
  { at }: Session<TextGenerator>,
  options: GenerationOptions,
): Outcomes<string, readonly GeneratedText[], TextGenerator> {
  return async function* (generator, table, textIn, { begun, signal }) {
    const { settings } = optionsOf(generator, options);
    const waiting: Waiting[] = [];
    /** What a row is for the model; `undefined` where something is wrong with it. */
    const read = (row: Row): GenerationInput | undefined => {
      let [input, fault] = ["", row.fault];
      try {
        if (row.values) {
          input = textIn(row.values);
          const found = at(`${table.name}: ${placeOf(row)}`, () => inputOf(generator, input, options));
          if (found.prompt) inFlags(() => settle(generator.model.config, settings, found.prompt!.length)); // room to go on
          return found;
        }
      } catch (error) {
        if (!(error instanceof InputError || error instanceof RangeError)) throw error;
        fault = error.message;
      } finally {
        waiting.push({ row, input, fault });
      }
      return undefined;
    };
    async function* inputs(): AsyncGenerator<GenerationInput> {
      for await (const row of after(begun, table.rows())) {
        const input = read(row);
        if (input) yield input;
      }
    }
    const faulty = (): TextOutcome[] => {
      const sound = waiting.findIndex(({ fault }) => fault === undefined);
      return waiting.splice(0, sound < 0 ? waiting.length : sound).map(({ row, fault }) => ({ row, fault: fault! }));
    };
    for await (const written of generateSequences(generator.model, inputs(), settings, { signal })) {
      yield* faulty();
      const { row, input } = waiting.shift()!;
      yield { row, input, result: written.map((one) => textOf(generator, one)) };
    }
    yield* faulty();
  };
}
