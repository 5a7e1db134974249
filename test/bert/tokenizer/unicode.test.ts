/** The tables of unicode.ts, for every code point, against the tables inside Hugging Face's Rust tokenizers. */

import { describe, expect, it } from "vitest";
import {
  decompose,
  isControl,
  isIdeograph,
  isMark,
  isPunctuation,
  isReordered,
  isSpace,
} from "../../../src/bert/tokenizer/unicode.ts";
import { rust } from "./oracle.ts";

const OFF = { cleanText: false, handleChineseChars: false, stripAccents: false, lowercase: false };
const LAST = 0x10ffff;

/** Every code point but surrogates and the separator "x". */
function* codePoints(): Generator<number> {
  for (let code = 0; code <= LAST; code++) if ((code < 0xd800 || code > 0xdfff) && code !== 0x78) yield code;
}

/** What the oracle makes of each code point between two x: one call for thousands of them. */
function between(normalize: (text: string) => string): Map<number, string> {
  const results = new Map<number, string>();
  let batch: number[] = [];
  const flush = (): void => {
    const parts = normalize(`x${batch.map((code) => String.fromCodePoint(code)).join("x")}x`).split("x");
    expect(parts.length).toBe(batch.length + 2);
    batch.forEach((code, i) => void results.set(code, parts[i + 1]!));
    batch = [];
  };
  for (const code of codePoints()) if (batch.push(code) === 4096) flush();
  flush();
  return results;
}

/** The code points for which the two disagree, as unicode.ts writes them: what to mend there when this fails. */
function disagreements(ours: (code: number) => boolean, theirs: (code: number) => boolean): string {
  const ranges: [number, number][] = [];
  for (const code of codePoints()) {
    if (ours(code) === theirs(code)) continue;
    const last = ranges.at(-1);
    if (last?.[1] === code - 1) last[1] = code;
    else ranges.push([code, code]);
  }
  return ranges.map(([a, b]) => (a === b ? a.toString(16) : `${a.toString(16)}-${b.toString(16)}`)).join(" ");
}

describe("every code point agrees with the original", () => {
  it("control characters and white space", () => {
    const cleaner = rust.bertNormalizer({ ...OFF, cleanText: true });
    const cleaned = between((text) => cleaner.normalizeString(text));
    expect(disagreements(isControl, (code) => cleaned.get(code) === "")).toBe("");
    expect(
      disagreements(
        (code) => isSpace(code) && !isControl(code),
        (code) => cleaned.get(code) === " ",
      ),
    ).toBe("");
  });

  it("ideographs", () => {
    const spacer = rust.bertNormalizer({ ...OFF, handleChineseChars: true });
    const spaced = between((text) => spacer.normalizeString(text));
    expect(disagreements(isIdeograph, (code) => spaced.get(code)!.length > String.fromCodePoint(code).length)).toBe("");
  });

  it("marks", () => {
    const stripper = rust.bertNormalizer({ ...OFF, stripAccents: true });
    const stripped = between((text) => stripper.normalizeString(text));
    expect(disagreements(isMark, (code) => stripped.get(code) === "" && decompose(code).length < 3)).toBe("");
  });

  it("punctuation", () => {
    const splitter = rust.bertPreTokenizer();
    const alone = new Set<number>();
    for (let first = 0; first <= LAST; first += 4096) {
      const block = [...codePoints()].slice(0, 0);
      for (let code = first; code < first + 4096; code++) if (code < 0xd800 || code > 0xdfff) block.push(code);
      const text = block.map((code) => String.fromCodePoint(code)).join("x");
      // Between letters a character is a piece by itself only when it is punctuation; white space is gone.
      for (const [piece] of splitter.preTokenizeString(`x${text}x`)) {
        const code = piece.codePointAt(0)!;
        if (code !== 0x78 && String.fromCodePoint(code) === piece) alone.add(code);
      }
    }
    expect(disagreements(isPunctuation, (code) => alone.has(code))).toBe("");
  });

  it("decomposition and reordering", () => {
    const nfd = rust.nfdNormalizer();
    const decomposed = between((text) => nfd.normalizeString(text));
    expect(
      disagreements(
        (code) => decompose(code) === decomposed.get(code),
        () => true,
      ),
    ).toBe("");
    const after = between((text) => nfd.normalizeString(text.replaceAll("x", "x\u0345")).replaceAll("\u0345x", "x"));
    expect(
      disagreements(isReordered, (code) => code === 0x345 || !after.get(code)!.startsWith("\u0345")),
      "moves before U+0345",
    ).toBe("");
  });

  it("lower case, but for letters that are newer than this JavaScript engine", () => {
    const lower = rust.bertNormalizer({ ...OFF, lowercase: true });
    const lowered = between((text) => lower.normalizeString(text));
    const differing = [...codePoints()].filter(
      (code) => String.fromCodePoint(code).toLowerCase() !== lowered.get(code),
    );
    const known = differing.filter((code) => !/\p{Cn}/u.test(String.fromCodePoint(code)));
    expect(known.map((code) => code.toString(16))).toEqual([]);
    expect(differing.length).toBeLessThan(100);
  });
});
