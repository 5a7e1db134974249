/** The checks that every vocabulary passes, from whatever file: sizes, ids, added tokens. */

import { quote } from "../../files/faults.ts";

/** The largest vocabulary in use, LaBSE's, has 501,153 tokens of 4 million characters. */
export const MOST_TOKENS = 600_000;
const MOST_CHARACTERS = 5_000_000;
const MOST_ADDED = 10_000;
const LONGEST_ADDED = 200;

/** The names that BERT's special tokens have in a model folder. */
export interface SpecialNames {
  readonly unk: string;
  readonly cls: string;
  readonly sep: string;
  readonly pad: string;
  readonly mask: string;
}

/** Ids with a role; undefined where the vocabulary has none. */
export interface SpecialIds {
  readonly unk: number;
  readonly cls: number | undefined;
  readonly sep: number | undefined;
  readonly pad: number | undefined;
  readonly mask: number | undefined;
}

/** A string found in the text before it is cut into words, [MASK] first of all. */
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

/** Tokens and their ids, both ways. */
export interface Vocabulary {
  /** What WordPiece cuts words into. */
  readonly pieces: ReadonlyMap<string, number>;
  readonly added: readonly AddedToken[];
  /** Pieces and added tokens. */
  readonly ids: ReadonlyMap<string, number>;
  readonly tokens: readonly (string | undefined)[];
}

/**
 * The vocabulary of pieces and added tokens read from `file`.
 * @throws RangeError when it is empty or absurdly large, when an id is far out, given twice, or contradicted
 */
export function createVocabulary(
  pieces: ReadonlyMap<string, number>,
  added: readonly AddedToken[],
  file: string,
): Vocabulary {
  if (pieces.size === 0) throw new RangeError(`${file}: no tokens`);
  if (pieces.size > MOST_TOKENS)
    throw new RangeError(`${file}: ${pieces.size} tokens, at most ${MOST_TOKENS} are read`);
  if (added.length > MOST_ADDED) {
    throw new RangeError(`${file}: ${added.length} added tokens, at most ${MOST_ADDED} are read`);
  }
  // Ids index arrays and the rows of an embedding: some holes pass, the id 4,000,000,000 does not.
  const limit = 4 * (pieces.size + added.length) + 1000;
  const tokens: (string | undefined)[] = [];
  const claim = (token: string, id: number): void => {
    if (!Number.isInteger(id) || id < 0 || id >= limit) {
      throw new RangeError(
        `${file}: the id of ${quote(token)} is ${quote(id)}; expected a whole number from 0 to ${limit - 1}`,
      );
    }
    const owner = tokens[id];
    if (owner !== undefined && owner !== token) {
      throw new RangeError(`${file}: ${quote(owner)} and ${quote(token)} share the id ${id}`);
    }
    tokens[id] = token;
  };

  let characters = 0;
  for (const [token, id] of pieces) {
    characters += token.length;
    claim(token, id);
  }
  const ids = new Map(pieces);
  for (const { content, id } of added) {
    if (content === "" || content.length > LONGEST_ADDED) {
      throw new RangeError(
        `${file}: added token ${id} has ${content.length} characters; expected 1 to ${LONGEST_ADDED}`,
      );
    }
    const known = ids.get(content);
    if (known !== undefined && known !== id) {
      throw new RangeError(`${file}: the added token ${quote(content)} has id ${id}, but ${known} before`);
    }
    characters += content.length;
    claim(content, id);
    ids.set(content, id);
  }
  if (characters > MOST_CHARACTERS) {
    throw new RangeError(`${file}: ${characters} characters in all, at most ${MOST_CHARACTERS} are read`);
  }
  return { pieces, added, ids, tokens };
}

/** @throws RangeError when the unknown token is missing: texts would have no encoding. */
export function specialIds(names: SpecialNames, { pieces, ids }: Vocabulary, file: string): SpecialIds {
  const unk = pieces.get(names.unk);
  if (unk === undefined)
    throw new RangeError(`${file}: the unknown token ${quote(names.unk)} is not in the vocabulary`);
  const [cls, sep, pad, mask] = [names.cls, names.sep, names.pad, names.mask].map((name) => ids.get(name));
  return { unk, cls, sep, pad, mask };
}
