/** The words of texts, counted: normalised and cut as BERT's tokenizer does before it looks for pieces. */

import { createNormalizer, type NormalizedText } from "../../bert/tokenizer/normalizer.ts";
import { bertSteps, type NormalizerOptions } from "../../bert/tokenizer/normalizer_steps.ts";
import { bertKind, endsBetween, isGone } from "../../bert/tokenizer/pre_tokenizer.ts";

/**
 * Code points. What is longer is no word, whatever it is; a tokenizer gives [UNK] for words from 101 on. It bounds the time
 * of a merge.
 */
export const LONGEST_WORD = 1000;

/** UTF-16 units of texts that are split before their parts are normalised, each part once: it is most of the time. */
const HELD = 1 << 22;

export interface WordCounts {
  /** How often each word was there. */
  readonly counts: ReadonlyMap<string, number>;
  /** Words that were there, each time one occurs. */
  readonly total: number;
  /** Those longer than `LONGEST_WORD`, which are in none of the above. */
  readonly tooLong: number;
}

export function countWords(options: NormalizerOptions): { add(text: string): void; end(): WordCounts } {
  const normalize = createNormalizer(bertSteps(options), bertKind);
  const counts = new Map<string, number>();
  let [total, tooLong] = [0, 0];
  /** Between white space, across which no step of BERT's normaliser looks. Beware: they may hold on to whole texts. */
  let parts = new Map<string, number>();
  let held = 0;

  const addPart = ({ codes, kinds, length }: NormalizedText, times: number): void => {
    for (let i = 0; i < length; ) {
      const from = i++;
      if (isGone(kinds[from]!)) continue;
      while (i < length && !endsBetween(kinds[i - 1]!, kinds[i]!)) i++;
      if (i - from > LONGEST_WORD) {
        tooLong += times;
        continue;
      }
      const word = String.fromCodePoint(...codes.subarray(from, i));
      counts.set(word, (counts.get(word) ?? 0) + times);
      total += times;
    }
  };
  const addParts = (): void => {
    for (const [part, times] of parts) {
      // as the tokenizer reads it: lone surrogates are U+FFFD
      const text = part.replace(/[\ud800-\udfff]/gu, "\ufffd");
      addPart(normalize(text, 0, text.length), times);
    }
    parts = new Map();
    held = 0;
  };

  return {
    add(text) {
      for (const part of text.split(/[ \n\r\t]+/)) parts.set(part, (parts.get(part) ?? 0) + 1);
      held += text.length;
      if (held > HELD) addParts();
    },
    end() {
      addParts();
      return { counts, total, tooLong };
    },
  };
}
