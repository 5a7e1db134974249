/** `train tokenizer`: a WordPiece vocabulary of texts, into a folder that every command and transformers read. */

import { stat } from "node:fs/promises";
import { type Command, Option } from "commander";
import { SPECIAL } from "../../../train/tokenizer/files.ts";
import {
  type TrainedWordPiece,
  trainWordPiece,
  type WordPieceProgress,
} from "../../../train/tokenizer/wordpiece_trainer.ts";
import { LONGEST_WORD } from "../../../train/tokenizer/words.ts";
import { openDiskStore } from "../../training/disk_store.ts";
import { positiveInteger } from "../command.ts";
import { InputError } from "../failure.ts";
import { textIn } from "../file_rows.ts";
import { catchInterruption } from "../interruption.ts";
import { print, say } from "../output.ts";
import { barsOn, durationText, progress, progressBar } from "../progress_bar.ts";
import { flag } from "./card.ts";
import { type TrainOptions, tableOptions, wholeNumber } from "./options.ts";
import { claimFolder } from "./output_folder.ts";
import { count } from "./prepared.ts";
import { collectFaults, eachRow, tableOf } from "./rows.ts";

interface Options
  extends Pick<TrainOptions, "json" | "input" | "format" | "delimiter" | "header" | "textColumn" | "output" | "force"> {
  readonly vocabSize: number;
  readonly minFrequency: number;
  readonly limitAlphabet: number;
  readonly cased: boolean;
  readonly stripAccents?: boolean;
  readonly specialTokens: readonly string[];
  readonly maxLength: number;
}

const HELP = `
Input: a text a row.
Training:
  As WordPieceTrainer of Hugging Face's tokenizers: beginning with characters, the pair of pieces that is there most often
  becomes a piece, until there are --vocab-size tokens or no pair is there --min-frequency times. Of pairs that are there
  equally often it takes the one whose first piece has the lower id, then whose second one has: texts in another
  order give the same vocabulary.
  DIR gets vocab.txt, tokenizer.json and tokenizer_config.json, all of them or none; it is what --tokenizer of other train
  commands takes. One job writes to DIR at a time (DIR.lock).
  With --json, stdout has an object with counts.`;

const OPTION_NAMES = /\b(vocabSize|minFrequency|limitAlphabet|specialTokens|maxLength)\b/g;

/** What another tokenizer may have left in a folder, and ours does not have. */
const LEFTOVERS = ["special_tokens_map.json", "added_tokens.json"];

export function tokenizerOptions(command: Command): Command {
  command
    .requiredOption("--input <FILE...>", "texts, also gzipped; several files are one after the other")
    .requiredOption("--output <DIR>", "the folder of the tokenizer");
  return tableOptions(command, "text")
    .option("--vocab-size <N>", "tokens, at most", positiveInteger, 30522)
    .option("--min-frequency <N>", "how often a pair is there that becomes a piece", wholeNumber, 2)
    .option(
      "--limit-alphabet <N>",
      "characters, at most: the most frequent; words with others are [UNK]",
      positiveInteger,
      1000,
    )
    .addOption(new Option("--uncased", "lower case, without accents (default)").conflicts("cased"))
    .option("--cased", "case and accents stay", false)
    .option("--strip-accents", "take accents away, also with --cased")
    .option("--no-strip-accents", "leave accents, also without --cased")
    .option("--special-tokens <TOKEN...>", "the first of the vocabulary, in this order", [...SPECIAL])
    .option("--max-length <N>", "tokens that models with it take (model_max_length)", positiveInteger, 512)
    .option("--force", "replace the tokenizer in --output", false)
    .option("--json", "JSON Lines: one object per line", false)
    .addHelpText("after", HELP);
}

export async function trainTokenizer(options: Options): Promise<void> {
  const { input, output, force, json } = options;
  if (input.filter((path) => path === "-").length > 1) throw new InputError("standard input can be read once");
  for (const path of input) if (path !== "-") await stat(path);
  const { dir, release } = await claimFolder(output, { force, reads: input });
  try {
    const start = performance.now();
    const trained = await learn(options);
    const writing = catchInterruption(); // a moment; what is whole is left
    try {
      const store = await openDiskStore(dir);
      const files = Object.entries(trained.files);
      const written = files.map(([path, text]) => ({ path, bytes: [new TextEncoder().encode(text)] }));
      await store.writeFiles(written, (name) => LEFTOVERS.includes(name));
    } finally {
      writing.end();
    }
    const seconds = (performance.now() - start) / 1000;
    tell(trained, options, seconds);
    if (json) await print(JSON.stringify(jsonOf(trained, output, seconds)));
  } finally {
    await release();
  }
}

async function learn(options: Options): Promise<TrainedWordPiece> {
  const { vocabSize, minFrequency, limitAlphabet, cased, stripAccents, specialTokens, maxLength, json } = options;
  const reading = progressBar(undefined, barsOn({ json }));
  let making: ReturnType<typeof progress> | undefined;
  const onProgress = ({ texts, tokens }: WordPieceProgress): void => {
    if (tokens === 0) reading.at(texts, 0);
    else {
      making ??= progress("making pieces", barsOn({ json }));
      making.at(tokens / vocabSize);
    }
  };
  try {
    return await trainWordPiece(textsOf(options), {
      ...{ vocabSize, minFrequency, limitAlphabet, lowercase: !cased, stripAccents, specialTokens, maxLength },
      onProgress,
    });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new InputError(error.message.replace(OPTION_NAMES, flag));
  } finally {
    reading.end();
    making?.end();
  }
}

async function* textsOf(options: Options): AsyncGenerator<string> {
  const { input, textColumn = "text" } = options;
  const faults = collectFaults();
  let some = false;
  const rows = eachRow(input, tableOf(options, [textColumn]), (values) => textIn(values, textColumn), faults);
  for await (const { row } of rows) {
    if (row.trim() === "") continue;
    some = true;
    yield row;
  }
  faults.end();
  if (!some) throw new InputError(`${input.join(", ")}: there is nothing to learn from`);
}

function tell(trained: TrainedWordPiece, { vocabSize, minFrequency, output }: Options, seconds: number): void {
  const { vocabulary, texts, words, distinctWords, characters, leftOut, longWords } = trained;
  const number = (value: number): string => value.toLocaleString("en");
  say(`texts: ${number(texts)}, ${count(words, "word")}, ${number(distinctWords)} different`);
  const left = leftOut > 0 ? `, ${number(leftOut)} others left out: words with them are [UNK]` : "";
  say(`characters: ${number(characters)}${left}`);
  if (longWords > 0) say(`words of more than ${number(LONGEST_WORD)} characters, left out: ${number(longWords)}`);
  if (vocabulary.length < vocabSize) {
    say(`there are fewer tokens than --vocab-size ${vocabSize}: no other pair is there ${minFrequency} times`);
  }
  say(`${count(vocabulary.length, "token")} in ${durationText(seconds)} -> ${output}`);
}

function jsonOf(trained: TrainedWordPiece, output: string, seconds: number): unknown {
  const { vocabulary, texts, words, distinctWords, longWords, characters, leftOut } = trained;
  return {
    ...{ tokens: vocabulary.length, texts, words, distinct_words: distinctWords, long_words: longWords },
    ...{ characters, left_out: leftOut, seconds, output },
  };
}
