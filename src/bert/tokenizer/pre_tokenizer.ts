/** The pre-tokenisers of a tokenizer.json: where a word ends. Mirrors tokenizers/src/pre_tokenizers. */

import { childrenOf, choiceOf, type Fields, typeOf, wrong } from "./fields.ts";
import { isPunctuation, isSpace, isWord } from "./unicode.ts";

/** What a pre-tokeniser sees in a character: part of a word, nothing, a word by itself, part of a word of its like, ... */
const LETTER = 0;
const SPACE = 1;
const ALONE = 2;
const ALIKE = 3;
/** ... the end of the word before it, the beginning of the one after. */
const END = 4;
const BEGINNING = 5;

/**
 * What all pre-tokenisers of a sequence see in a code point, three bits for each. Each cuts what the one before it has
 * left whole, and looks at two neighbours only: hence a word ends wherever one of them says so.
 */
export type KindOf = (code: number) => number;

const MOST = 10;

const BEHAVIORS: Readonly<Record<string, number>> = {
  Isolated: ALONE,
  Removed: SPACE,
  Contiguous: ALIKE,
  MergedWithPrevious: END,
  MergedWithNext: BEGINNING,
};

/** By the `type` that a file gives. */
const KINDS: Readonly<Record<string, (fields: Fields) => KindOf[]>> = {
  BertPreTokenizer: () => [bertKind],
  Punctuation(fields) {
    const kind = BEHAVIORS[choiceOf(fields, "behavior", Object.keys(BEHAVIORS), "Isolated")]!;
    return [(code) => (isPunctuation(code) ? kind : LETTER)];
  },
  Sequence: (fields) => childrenOf(fields, "pretokenizers").flatMap(kindsOf),
  Whitespace: () => [(code) => (isSpace(code) ? SPACE : isWord(code) ? LETTER : ALIKE)],
  WhitespaceSplit: () => [(code) => (isSpace(code) ? SPACE : LETTER)],
};

/** Cuts at white space, and makes every punctuation mark a word. */
export const bertKind: KindOf = (code) => (isSpace(code) ? SPACE : isPunctuation(code) ? ALONE : LETTER);

/** @throws TypeError when one is unknown */
export function kindOfPreTokenizer(fields: Fields): KindOf {
  const kinds = kindsOf(fields);
  if (kinds.length > MOST) throw wrong(`${fields.where}: the number of parts`, kinds.length, `at most ${MOST}`);
  return (code) => kinds.reduce((all, kindOf) => (all << 3) | kindOf(code), 0);
}

function kindsOf(fields: Fields): KindOf[] {
  return KINDS[typeOf(fields, Object.keys(KINDS))]!(fields);
}

/** Whether a character of this kind belongs to no word. */
export function isGone(kind: number): boolean {
  for (let left = kind; left > 0; left >>= 3) if ((left & 7) === SPACE) return true;
  return false;
}

/** Whether a word ends between characters of these kinds. */
export function endsBetween(before: number, after: number): boolean {
  for (let [a, b] = [before, after]; a > 0 || b > 0; a >>= 3, b >>= 3) {
    const [one, other] = [a & 7, b & 7];
    const joined =
      one === other
        ? one === LETTER || one === ALIKE
        : (one === LETTER && other === END) || (one === BEGINNING && other === LETTER);
    if (!joined) return true;
  }
  return false;
}
