/**
 * Added tokens: strings found in the text before it is cut into words, [MASK] first of all. Mirrors
 * tokenizers/src/tokenizer/added_vocabulary.rs.
 */

import { buildTrie } from "./trie.ts";

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Left out of `decode` when special tokens are skipped. */
  readonly special: boolean;
  /** Takes the white space before (after) it into its offsets. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Does not match inside a word. */
  readonly singleWord: boolean;
  /** Looked for in the normalised text, in its own normalised form, instead of in the text as given. */
  readonly normalized: boolean;
}

/** An added token at [start, end) of the searched text. */
export interface AddedMatch {
  readonly id: number;
  readonly start: number;
  readonly end: number;
}

export type FindAdded = (text: string) => readonly AddedMatch[];

const WORD_BEFORE = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;
const WORD_AFTER = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const SPACE = /\p{White_Space}/u;

/**
 * Finds the leftmost, longest matches. `spell` gives the form in which a token is looked for; an empty form never
 * matches. Undefined when there is nothing to look for, so that the caller can skip the search.
 */
export function createAddedFinder(
  tokens: readonly AddedToken[],
  spell: (content: string) => string = (content) => content,
): FindAdded | undefined {
  const forms = new Map<string, AddedToken>();
  // Special ones first: of two tokens of one form, the first wins.
  for (const token of [...tokens.filter((t) => t.special), ...tokens.filter((t) => !t.special)]) {
    const form = spell(token.content);
    if (form !== "" && !forms.has(form)) forms.set(form, token);
  }
  if (forms.size === 0) return undefined;
  const listed = [...forms.values()];
  const trie = buildTrie(new Map([...forms.keys()].map((form, i) => [form, i])));
  const mayStart = new Uint8Array(0x10000); // by first UTF-16 unit: most texts have no added token
  for (const form of forms.keys()) mayStart[form.charCodeAt(0)] = 1;

  return (text) => {
    const matches: AddedMatch[] = [];
    let free = 0; // up to here the text is taken
    for (let i = 0; i < text.length; i++) {
      if (mayStart[text.charCodeAt(i)] === 0) continue;
      let found = -1;
      let end = i;
      for (let node = 0, next = i; node >= 0 && next < text.length; ) {
        const code = text.codePointAt(next)!;
        next += code > 0xffff ? 2 : 1;
        node = trie.step(node, code);
        if (node < 0 || trie.idAt(node) < 0) continue;
        found = trie.idAt(node);
        end = next;
      }
      if (found < 0) continue;
      const token = listed[found]!;
      let start = i;
      i = end - 1; // matches do not overlap, whatever becomes of this one
      if (token.singleWord && (touchesWord(text, start, WORD_BEFORE, -2) || touchesWord(text, end, WORD_AFTER, 2))) {
        continue;
      }
      if (token.lstrip) while (start > free && SPACE.test(text[start - 1]!)) start--;
      if (token.rstrip) while (end < text.length && SPACE.test(text[end]!)) end++;
      matches.push({ id: token.id, start, end });
      free = end;
    }
    return matches;
  };
}

/** Two units are enough for one code point. */
function touchesWord(text: string, at: number, pattern: RegExp, units: number): boolean {
  return pattern.test(text.slice(Math.max(0, Math.min(at, at + units)), Math.max(at, at + units)));
}
