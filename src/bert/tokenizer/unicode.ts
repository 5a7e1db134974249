/**
 * Character classes as Hugging Face's tokenizers sees them. Its tables (the crates unicode_categories and
 * unicode_normalization_alignments) stopped at Unicode 8 and 9, and a vocabulary was trained with what they say, so
 * `\p{Mn}` of the JavaScript engine at hand would be wrong twice over: newer than the vocabulary, and different from
 * browser to browser. It holds for what is old. unicode.test.ts holds all of this against the original.
 */

type Class = (code: number) => boolean;

/** Ascending, inclusive [first, last] pairs, flattened. */
export type Ranges = Int32Array;

/**
 * All of Unicode 9 that is in a class below, or decomposes, with what may lie between: nothing younger, nothing that has
 * changed its class since, and no gap of 16 code points or more, a column of the charts, that Unicode may fill yet.
 */
const OLD: Ranges = /* @__PURE__ */ ranges(`
  aCIecShBdCuEoncJwBeEmmEhrCyjGrChBlBecCfBnBecChBlBfIjDiicspbBnIgCyCQgBeImEpVxCoCqwznOieJtgBZbLyDTiDpLyBrBDmcBROxDsJxF
  gBvCzFgBqPvBdEzFcBDXmBnBBjBpUdKbcJraItJgPzaBCqaHsBgHmEwDyHbBRgCzByCoClCpBwDhcdoDvEdDmCfCeHlrEcwIzBuDftEamDyBhBWrqDfB
  kCYceBANaIgBNxBtrdBDEpgHWdDuFacRcCNvCAjBqDHegEggBUkHfWjEdBlaEiDdDVCpUvBPCQuaBfDrEzJfDSFpHLXd`);

/** What is in Mn today, and was not in Unicode 8, though it may be old. */
const YOUNGER_MARK: Ranges = /* @__PURE__ */ ranges("DIynFYabCBtaCAOoaJoaBNOzaTmoCZyFeCVYwBqDLqg");

/** The word characters of Unicode 17, which the original does not know yet. */
const YOUNGER_WORD: Ranges = /* @__PURE__ */ ranges(`
  DGhaBLlaEyaFHjBcCBJfbdacaBdaBKWdzCBkCcESbhWnCfBEOtBzLbeJCkhBXqIzBHQkClDAWhfIWhlBGFbGJh`);

/** The ideographs that get spaces around them. The hole at 2b820-2b91f is Rust's slip of a digit, mirrored here. */
const IDEOGRAPH: Ranges = /* @__PURE__ */ ranges("TSaJTnCnBFBjBHSjTrDUVxCLFbBhGMpJxIEhPQvUx");

/** Removed by `clean_text`. */
export const isControl: Class = (code) => code === 0xfffd || isOld(/(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}]/u, code);
/** White_Space, the set of Rust's `char::is_whitespace`. */
export const isSpace: Class = (code) => is(/\p{White_Space}/u, code);
export const isIdeograph: Class = (code) => within(IDEOGRAPH, code);
/** Removed by `strip_accents`, after decomposition. U+1734 and U+1171E were of Mn. */
export const isMark: Class = (code) => isOld(/[\p{Mn}\u1734\u{1171e}]/u, code) && !within(YOUNGER_MARK, code);
/** Removed by the normaliser StripAccents. U+1CF2 and U+1CF3 were of Mc. */
export const isCombining: Class = (code) => isOld(/[\p{M}\u1cf2\u1cf3]/u, code);
/** `\w` of the crate regex. */
export const isWord: Class = (code) =>
  is(/[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u, code) && !within(YOUNGER_WORD, code);
/** A token of its own. ASCII's `$+<=>^|~` and the backtick are symbols to Unicode; U+166D and U+111C9 were of Po. */
export const isPunctuation: Class = (code) => code === 0x111c9 || isOld(/[\p{P}$+<=>^`|~\u166d]/u, code);

/** NFD of one code point, or NFKD. */
export function decompose(code: number, compatible: boolean = false): string {
  const char = String.fromCodePoint(code);
  return within(OLD, code) ? char.normalize(compatible ? "NFKD" : "NFD") : char;
}

/** The code point that two make in NFC, if they make one. */
export function compose(first: number, second: number): number | undefined {
  if (second < 0x300) return undefined;
  const [code, more] = Array.from(String.fromCodePoint(first, second).normalize("NFC"), (char) => char.codePointAt(0)!);
  return more === undefined && within(OLD, code!) ? code : undefined;
}

/**
 * Whether canonical ordering may move the (decomposed) code point, that is, its combining class is not 0. JavaScript
 * does not tell the class, but everything that has one goes before U+0345, the only member of the highest class, 240.
 */
export function isReordered(code: number): boolean {
  return code === 0x345 || (within(OLD, code) && swaps(0x345, code));
}

/**
 * Numbers from 1 in the order of the combining classes, for those of `codes` that have one. Worked out pair by pair: to
 * hand NFD a long run of marks would cost time in its square.
 */
export function combiningRanks(codes: ReadonlySet<number>): Map<number, number> {
  const compare = (a: number, b: number): number => Number(swaps(a, b)) - Number(swaps(b, a));
  const sorted = [...codes].filter(isReordered).sort(compare);
  let rank = 0;
  return new Map(sorted.map((code, i) => [code, i > 0 && compare(sorted[i - 1]!, code) === 0 ? rank : ++rank]));
}

/** Whether canonical ordering puts the second before the first. */
function swaps(first: number, second: number): boolean {
  const pair = String.fromCodePoint(first, second);
  return pair.normalize("NFD") !== pair;
}

const is = (pattern: RegExp, code: number): boolean => pattern.test(String.fromCodePoint(code));
const isOld = (pattern: RegExp, code: number): boolean => within(OLD, code) && is(pattern, code);

/**
 * From numbers in base 26, without spaces: digits are A to Z, and the last one of a number is small. They are by turns how
 * far a range begins beyond the end of the one before, and how far it ends beyond its beginning.
 */
function ranges(text: string): Ranges {
  let [last, number] = [0, 0];
  const edges: number[] = [];
  for (const digit of text.trim().split(/\s*/)) {
    number = number * 26 + Number.parseInt(digit, 36) - 10;
    if (digit < "a") continue;
    last += number;
    number = 0;
    edges.push(last);
  }
  return Int32Array.from(edges);
}

function within(table: Ranges, code: number): boolean {
  let [low, high] = [0, table.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (table[middle]! < code) low = middle + 1;
    else high = middle;
  }
  return low % 2 === 1 || table[low] === code;
}
