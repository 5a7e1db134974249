/** A text as given, and its tokens before special ones join them. */

/** A text, or its words when it is split already: an array of strings is always words, never a pair. */
export type TokenizerInput = string | readonly string[];

/** The tokens of one text: parallel arrays. */
export interface TextTokens {
  readonly ids: number[];
  /** [start, end) in UTF-16 units of the text as given, or of the word as given. */
  readonly starts: number[];
  readonly ends: number[];
  readonly words: number[];
  /** What the text says where it differs from the token: an added token with the white space that it swallowed. */
  readonly surfaces: Map<number, string>;
}

export function emptyTokens(): TextTokens {
  return { ids: [], starts: [], ends: [], words: [], surfaces: new Map() };
}

/** Appends a token. */
export function push(into: TextTokens, id: number, start: number, end: number, word: number): void {
  into.ids.push(id);
  into.starts.push(start);
  into.ends.push(end);
  into.words.push(word);
}
