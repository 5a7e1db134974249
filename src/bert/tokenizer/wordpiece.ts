/**
 * WordPiece: a word is cut into the longest pieces of the vocabulary, from the left; if that gets stuck the word is
 * unknown as a whole. Mirrors tokenizers/src/models/wordpiece/mod.rs, but for the trie, in which a longest match takes
 * one pass instead of a lookup per prefix length.
 */

import type { NormalizedText } from "./normalizer.ts";

/** The tokens of one text before special ones join them: parallel arrays. */
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

/** Leaves the first `count` tokens. */
export function truncate({ ids, starts, ends, words }: TextTokens, count: number): void {
  ids.length = starts.length = ends.length = words.length = count;
}

/** Appends a token. */
export function push(into: TextTokens, id: number, start: number, end: number, word: number): void {
  into.ids.push(id);
  into.starts.push(start);
  into.ends.push(end);
  into.words.push(word);
}

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
    truncate(into, before);
    push(into, unk, starts[from]!, ends[to - 1]!, word);
  };
}

/** Node numbers; 0 is the root, -1 is nowhere. */
export interface Trie {
  /** The child of `node` along `code`, or -1. */
  step(node: number, code: number): number;
  /** The id of the word that ends at `node`, or -1. */
  idAt(node: number): number;
}

/** Slots of [parent, code, child]; a child is never 0, so 0 marks an empty slot. */
const SLOT = 3;

/**
 * The trie of `words` over code points, without the empty word, in one open-addressed table: a step of the walk is a
 * probe or two in an Int32Array, whatever the alphabet.
 */
export function buildTrie(words: ReadonlyMap<string, number>): Trie {
  let bits = 32 - Math.clz32(4 * words.size + 4); // half full at two or so nodes a word, as vocabularies have
  let table = new Int32Array(SLOT << bits);
  let ids = new Int32Array(1 << bits).fill(-1);
  let nodes = 1;
  // Random odd factors, so that no file can be made whose pieces all meet in one place.
  const [ofNode = 1, ofCode = 1] = crypto.getRandomValues(new Int32Array(2)).map((factor) => factor | 1);

  /** The slot that holds (node, code), or the empty one where it belongs. */
  const find = (node: number, code: number): number => {
    const key = (Math.imul(node, ofNode) + Math.imul(code, ofCode)) | 0;
    let slot = Math.imul(key ^ (key >>> 15), 0x9e3779b1) >>> (32 - bits);
    const mask = (1 << bits) - 1;
    for (;;) {
      const at = SLOT * slot;
      if (table[at + 2] === 0 || (table[at] === node && table[at + 1] === code)) return at;
      slot = (slot + 1) & mask;
    }
  };

  const grow = (): void => {
    const full = table;
    bits++;
    table = new Int32Array(SLOT << bits);
    for (let at = 0; at < full.length; at += SLOT) {
      if (full[at + 2] !== 0) table.set(full.subarray(at, at + SLOT), find(full[at]!, full[at + 1]!));
    }
    const known = ids;
    ids = new Int32Array(1 << bits).fill(-1);
    ids.set(known);
  };

  for (const [word, id] of words) {
    let node = 0;
    for (let i = 0; i < word.length; i++) {
      const code = word.codePointAt(i)!;
      if (code > 0xffff) i++;
      let at = find(node, code);
      if (table[at + 2] === 0) {
        if (2 * nodes >= 1 << bits) {
          grow(); // at most half full, so that probes stay short
          at = find(node, code);
        }
        table[at] = node;
        table[at + 1] = code;
        table[at + 2] = nodes++;
      }
      node = table[at + 2]!;
    }
    if (node !== 0) ids[node] = id;
  }

  return { step: (node, code) => table[find(node, code) + 2]! || -1, idAt: (node) => ids[node]! };
}
