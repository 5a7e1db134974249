/**
 * WordPiece: a word is cut into the longest pieces of the vocabulary, from the left; if that gets stuck the word is
 * unknown as a whole. Mirrors tokenizers/src/models/wordpiece/mod.rs.
 */

import type { NormalizedText } from "./normalizer.ts";
import { push, type TextTokens } from "./text_tokens.ts";
import { buildTrie } from "./trie.ts";

export interface WordPieceModel {
  readonly pieces: ReadonlyMap<string, number>;
  readonly unk: number;
  /** What marks a piece inside a word: `##`. */
  readonly continuingPrefix: string;
  /** A longer word, in code points, is unknown without looking. */
  readonly maxInputCharsPerWord: number;
}

/** Appends the pieces of the word `text[from, to)` to `into`. */
export type CutWord = (text: NormalizedText, from: number, to: number, word: number, into: TextTokens) => void;

export function createWordPiece(model: WordPieceModel): CutWord {
  const { unk, maxInputCharsPerWord } = model;
  const trie = buildTrie(model.pieces);
  let inside = 0; // the node below which the pieces inside a word hang
  for (const char of model.continuingPrefix) inside = inside < 0 ? -1 : trie.step(inside, char.codePointAt(0)!);

  return (text, from, to, word, into) => {
    const { codes, starts, ends } = text;
    const before = into.ids.length;
    let at = to - from > maxInputCharsPerWord ? -1 : from;
    while (at >= 0 && at < to) {
      let node = at === from ? 0 : inside;
      let id = -1;
      let stop = -1;
      for (let i = at; i < to && node >= 0; ) {
        node = trie.step(node, codes[i++]!);
        if (node < 0) break;
        const here = trie.idAt(node);
        if (here >= 0) {
          id = here;
          stop = i;
        }
      }
      if (id >= 0) push(into, id, starts[at]!, ends[stop - 1]!, word);
      at = stop;
    }
    if (at === to) return;
    into.ids.length = into.starts.length = into.ends.length = into.words.length = before;
    push(into, unk, starts[from]!, ends[to - 1]!, word);
  };
}
