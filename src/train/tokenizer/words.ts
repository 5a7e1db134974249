/** The words of texts, counted: normalised and cut as BERT's tokenizer does before it looks for pieces. */

import { createNormalizer, type NormalizedText } from "../../bert/tokenizer/normalizer.ts";
import { bertSteps, type NormalizerOptions } from "../../bert/tokenizer/normalizer_steps.ts";
import { bertKind, endsBetween, isGone } from "../../bert/tokenizer/pre_tokenizer.ts";

/**
 * Code points. What is longer is no word, whatever it is; a tokenizer gives [UNK] for words from 101 on. It bounds the time
 * of a merge.
 */
export const LONGEST_WORD = 1000;

/** UTF-16 units that are normalised at a time, at least: that takes 13 bytes for each. */
const SLICE = 1 << 16;

export interface WordCounts {
  /** How often each word was there. */
  readonly counts: ReadonlyMap<string, number>;
  /** Words that were there, each time one occurs. */
  readonly total: () => number;
  /** Those longer than `LONGEST_WORD`, which are in none of the above. */
  readonly tooLong: () => number;
  add(text: string): void;
}

export function countWords(options: NormalizerOptions): WordCounts {
  const normalize = createNormalizer(bertSteps(options), bertKind);
  const counts = new Map<string, number>();
  let [total, tooLong] = [0, 0];

  const addSlice = ({ codes, kinds, length }: NormalizedText): void => {
    for (let i = 0; i < length; ) {
      const from = i++;
      if (isGone(kinds[from]!)) continue;
      while (i < length && !endsBetween(kinds[i - 1]!, kinds[i]!)) i++;
      if (i - from > LONGEST_WORD) {
        tooLong++;
        continue;
      }
      const word = String.fromCodePoint(...codes.subarray(from, i));
      counts.set(word, (counts.get(word) ?? 0) + 1);
      total++;
    }
  };

  return {
    counts,
    total: () => total,
    tooLong: () => tooLong,
    add(given) {
      // as the tokenizer reads it: lone surrogates are U+FFFD
      const text = given.replace(/[\ud800-\udfff]/gu, "\ufffd");
      for (let start = 0; start < text.length; ) {
        const end = sliceEnd(text, start);
        addSlice(normalize(text, start, end));
        start = end;
      }
    },
  };
}

/** Before white space, across which no step of BERT's normaliser looks. */
function sliceEnd(text: string, start: number): number {
  for (let at = start + SLICE; at < text.length; at++) if (" \n\r\t".includes(text[at]!)) return at;
  return text.length;
}
