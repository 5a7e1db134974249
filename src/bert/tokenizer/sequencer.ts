/**
 * A text to its tokens, before special tokens: added tokens are taken out, the rest is normalised, split at white space
 * and punctuation, and every word is cut into pieces. Mirrors AddedVocabulary::extract_and_normalize,
 * pre_tokenizers/bert.rs and PreTokenizedString::into_encoding.
 */

import { createAddedFinder, type FindAdded } from "./added_tokens.ts";
import { createNormalizer, LETTER, type NormalizedText, type NormalizerOptions, SPACE } from "./normalizer.ts";
import { emptyTokens, push, type TextTokens, type TokenizerInput } from "./text_tokens.ts";
import type { SpecialIds, Vocabulary } from "./vocabulary.ts";
import { createWordPiece } from "./wordpiece.ts";

/** Tokens of `input`. May stop, at a word's end, once it has more than `most`. */
export type Sequencer = (input: TokenizerInput, most: number) => TextTokens;

export interface SequencerOptions {
  readonly vocabulary: Vocabulary;
  readonly special: SpecialIds;
  readonly normalizer: NormalizerOptions;
  readonly continuingPrefix: string;
  readonly maxInputCharsPerWord: number;
}

export function createSequencer(options: SequencerOptions): Sequencer {
  const { pieces, added, tokens } = options.vocabulary;
  const normalize = createNormalizer(options.normalizer);
  const cutWord = createWordPiece({ ...options, pieces, unk: options.special.unk });
  const [normalized, raw] = [true, false].map((kind) => added.filter((token) => token.normalized === kind));
  const findRaw = createAddedFinder(raw!);
  const findNormalized = createAddedFinder(normalized!, (content) => spell(normalize(content, 0, content.length)));

  return (input, most) => {
    const into = emptyTokens();
    let word = 0;
    /** With words as input, whatever is in one has its number. */
    const split = typeof input !== "string";

    const addAdded = (id: number, start: number, end: number, surface: string): void => {
      if (surface !== tokens[id]) into.surfaces.set(into.ids.length, surface);
      push(into, id, start, end, split ? word : word++);
    };
    const addWords = (text: NormalizedText, start: number, end: number): void => {
      const { kinds } = text;
      for (let i = start; i < end && into.ids.length <= most; ) {
        const from = i++;
        if (kinds[from] === SPACE) continue;
        if (kinds[from] === LETTER) while (i < end && kinds[i] === LETTER) i++;
        cutWord(text, from, i, split ? word : word++, into);
      }
    };
    const addStretch = (given: string, start: number, end: number): void => {
      const text = normalize(given, start, end);
      if (findNormalized === undefined) {
        addWords(text, 0, text.length);
        return;
      }
      const spelt = spell(text);
      const indices = codeIndices(text);
      eachPiece(spelt, findNormalized, (from, to, id) => {
        const [first, last] = [indices[from]!, indices[to]!];
        if (id === undefined) addWords(text, first, last);
        else addAdded(id, text.starts[first]!, text.ends[last - 1]!, spelt.slice(from, to));
      });
    };
    const addText = (given: string): void => {
      // Rust's strings have no lone surrogates: what reaches it is U+FFFD. One unit for one, so offsets hold.
      const text = given.replace(/[\ud800-\udfff]/gu, "\ufffd");
      if (findRaw === undefined) {
        addStretch(text, 0, text.length);
        return;
      }
      eachPiece(text, findRaw, (start, end, id) => {
        if (id === undefined) addStretch(text, start, end);
        else addAdded(id, start, end, text.slice(start, end));
      });
    };

    if (!split) addText(input);
    else for (; word < input.length && into.ids.length <= most; word++) addText(input[word]!);
    return into;
  };
}

type OnPiece = (start: number, end: number, id: number | undefined) => void;

/** Calls back for each added token in `text` and for each stretch between them, none of them empty. */
function eachPiece(text: string, find: FindAdded, call: OnPiece): void {
  let at = 0;
  for (const { start, end, id } of find(text)) {
    if (at < start) call(at, start, undefined);
    call(start, end, id);
    at = end;
  }
  if (at < text.length) call(at, text.length, undefined);
}

function spell({ codes, length }: NormalizedText): string {
  let text = "";
  for (let i = 0; i < length; i++) text += String.fromCodePoint(codes[i]!);
  return text;
}

/** For each UTF-16 unit of the spelt text, and its end, the index of the code point. */
function codeIndices({ codes, length }: NormalizedText): number[] {
  const indices: number[] = [];
  for (let i = 0; i < length; i++) {
    indices.push(i);
    if (codes[i]! > 0xffff) indices.push(i);
  }
  indices.push(length);
  return indices;
}
