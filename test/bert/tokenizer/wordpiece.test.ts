import { expect, test } from "vitest";
import { buildTrie } from "../../../src/bert/tokenizer/wordpiece.ts";

test("a trie finds every word and nothing else", () => {
  const words = new Map([
    ["a", 0],
    ["ab", 1],
    ["😀b", 2],
    ["##a", 3],
  ]);
  const trie = buildTrie(words);
  const idOf = (word: string): number => {
    let node = 0;
    for (const char of word) if (node >= 0) node = trie.step(node, char.codePointAt(0)!);
    return node < 0 ? -1 : trie.idAt(node);
  };
  for (const [word, id] of words) expect(idOf(word)).toBe(id);
  for (const word of ["", "b", "abc", "##", "😀"]) expect(idOf(word)).toBe(-1);
});

test("a trie of words made to collide under fixed factors takes no longer to build than others", () => {
  // 32 first characters, and below each the second ones that these factors bring to a 256th of a table of 2^18 slots
  const bits = 18;
  const slotOf = (node: number, code: number): number =>
    (Math.imul(node, 0x9e3779b1) ^ Math.imul(code, 0x85ebca6b)) >>> (32 - bits);
  const firsts = Array.from({ length: 32 }, (_, i) => 0x61 + i);
  const words = (accept: (node: number, code: number) => boolean): Map<string, number> => {
    const found = new Map(firsts.map((first, i) => [String.fromCodePoint(first), i]));
    firsts.forEach((first, i) => {
      let own = 0;
      for (let code = 0x10000; code <= 0x10ffff && own < 1250; code++) {
        if (!accept(i + 1, code)) continue;
        found.set(String.fromCodePoint(first, code), found.size);
        own++;
      }
    });
    return found;
  };
  const hostile = words((node, code) => slotOf(node, code) < 1 << (bits - 8));
  const harmless = words(() => true);
  expect(hostile.size).toBe(harmless.size);
  expect(hostile.size).toBe(32 * 1251);
  const timeOf = (vocabulary: Map<string, number>): number => {
    const times = Array.from({ length: 5 }, () => {
      const begin = performance.now();
      buildTrie(vocabulary);
      return performance.now() - begin;
    });
    return Math.min(...times);
  };
  expect(timeOf(hostile)).toBeLessThan(8 * timeOf(harmless));
});
