/**
 * BertNormalizer: cleaning, spaces around ideographs, accents stripped, lower case; every resulting character keeps the
 * place it came from. Mirrors tokenizers/src/normalizers/bert.rs and the alignments of tokenizer/normalizer.rs.
 */

import {
  combiningRanks,
  decompose,
  isControl,
  isIdeograph,
  isMark,
  isPunctuation,
  isReordered,
  isSpace,
} from "./unicode.ts";

export interface NormalizerOptions {
  /** Drop control characters, turn every white space into a space. */
  readonly cleanText: boolean;
  /** Make each ideograph a word. */
  readonly handleChineseChars: boolean;
  /** NFD, then drop the marks. */
  readonly stripAccents: boolean;
  readonly lowercase: boolean;
}

/** What BertPreTokenizer sees in a character: part of a word, a separator, a word by itself. */
export const LETTER = 0;
export const SPACE = 1;
export const PUNCTUATION = 2;

/** A normalised text. The arrays are reused by the next call and longer than `length`. */
export interface NormalizedText {
  /** Code points. */
  codes: Int32Array;
  /** LETTER, SPACE or PUNCTUATION. */
  kinds: Uint8Array;
  /** Where each code point came from: [start, end) in UTF-16 units of the original. */
  starts: Int32Array;
  ends: Int32Array;
  length: number;
}

export type Normalize = (text: string, start: number, end: number) => NormalizedText;

/** What becomes of one code point when its neighbours do not matter. */
interface Fate {
  readonly codes: readonly number[];
  readonly kinds: readonly number[];
  /** A code stays that canonical ordering may move, so that the neighbours do matter. */
  readonly reordered: boolean;
}

/** Fates remembered per tokenizer: enough for all living scripts, and a bound for hostile text. */
const MOST_FATES = 65_536;

/** A function that normalises `text[start, end)`. The text must be well formed: no lone surrogates. */
export function createNormalizer(options: NormalizerOptions): Normalize {
  const fates = new Map<number, Fate>();
  const asciiCodes = new Int16Array(128); // -1: dropped
  const asciiKinds = new Uint8Array(128);
  for (let code = 0; code < 128; code++) {
    const fate = fateOf(code, options);
    asciiCodes[code] = fate.codes[0] ?? -1;
    asciiKinds[code] = fate.kinds[0] ?? LETTER;
  }

  const out: NormalizedText = {
    codes: new Int32Array(0),
    kinds: new Uint8Array(0),
    starts: new Int32Array(0),
    ends: new Int32Array(0),
    length: 0,
  };

  const remembered = (code: number): Fate => {
    let fate = fates.get(code);
    if (fate === undefined) {
      fate = fateOf(code, options);
      if (fates.size < MOST_FATES) fates.set(code, fate);
    }
    return fate;
  };

  return (text, start, end) => {
    out.length = 0;
    reserve(out, end - start);
    let { codes, kinds, starts, ends } = out;
    let n = 0;
    for (let i = start; i < end; i++) {
      const unit = text.charCodeAt(i);
      if (unit < 128) {
        const code = asciiCodes[unit]!;
        if (code < 0) continue;
        codes[n] = code;
        kinds[n] = asciiKinds[unit]!;
        starts[n] = i;
        ends[n++] = i + 1;
        continue;
      }
      const code = text.codePointAt(i)!;
      const fate = remembered(code);
      if (fate.reordered) return normalizeInOrder(text, start, end, options, out);
      const from = i;
      if (code > 0xffff) i++;
      out.length = n;
      reserve(out, fate.codes.length + end - i);
      ({ codes, kinds, starts, ends } = out);
      for (let k = 0; k < fate.codes.length; k++) {
        codes[n] = fate.codes[k]!;
        kinds[n] = fate.kinds[k]!;
        starts[n] = from;
        ends[n++] = i + 1;
      }
    }
    out.length = n;
    return out;
  };
}

function fateOf(code: number, options: NormalizerOptions): Fate {
  const codes: number[] = [];
  let reordered = false;
  for (const spaced of spaceOut(code, options)) {
    for (const part of options.stripAccents ? codePoints(decompose(spaced)) : [spaced]) {
      if (options.stripAccents && isMark(part)) continue;
      if (options.stripAccents && isReordered(part)) reordered = true;
      codes.push(...lower(part, options));
    }
  }
  return { codes, kinds: codes.map(kindOf), reordered };
}

/** Cleaning, then spaces around an ideograph: what comes before decomposition. */
function spaceOut(code: number, options: NormalizerOptions): number[] {
  if (options.cleanText) {
    if (isControl(code)) return [];
    if (isSpace(code)) return [0x20];
  }
  return options.handleChineseChars && isIdeograph(code) ? [0x20, code, 0x20] : [code];
}

/** One character at a time, hence no final sigma: as Rust's `char::to_lowercase`. */
function lower(code: number, options: NormalizerOptions): number[] {
  return options.lowercase ? codePoints(String.fromCodePoint(code).toLowerCase()) : [code];
}

function kindOf(code: number): number {
  return isSpace(code) ? SPACE : isPunctuation(code) ? PUNCTUATION : LETTER;
}

/**
 * The rare case of marks that survive and change places (tone marks of Hangul, viramas of Bali, musical stems). The
 * original hands out places by position after the reordering: a character that was decomposed shares one, every other
 * takes the next. So a mark that moved to the front sits, from then on, where the front one was.
 */
function normalizeInOrder(
  text: string,
  start: number,
  end: number,
  options: NormalizerOptions,
  out: NormalizedText,
): NormalizedText {
  const places: [start: number, end: number][] = [];
  const parts: Part[] = [];
  for (let i = start; i < end; ) {
    const code = text.codePointAt(i)!;
    const next = i + (code > 0xffff ? 2 : 1);
    for (const spaced of spaceOut(code, options)) {
      places.push([i, next]);
      codePoints(decompose(spaced)).forEach((part, k) => {
        parts.push({ code: part, owns: k === 0 });
      });
    }
    i = next;
  }
  out.length = 0;
  let place = -1;
  for (const { code, owns } of inCanonicalOrder(parts)) {
    if (owns) place++;
    if (isMark(code)) continue;
    const lowered = lower(code, options);
    reserve(out, lowered.length);
    for (const result of lowered) {
      out.codes[out.length] = result;
      out.kinds[out.length] = kindOf(result);
      [out.starts[out.length], out.ends[out.length]] = places[place]!;
      out.length++;
    }
  }
  return out;
}

/** A code point of the decomposed text. */
interface Part {
  readonly code: number;
  /** First of its character: takes a place. */
  readonly owns: boolean;
}

/** Canonical ordering: a stable sort, by combining class, of each run of parts that have one. */
function inCanonicalOrder(parts: readonly Part[]): Part[] {
  const ranks = combiningRanks(new Set(parts.map(({ code }) => code)));
  const rank = ({ code }: Part): number => ranks.get(code) ?? 0;
  const ordered: Part[] = [];
  for (let i = 0; i < parts.length; ) {
    const from = i++;
    if (rank(parts[from]!) > 0) while (i < parts.length && rank(parts[i]!) > 0) i++;
    for (const part of parts.slice(from, i).sort((a, b) => rank(a) - rank(b))) ordered.push(part);
  }
  return ordered;
}

function codePoints(text: string): number[] {
  return Array.from(text, (char) => char.codePointAt(0)!);
}

/** Room for `more` characters after `out.length`. */
function reserve(out: NormalizedText, more: number): void {
  const needed = out.length + more;
  if (needed <= out.codes.length) return;
  const capacity = Math.max(2 * out.codes.length, needed, 256);
  const grow = <A extends Int32Array | Uint8Array>(array: A, grown: A): A => {
    grown.set(array.subarray(0, out.length));
    return grown;
  };
  out.codes = grow(out.codes, new Int32Array(capacity));
  out.kinds = grow(out.kinds, new Uint8Array(capacity));
  out.starts = grow(out.starts, new Int32Array(capacity));
  out.ends = grow(out.ends, new Int32Array(capacity));
}
