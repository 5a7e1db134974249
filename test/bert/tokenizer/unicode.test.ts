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

/** A letter without case, decomposition or part in any. */
const SEPARATOR = "\u0298";

/** Every code point but surrogates and the separator. */
const CODES = Uint32Array.from({ length: 0x110000 }, (_, code) => code).filter(
  (code) => (code < 0xd800 || code > 0xdfff) && code !== SEPARATOR.codePointAt(0),
);

/** By code point: what the oracle makes of it between two separators. One call does thousands. */
function between(normalize: (text: string) => string): string[] {
  const results: string[] = [];
  for (let from = 0; from < CODES.length; from += 4096) {
    const batch = CODES.subarray(from, from + 4096);
    const parts = normalize(`${SEPARATOR}${spread(batch)}${SEPARATOR}`).split(SEPARATOR);
    expect(parts.length).toBe(batch.length + 2);
    for (let i = 0; i < batch.length; i++) results[batch[i]!] = parts[i + 1]!;
  }
  return results;
}

function spread(codes: Uint32Array): string {
  return Array.from(codes, (code) => String.fromCodePoint(code)).join(SEPARATOR);
}

/** The code points for which the two disagree, in hexadecimal ranges: what to mend there when a test fails. */
function disagreements(ours: (code: number) => boolean, theirs: (code: number) => boolean): string {
  const ranges: [number, number][] = [];
  for (const code of CODES) {
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
    expect(disagreements(isControl, (code) => cleaned[code] === "")).toBe("");
    expect(
      disagreements(
        (code) => isSpace(code) && !isControl(code),
        (code) => cleaned[code] === " ",
      ),
    ).toBe("");
  });

  it("ideographs", () => {
    const spacer = rust.bertNormalizer({ ...OFF, handleChineseChars: true });
    const spaced = between((text) => spacer.normalizeString(text));
    expect(disagreements(isIdeograph, (code) => spaced[code]!.length > String.fromCodePoint(code).length)).toBe("");
  });

  it("marks", () => {
    const stripper = rust.bertNormalizer({ ...OFF, stripAccents: true });
    const stripped = between((text) => stripper.normalizeString(text));
    const vanishes = (code: number): boolean => Array.from(decompose(code)).every((c) => isMark(c.codePointAt(0)!));
    expect(disagreements(vanishes, (code) => stripped[code] === "")).toBe("");
  });

  it("punctuation", () => {
    const splitter = rust.bertPreTokenizer();
    const alone = new Set<number>();
    for (let from = 0; from < CODES.length; from += 4096) {
      const text = `${SEPARATOR}${spread(CODES.subarray(from, from + 4096))}${SEPARATOR}`;
      // Between letters only punctuation is a piece by itself; white space is gone.
      for (const [piece] of splitter.preTokenizeString(text)) {
        if (piece !== SEPARATOR && String.fromCodePoint(piece.codePointAt(0)!) === piece) {
          alone.add(piece.codePointAt(0)!);
        }
      }
    }
    expect(disagreements(isPunctuation, (code) => alone.has(code))).toBe("");
  });

  it("decomposition and reordering", () => {
    const nfd = rust.nfdNormalizer();
    const decomposed = between((text) => nfd.normalizeString(text));
    expect(
      disagreements(
        (code) => decompose(code) === decomposed[code],
        () => true,
      ),
    ).toBe("");
    const marked = `${SEPARATOR}\u0345`;
    const moved = between((text) => nfd.normalizeString(text.replaceAll(SEPARATOR, marked)));
    const moves = (code: number): boolean => moved[code] !== `\u0345${decomposed[code]}`;
    const whole = (code: number): boolean => decomposed[code] === String.fromCodePoint(code) && code !== 0x345;
    expect(
      disagreements(
        (code) => whole(code) && isReordered(code),
        (code) => whole(code) && moves(code),
      ),
    ).toBe("");
  });

  it("lower case, but for letters that are newer than this JavaScript engine", () => {
    const lower = rust.bertNormalizer({ ...OFF, lowercase: true });
    const lowered = between((text) => lower.normalizeString(text));
    const differing = [...CODES].filter((code) => String.fromCodePoint(code).toLowerCase() !== lowered[code]);
    const known = differing.filter((code) => !/\p{Cn}/u.test(String.fromCodePoint(code)));
    expect(known.map((code) => code.toString(16))).toEqual([]);
    expect(differing.length).toBeLessThan(100);
  });
});
