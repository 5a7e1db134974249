/** The tokenizer: texts to encodings, put together from templates, and back. Mirrors tokenizers/src/tokenizer/mod.rs. */

import { type Names, requireKnown } from "../../files/options.ts";
import { cleanUp, type DecoderOptions, joinTokens } from "./decoding.ts";
import { createSequencer, type SequencerOptions, type TokenizerInput } from "./sequencer.ts";
import { type Cut, cutsOf, keptLengths, type TruncationStrategy } from "./truncation.ts";
import type { SpecialIds } from "./vocabulary.ts";
import type { TextTokens } from "./wordpiece.ts";

/** One row of model input. All arrays have the same length: the tokens, special ones and padding included. */
export interface Encoding {
  readonly ids: number[];
  readonly tokens: string[];
  /** 0 for the first text, 1 for the second. */
  readonly typeIds: number[];
  /** 1 for tokens, 0 for padding. */
  readonly attentionMask: number[];
  /** 1 for special tokens and padding. */
  readonly specialTokensMask: number[];
  /** [start, end) in UTF-16 units of the text as given (of its word, for words); [0, 0] for special tokens. */
  readonly offsets: [start: number, end: number][];
  /** The word, counted per text, that a token is part of; null for special tokens. */
  readonly wordIds: (number | null)[];
  /** Which text a token is from; null for special tokens. */
  readonly sequenceIds: (0 | 1 | null)[];
  /** The windows after this one, with `returnOverflow`. Their own `overflow` is empty. */
  readonly overflow: Encoding[];
}

/** A text or a special token in its place. */
export type TemplatePiece =
  | { readonly sequence: 0 | 1; readonly typeId: number }
  | { readonly ids: readonly number[]; readonly tokens: readonly string[]; readonly typeId: number };

/** How texts and special tokens make one encoding: `[CLS] A [SEP]`. */
export type Template = readonly TemplatePiece[];

export interface Templates {
  readonly single: Template;
  readonly pair: Template;
}

/** A special token by name and number. */
export interface NamedId {
  readonly id: number;
  readonly token: string;
}

/** `[CLS] A [SEP]` and `[CLS] A [SEP] B [SEP]`, the second text and its separator of type 1. */
export function bertTemplates(cls: NamedId, sep: NamedId): Templates {
  const special = ({ id, token }: NamedId, typeId: number): TemplatePiece => ({ ids: [id], tokens: [token], typeId });
  const single: Template = [special(cls, 0), { sequence: 0, typeId: 0 }, special(sep, 0)];
  return { single, pair: [...single, { sequence: 1, typeId: 1 }, special(sep, 1)] };
}

/** The number of special tokens that a template adds. */
export function addedBy(template: Template): number {
  return template.reduce((sum, piece) => sum + ("ids" in piece ? piece.ids.length : 0), 0);
}

/** One encoding of the tokens that `cut` leaves of each sequence. `idToToken` spells them. */
export function assemble(
  template: Template,
  sequences: readonly TextTokens[],
  cut: Cut,
  addSpecialTokens: boolean,
  idToToken: readonly (string | undefined)[],
): Encoding {
  const encoding = emptyEncoding();
  for (const piece of template) {
    if ("ids" in piece) {
      if (addSpecialTokens)
        piece.ids.forEach((id, i) => void pushToken(encoding, id, piece.tokens[i]!, piece.typeId, 1));
      continue;
    }
    const { ids, starts, ends, words, surfaces } = sequences[piece.sequence]!;
    const [start, end] = cut[piece.sequence]!;
    for (let i = start; i < end; i++) {
      const token = (surfaces.size > 0 && surfaces.get(i)) || idToToken[ids[i]!]!;
      pushToken(encoding, ids[i]!, token, piece.typeId, 1, [starts[i]!, ends[i]!], words[i]!, piece.sequence);
    }
  }
  return encoding;
}

/** Pads the encoding and its overflow, in place, to `length` tokens. Longer ones stay. */
export function pad(encoding: Encoding, length: number, id: number, token: string): void {
  while (encoding.ids.length < length) pushToken(encoding, id, token, 0, 0);
  for (const window of encoding.overflow) pad(window, length, id, token);
}

/** Without a sequence that it is of, a special token. */
function pushToken(
  encoding: Encoding,
  id: number,
  token: string,
  typeId: number,
  attended: 0 | 1,
  offsets: [start: number, end: number] = [0, 0],
  word: number | null = null,
  sequence: 0 | 1 | null = null,
): void {
  encoding.ids.push(id);
  encoding.tokens.push(token);
  encoding.typeIds.push(typeId);
  encoding.attentionMask.push(attended);
  encoding.specialTokensMask.push(sequence === null ? 1 : 0);
  encoding.offsets.push(offsets);
  encoding.wordIds.push(word);
  encoding.sequenceIds.push(sequence);
}

function emptyEncoding(): Encoding {
  return {
    ids: [],
    tokens: [],
    typeIds: [],
    attentionMask: [],
    specialTokensMask: [],
    offsets: [],
    wordIds: [],
    sequenceIds: [],
    overflow: [],
  };
}

/** What a batch is made of. */
export type EncodeInput =
  | TokenizerInput
  | { readonly text: TokenizerInput; readonly pair?: TokenizerInput | undefined };

export interface EncodeOptions {
  /** Default true. */
  readonly addSpecialTokens?: boolean | undefined;
  /** Default false: a long text stays long. true is "longest_first". */
  readonly truncation?: TruncationStrategy | boolean | undefined;
  /** Tokens, special ones included, for truncation and padding. Default: the tokenizer's `modelMaxLength`. */
  readonly maxLength?: number | undefined;
  /** Tokens that an overflow window shares with the one before. Default 0. */
  readonly stride?: number | undefined;
  /** Give what truncation cuts off as further windows in `overflow`. Default false. */
  readonly returnOverflow?: boolean | undefined;
  /**
   * Told when truncation leaves something out: how many tokens there are, special ones included, or, where `exact` is
   * false, a number that there are more than. Texts are read to four times `maxLength` for it, not to their ends.
   */
  readonly onCut?: ((tokens: number, exact: boolean) => void) | undefined;
  /** To the longest of the batch, or to `maxLength`. Default false. true is "longest". */
  readonly padding?: "longest" | "max_length" | boolean | undefined;
  /** With padding: round the length up to a multiple. */
  readonly padToMultipleOf?: number | undefined;
}

const ENCODE: Names<EncodeOptions> = {
  addSpecialTokens: 1,
  truncation: 1,
  maxLength: 1,
  stride: 1,
  returnOverflow: 1,
  onCut: 1,
  padding: 1,
  padToMultipleOf: 1,
};

export interface DecodeOptions {
  /** Default false. */
  readonly skipSpecialTokens?: boolean | undefined;
  /** Close the gaps before English punctuation over the whole text. Default: as the model folder says. */
  readonly cleanUpTokenizationSpaces?: boolean | undefined;
}

export interface Tokenizer {
  /**
   * Tokens that the files list, added ones included. A special token that they only name has an id all the same, after
   * these; a model may lack the row for it.
   */
  readonly vocabSize: number;
  readonly special: SpecialIds;
  /** The most tokens that the model takes; undefined when its folder does not say. */
  readonly modelMaxLength: number | undefined;
  /** @throws RangeError when truncation cannot reach `maxLength`, or an option makes no sense; TypeError for an unknown one */
  encode(text: TokenizerInput, pair?: TokenizerInput | undefined, options?: EncodeOptions): Encoding;
  /** Encodings in the order of the inputs, padded together. */
  encodeBatch(inputs: readonly EncodeInput[], options?: EncodeOptions): Encoding[];
  /** Ids outside the vocabulary are skipped. @throws TypeError for an unknown option */
  decode(ids: Iterable<number>, options?: DecodeOptions): string;
  tokenToId(token: string): number | undefined;
  idToToken(id: number): string | undefined;
}

/** All that makes a tokenizer, as read from a model folder. */
export interface TokenizerSpec extends SequencerOptions {
  readonly templates: Templates;
  readonly decoder: DecoderOptions;
  readonly cleanUpTokenizationSpaces: boolean;
  readonly modelMaxLength: number | undefined;
}

/** Times maxLength. */
const READ_FOR_MESSAGE = 4;

export function createTokenizer(spec: TokenizerSpec): Tokenizer {
  const { vocabulary, special, modelMaxLength } = spec;
  const sequencer = createSequencer(spec);
  /** An added token that is looked for in the normalised text is decoded in its normalised form. */
  const spellings = new Map(
    [...vocabulary.added].map(([id, { content, normalized }]) => [id, normalized ? sequencer.spelt(content) : content]),
  );

  const maxLengthFor = (what: string, options: EncodeOptions): number => {
    const maxLength = options.maxLength ?? modelMaxLength;
    if (maxLength === undefined) {
      throw new RangeError(`${what} needs maxLength: the model folder gives no model_max_length`);
    }
    return whole("maxLength", maxLength, 0);
  };

  const encodeOne = (texts: readonly TokenizerInput[], options: EncodeOptions): Encoding => {
    const addSpecialTokens = options.addSpecialTokens ?? true;
    const template = texts.length < 2 ? spec.templates.single : spec.templates.pair;
    const build = (sequences: readonly TextTokens[], cut: Cut): Encoding =>
      assemble(template, sequences, cut, addSpecialTokens, vocabulary.tokens);
    const strategy = choice("truncation", options.truncation, ["longest_first", "only_first", "only_second"]);
    const maxLength = strategy ? maxLengthFor("truncation", options) : Number.POSITIVE_INFINITY;
    const stride = strategy ? whole("stride", options.stride ?? 0, 0) : 0;
    const overflow = options.returnOverflow ?? false;
    const added = addSpecialTokens ? addedBy(template) : 0;
    if (stride > 0 && stride >= maxLength - added) {
      throw new RangeError(
        `stride ${stride} must be less than the ${maxLength - added} tokens that maxLength ${maxLength} leaves beside ${added} special ones`,
      );
    }
    // How much longer than maxLength a text is nobody asks, but for windows and a message.
    const most = overflow ? Number.POSITIVE_INFINITY : maxLength * (options.onCut ? READ_FOR_MESSAGE : 1);
    const read = texts.map((text) => sequencer.read(text, most));
    const exact = read.every(({ complete }) => complete);
    const sequences = read.map(({ tokens }) => tokens);
    const lengths = read.map(({ count }) => count);
    const total = lengths.reduce((sum, length) => sum + length, added);
    if (strategy === undefined || (exact && total <= maxLength)) {
      return build(
        sequences,
        lengths.map((length) => [0, length]),
      );
    }
    const isFirstLonger = exact ? undefined : () => sequencer.isLonger(texts[0]!, texts[1]!);
    const kept = keptLengths(lengths, added, { strategy, maxLength, isFirstLonger });
    options.onCut?.(exact ? total : most, exact);
    const [first, ...rest] = cutsOf(lengths, kept, stride, overflow);
    const encoding = build(sequences, first);
    for (const cut of rest) encoding.overflow.push(build(sequences, cut));
    return encoding;
  };

  const padTogether = (encodings: readonly Encoding[], options: EncodeOptions): void => {
    const padding = choice("padding", options.padding, ["longest", "max_length"]);
    if (padding === undefined) return;
    if (special.pad === undefined) throw new RangeError("padding needs a [PAD] token, the vocabulary has none");
    const multiple = whole("padToMultipleOf", options.padToMultipleOf ?? 1, 1);
    const longest =
      padding === "max_length"
        ? maxLengthFor("padding to max_length", options)
        : encodings.reduce((most, { ids }) => Math.max(most, ids.length), 0);
    const length = Math.ceil(longest / multiple) * multiple;
    for (const encoding of encodings) pad(encoding, length, special.pad, vocabulary.tokens[special.pad]!);
  };

  const encodeBatch = (inputs: readonly EncodeInput[], options: EncodeOptions = {}): Encoding[] => {
    requireKnown("encode", options, ENCODE);
    const encodings = inputs.map((input) => {
      if (typeof input === "string" || Array.isArray(input)) return encodeOne([input as TokenizerInput], options);
      const { text, pair } = input as { text: TokenizerInput; pair?: TokenizerInput };
      return encodeOne(pair === undefined ? [text] : [text, pair], options);
    });
    padTogether(encodings, options);
    return encodings;
  };

  return {
    vocabSize: vocabulary.listed,
    special,
    modelMaxLength,
    encode: (text, pair, options) => encodeBatch([{ text, pair }], options)[0]!,
    encodeBatch,
    decode(ids, options = {}) {
      requireKnown("decode", options, { skipSpecialTokens: 1, cleanUpTokenizationSpaces: 1 });
      const tokens: string[] = [];
      for (const id of ids) {
        const token = spellings.get(id) ?? vocabulary.tokens[id];
        if (token !== undefined && !(options.skipSpecialTokens && vocabulary.special.has(token))) tokens.push(token);
      }
      const text = joinTokens(tokens, spec.decoder);
      return (options.cleanUpTokenizationSpaces ?? spec.cleanUpTokenizationSpaces) ? cleanUp(text) : text;
    },
    tokenToId: (token) => vocabulary.ids.get(token),
    idToToken: (id) => vocabulary.tokens[id],
  };
}

/** One of `values`, the first for true; undefined for none. Callers in plain JavaScript have no types to tell them. */
function choice<V extends string>(name: string, given: V | boolean | undefined, values: readonly V[]): V | undefined {
  if (given === undefined || given === false) return undefined;
  const value = given === true ? values[0] : given;
  if (value === undefined || !values.includes(value)) {
    throw new RangeError(
      `${name} is ${JSON.stringify(given)}; it must be ${values.map((v) => `"${v}"`).join(", ")} or a boolean`,
    );
  }
  return value;
}

function whole(name: string, value: number, least: number): number {
  if (!Number.isSafeInteger(value) || value < least) {
    throw new RangeError(`${name} is ${value}; it must be a whole number from ${least}`);
  }
  return value;
}
