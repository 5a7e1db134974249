/** A model that writes, with its tokenizer: texts in, texts out. */

import type { Folder } from "../../files/bytes.ts";
import { quote } from "../../files/faults.ts";
import { type Names, requireKnown } from "../../files/options.ts";
import type { Engine } from "../../runtime/engine.ts";
import { ModelError } from "../config.ts";
import { loadTokenizer } from "../tokenizer/load.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Written } from "./decode.ts";
import { type GenerationInput, type GenerationStreamOptions, generateSequences, generateTokens } from "./generate.ts";
import { type GenerationLoadOptions, GenerationModel } from "./model.ts";
import { GENERATION_SETTINGS, type GenerationSettings } from "./settings.ts";

export interface TextGenerator {
  readonly model: GenerationModel;
  readonly tokenizer: Tokenizer;
}

export interface GenerationOptions extends GenerationSettings, GenerationStreamOptions {
  /** Of an encoder-decoder what each result begins with. */
  readonly prompt?: string | undefined;
  /** Whether a source that is longer than the model takes is cut, which `onWarning` is told, or refused. Default true. */
  readonly truncation?: boolean | undefined;
  /** Whether sources have the tokenizer's special tokens. Default true for BERT; BertGeneration was trained without. */
  readonly addSpecialTokens?: boolean | undefined;
  /** Words and phrases that may not come. */
  readonly badWords?: readonly string[] | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
}

export const GENERATION_OPTIONS: Names<GenerationOptions> = /* @__PURE__ */ Object.assign({}, GENERATION_SETTINGS, {
  tokenBudget: 1,
  signal: 1,
  prompt: 1,
  truncation: 1,
  addSpecialTokens: 1,
  badWords: 1,
  onWarning: 1,
} as const);

export interface GeneratedText {
  /** What was written; of a causal model its prompt first. */
  readonly text: string;
  /** With what it begins with and what ends it. */
  readonly ids: readonly number[];
  /** Of a search: the sum of log probabilities over the length to the power of the length penalty. */
  readonly score?: number;
}

/**
 * Loads a model folder in Hugging Face layout, of an encoder-decoder of two BERTs or of a causal BERT, and its tokenizer.
 * @throws ModelError or CheckpointError with every fault, what `loadTokenizer` throws
 */
export async function loadGenerator(
  engine: Engine,
  folder: Folder,
  options: GenerationLoadOptions = {},
): Promise<TextGenerator> {
  if (typeof folder === "string") throw new TypeError(`folder is a string; give modelFolder("${folder}")`);
  const tokenizer = await loadTokenizer(folder);
  const model = await GenerationModel.load(engine, folder, options);
  const { encoder, decoder } = model.config;
  const { vocabSize } = encoder ?? decoder;
  if (tokenizer.vocabSize <= vocabSize) return { model, tokenizer };
  model.dispose();
  throw new ModelError(folder.name, [
    `the tokenizer has ${tokenizer.vocabSize} tokens, the model's vocab_size is ${vocabSize}`,
  ]);
}

/**
 * Of each text the sequences that are written from it, in the order of texts: one, or `numReturnSequences`.
 * @throws RangeError and TypeError for options that make no sense or do not go together, and for texts that cannot be
 * used, after the results of those before; NonFiniteError; the signal's reason
 */
export async function* streamGenerations(
  generator: TextGenerator,
  texts: AsyncIterable<string> | Iterable<string>,
  options: GenerationOptions = {},
): AsyncGenerator<GeneratedText[], void, undefined> {
  const { settings, stream } = optionsOf(generator, options);
  async function* inputs(): AsyncGenerator<GenerationInput> {
    for await (const text of texts) yield inputOf(generator, text, options);
  }
  const list = typeof texts === "string" ? texts : inputs(); // a text where a list belongs is refused there
  for await (const written of generateSequences(
    generator.model,
    list as AsyncIterable<GenerationInput>,
    settings,
    stream,
  )) {
    yield written.map((one) => textOf(generator, one));
  }
}

/** The same of a list, as a list. */
export async function generateTexts(
  generator: TextGenerator,
  texts: readonly string[],
  options: GenerationOptions = {},
): Promise<GeneratedText[][]> {
  const results: GeneratedText[][] = [];
  for await (const result of streamGenerations(generator, texts, options)) results.push(result);
  return results;
}

/**
 * The text that is written from one, piece by piece as it comes.
 * @throws as `generateTexts`; TypeError for a search, whose text is known at its end alone
 */
export async function* streamText(
  generator: TextGenerator,
  text: string,
  options: GenerationOptions = {},
): AsyncGenerator<string, void, undefined> {
  const { settings, stream } = optionsOf(generator, options);
  const input = inputOf(generator, text, options);
  const ids: number[] = [];
  const whole = (): string => generator.tokenizer.decode(ids, { skipSpecialTokens: true });
  let told = 0;
  for await (const more of generateTokens(generator.model, input, settings, { signal: stream.signal })) {
    ids.push(...more);
    const text = whole();
    const sure = text.length - lastWords(text).length;
    if (sure > told) yield text.slice(told, sure);
    told = Math.max(told, sure);
  }
  const rest = whole().slice(told);
  if (rest !== "") yield rest;
}

/** What may still change: a piece may come to the last word, and of "do n ' t" decoding closes the gaps once it is whole. */
function lastWords(text: string): string {
  return /(?: ?[^ ]+){0,4}$/.exec(text)![0];
}

/** Settings with words as ids, and what is for the batches. @throws TypeError for an unknown option */
export function optionsOf(
  { tokenizer }: Pick<TextGenerator, "tokenizer">,
  options: GenerationOptions,
): { readonly settings: GenerationSettings; readonly stream: GenerationStreamOptions } {
  requireKnown("generation", options, GENERATION_OPTIONS);
  const { tokenBudget, signal, prompt, truncation, addSpecialTokens, badWords, onWarning, ...settings } = options;
  if (prompt !== undefined && typeof prompt !== "string")
    throw new TypeError(`prompt is ${quote(prompt)}; give a text`);
  if (badWords !== undefined && !Array.isArray(badWords)) {
    throw new TypeError(`badWords is ${quote(badWords)}; give a list of texts`);
  }
  const words = (badWords ?? []).map((word: unknown) => {
    if (typeof word !== "string") throw new TypeError(`badWords has ${quote(word)}; give texts`);
    const { ids } = tokenizer.encode(word, undefined, { addSpecialTokens: false });
    if (ids.length === 0) throw new RangeError(`badWords has ${quote(word)}, which has no tokens: leave it out`);
    return ids;
  });
  const badWordsIds = badWords ? [...(settings.badWordsIds ?? []), ...words] : settings.badWordsIds;
  return { settings: { ...settings, ...(badWordsIds && { badWordsIds }) }, stream: { tokenBudget, signal } };
}

/** @throws RangeError for a text that is too long, or empty, TypeError for what is no text */
export function inputOf(
  { model, tokenizer }: TextGenerator,
  text: string,
  { prompt, truncation = true, addSpecialTokens, onWarning, decoderStartTokenId }: GenerationOptions,
): GenerationInput {
  if (typeof text !== "string") throw new TypeError(`an input is ${quote(text)}; give a text`);
  const { encoder, decoder, defaults } = model.config;
  const plain = (of: string): number[] => tokenizer.encode(of, undefined, { addSpecialTokens: false }).ids;
  if (!encoder) {
    if (prompt !== undefined) throw new TypeError("prompt: a causal language model's prompt is its text itself");
    const first = addSpecialTokens === false ? [] : [decoderStartTokenId, tokenizer.special.cls, defaults.bos_token_id];
    const begin = first.find(Number.isInteger);
    const ids = [...(begin === undefined ? [] : [begin as number]), ...plain(text)];
    if (ids.length === 0) throw new RangeError("an input has no tokens, and a causal language model needs a prompt");
    const { maxPositionEmbeddings: positions } = decoder;
    if (ids.length >= positions) {
      const begins = JSON.stringify(text.slice(0, 40));
      throw new RangeError(`${begins} has ${ids.length} tokens, the decoder ${positions} positions: shorten it`);
    }
    return { prompt: ids };
  }
  const most = Math.min(encoder.maxPositionEmbeddings, tokenizer.modelMaxLength ?? Number.POSITIVE_INFINITY);
  const special = addSpecialTokens ?? !encoder.generation;
  const begins = JSON.stringify(text.slice(0, 40));
  let cut: string | undefined;
  const { ids, typeIds } = tokenizer.encode(text, undefined, {
    addSpecialTokens: special,
    truncation: "longest_first",
    maxLength: most,
    onCut: (tokens, exact) => {
      cut = `${begins} has ${exact ? "" : "more than "}${tokens} tokens, the model takes ${most}`;
    },
  });
  if (cut && !truncation) throw new RangeError(`${cut}: shorten it, or leave truncation on`);
  if (cut) onWarning?.(`${cut}: the rest is left out`);
  if (ids.length === 0) throw new RangeError(`an input has no tokens: ${begins}`);
  const tokenTypeIds = encoder.generation ? undefined : typeIds;
  const start = decoderStartTokenId ?? defaults.decoder_start_token_id ?? defaults.bos_token_id;
  if (prompt === undefined || start === undefined) return { source: { inputIds: ids, tokenTypeIds } };
  const begin = [start as number, ...plain(prompt)];
  if (begin.length >= decoder.maxPositionEmbeddings) {
    throw new RangeError(`prompt has ${begin.length} tokens, the decoder ${decoder.maxPositionEmbeddings} positions`);
  }
  return { source: { inputIds: ids, tokenTypeIds }, prompt: begin };
}

export function textOf({ tokenizer }: TextGenerator, { ids, score }: Written): GeneratedText {
  const text = tokenizer.decode(ids, { skipSpecialTokens: true });
  return { text, ids, ...(score !== undefined && { score }) };
}
