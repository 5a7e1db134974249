/** The checks that every vocabulary passes, from whatever file: sizes, ids, added tokens. */

import { quote } from "../../files/faults.ts";

/** The largest vocabulary in use, LaBSE's, has 501,153 tokens of 4 million characters. */
export const MOST_TOKENS = 600_000;
const MOST_CHARACTERS = 5_000_000;
const MOST_ADDED = 10_000;
const LONGEST_ADDED = 200;

/** What a special token is called in a model folder, by its role there. */
export type NameOf = (role: keyof SpecialIds) => string;

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
  /** As a file writes it, it only gives an order: see `createVocabulary`. */
  readonly id: number;
  readonly content: string;
  /** Left out of `decode` when special tokens are skipped, if its spelling there is its content. */
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
  /** By id. */
  readonly added: ReadonlyMap<number, AddedToken>;
  /** The contents of those that any file calls special. */
  readonly special: ReadonlySet<string>;
  /** Pieces and added tokens. */
  readonly ids: ReadonlyMap<string, number>;
  /** Where holes in the ids let a piece and an added token meet, the piece. */
  readonly tokens: readonly (string | undefined)[];
  /** How many tokens the files list. More are in `ids` where they name a special token that is not among them. */
  readonly listed: number;
}

/**
 * The vocabulary of pieces and added tokens read from `file`. As in tokenizers, an added token has the id of the piece of
 * its name, or else the next one after all; the last of one name wins. `named` ones are added where `added` lacks them.
 * @throws RangeError when it is empty or absurdly large, when an id is far out or a piece's is given twice
 */
export function createVocabulary(
  pieces: ReadonlyMap<string, number>,
  added: readonly AddedToken[],
  named: readonly AddedToken[],
  file: string,
): Vocabulary {
  if (pieces.size === 0) throw new RangeError(`${file}: no tokens`);
  if (pieces.size > MOST_TOKENS)
    throw new RangeError(`${file}: ${pieces.size} tokens, at most ${MOST_TOKENS} are read`);
  const count = new Set([...added, ...named].map(({ content }) => content)).size;
  if (count > MOST_ADDED) throw new RangeError(`${file}: ${count} added tokens, at most ${MOST_ADDED} are read`);
  // Ids index arrays and the rows of an embedding: some holes pass, the id 4,000,000,000 does not.
  const limit = 4 * (pieces.size + count) + 1000;
  const tokens: (string | undefined)[] = [];
  let characters = 0;
  const check = (token: string, id: number): void => {
    characters += token.length;
    if (!Number.isInteger(id) || id < 0 || id >= limit) {
      throw new RangeError(
        `${file}: the id of ${quote(token)} is ${quote(id)}; expected a whole number from 0 to ${limit - 1}`,
      );
    }
  };
  for (const [token, id] of pieces) {
    check(token, id);
    if (tokens[id] !== undefined) {
      throw new RangeError(`${file}: ${quote(tokens[id])} and ${quote(token)} share the id ${id}`);
    }
    tokens[id] = token;
  }

  const ids = new Map(pieces);
  const placed = new Map<number, AddedToken>();
  const contents = new Set<string>();
  const special = new Set<string>();
  let last = -1;
  const place = (token: AddedToken): void => {
    const { content, id: written } = token;
    if (content === "" || content.length > LONGEST_ADDED) {
      throw new RangeError(
        `${file}: added token ${written} has ${content.length} characters; expected 1 to ${LONGEST_ADDED}`,
      );
    }
    if (!contents.has(content)) check(content, written);
    const id = ids.get(content) ?? Math.max(last + 1, pieces.size);
    last = Math.max(last, id);
    ids.set(content, id);
    tokens[id] ??= content;
    placed.set(id, { ...token, id });
    contents.add(content);
    if (token.special) special.add(content);
  };
  added.forEach(place);
  const listed = ids.size;
  for (const token of named) if (!contents.has(token.content)) place(token);
  if (characters > MOST_CHARACTERS) {
    throw new RangeError(`${file}: ${characters} characters in all, at most ${MOST_CHARACTERS} are read`);
  }
  return { pieces, added: placed, special, ids, tokens, listed };
}

/** @throws RangeError when the unknown token is missing: texts would have no encoding. */
export function specialIds(nameOf: NameOf, { pieces, ids }: Vocabulary, file: string): SpecialIds {
  const unk = pieces.get(nameOf("unk"));
  if (unk === undefined)
    throw new RangeError(`${file}: the unknown token ${quote(nameOf("unk"))} is not in the vocabulary`);
  const id = (role: keyof SpecialIds): number | undefined => ids.get(nameOf(role));
  return { unk, cls: id("cls"), sep: id("sep"), pad: id("pad"), mask: id("mask") };
}
