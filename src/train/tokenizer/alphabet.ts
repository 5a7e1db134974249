/** The characters of words: those that a vocabulary has, and words spelled in them. */

import { PREFIX, type SpelledWords } from "./merges.ts";

export interface Alphabet {
  /** In the order of their code points. */
  readonly characters: readonly string[];
  /** How many there were in all. */
  readonly found: number;
}

/** The most frequent characters, at most `limit`; of such as are equally frequent the one of the lower code point. */
export function chooseAlphabet(words: ReadonlyMap<string, number>, limit: number): Alphabet {
  const counts = new Map<number, number>();
  for (const [word, count] of words) {
    for (const char of word) {
      const code = char.codePointAt(0)!;
      counts.set(code, (counts.get(code) ?? 0) + count);
    }
  }
  const chosen = [...counts].sort(([a, one], [b, other]) => other - one || a - b).slice(0, limit);
  const codes = chosen.map(([code]) => code).sort((a, b) => a - b);
  return { characters: codes.map((code) => String.fromCodePoint(code)), found: counts.size };
}

/** Pieces of those characters that go on with a word somewhere, in the order of `characters`. */
export function continuations(words: Iterable<string>, characters: readonly string[]): string[] {
  const inside = new Set<string>();
  for (const word of words) {
    let first = true;
    for (const char of word) {
      if (!first) inside.add(char);
      first = false;
    }
  }
  return characters.filter((char) => inside.has(char)).map((char) => PREFIX + char);
}

/**
 * Words as ids of their characters, as tokenizers does it: a character that is not in the alphabet is passed over. In the
 * order of the words themselves, so that nothing depends on where they stood in the texts.
 * @param pieces by id
 */
export function spellWords(words: ReadonlyMap<string, number>, pieces: readonly string[]): SpelledWords {
  const ids = new Map(pieces.map((piece, id) => [piece, id]));
  const sorted = [...words.keys()].sort();
  const starts = new Int32Array(sorted.length + 1);
  const symbols = new Int32Array(sorted.reduce((sum, { length }) => sum + length, 0));
  let end = 0;
  for (const [i, word] of sorted.entries()) {
    let prefix = "";
    for (const char of word) {
      const id = ids.get(char) === undefined ? undefined : ids.get(prefix + char);
      if (id !== undefined) symbols[end++] = id;
      prefix = PREFIX;
    }
    starts[i + 1] = end;
  }
  return { symbols, starts, counts: Float64Array.from(sorted, (word) => words.get(word)!) };
}
