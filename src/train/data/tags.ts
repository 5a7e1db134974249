/** Tagged words as sequences of word pieces: the first piece of a word has its tag, the others have none. */

import type { Tokenizer } from "../../bert/tokenizer/tokenizer.ts";
import type { Example } from "../step.ts";
import { NONE } from "./masking.ts";

/**
 * Long sentences are cut into several, each word's tag in one of them.
 * @param tags class of each word, or -100
 * @param maxLength tokens, special ones included
 * @throws RangeError unless each word has a tag
 */
export function tagExamples(
  tokenizer: Tokenizer,
  words: readonly string[],
  tags: readonly number[],
  maxLength: number,
): Example[] {
  if (words.length !== tags.length || words.length === 0) {
    throw new RangeError(`${words.length} words and ${tags.length} tags, a tag for each word is needed`);
  }
  const first = tokenizer.encode(words, undefined, { truncation: true, maxLength, returnOverflow: true });
  let last = -1;
  return [first, ...first.overflow].map(({ ids, wordIds }) => ({
    sequence: { inputIds: Uint32Array.from(ids) },
    labels: {
      tags: Int32Array.from(wordIds, (word) => {
        if (word === null || word === last) return NONE;
        last = word;
        return tags[word]!;
      }),
    },
  }));
}
