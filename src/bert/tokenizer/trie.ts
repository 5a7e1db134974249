/**
 * A trie over code points in one open-addressed table: a step of the walk is a probe or two in an Int32Array, whatever
 * the alphabet, and the longest match of WordPiece takes one pass instead of a lookup per prefix length.
 */

/** Node numbers; 0 is the root, -1 is nowhere. */
export interface Trie {
  /** The child of `node` along `code`, or -1. */
  step(node: number, code: number): number;
  /** The id of the word that ends at `node`, or -1. */
  idAt(node: number): number;
}

/** Slots of [parent, code, child]; a child is never 0, so 0 marks an empty slot. */
const SLOT = 3;

/** Builds the trie of `words`. The empty word is left out. */
export function buildTrie(words: ReadonlyMap<string, number>): Trie {
  let bits = 32 - Math.clz32(4 * words.size + 4); // half full at two or so nodes a word, as vocabularies have
  let table = new Int32Array(SLOT << bits);
  let ids = new Int32Array(1 << bits).fill(-1);
  let nodes = 1;

  /** The slot that holds (node, code), or the empty one where it belongs. */
  const find = (node: number, code: number): number => {
    let slot = (Math.imul(node, 0x9e3779b1) ^ Math.imul(code, 0x85ebca6b)) >>> (32 - bits);
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
