/**
 * NFC, NFD, NFKC, NFKD of characters that know where they came from. Mirrors the crate unicode_normalization_alignments
 * and NormalizedString::transform, which hand out places by position after the reordering: a character that was
 * decomposed shares one, every other takes the next. So a mark that moved to the front sits, from then on, where the
 * front one was; and what was composed sits where its first part did.
 */

import { combiningRanks, compose, decompose } from "./unicode.ts";

/** A code point and where it came from: [start, end) in UTF-16 units of the original. */
export interface Char {
  readonly code: number;
  readonly start: number;
  readonly end: number;
}

export type Form = "NFC" | "NFD" | "NFKC" | "NFKD";

/** A code point of the result. */
interface Part {
  readonly code: number;
  /** How many characters more (1: none is taken, it shares the last one's place) or fewer (-1: two are taken) there are. */
  readonly change: number;
}

export function normalForm(chars: readonly Char[], form: Form): Char[] {
  const compatible = form.includes("K");
  const parts = chars.flatMap(({ code }) =>
    codePoints(decompose(code, compatible)).map((part, k) => ({ code: part, change: k > 0 ? 1 : 0 })),
  );
  const ranks = combiningRanks(new Set(parts.map(({ code }) => code)));
  const rank = ({ code }: Part): number => ranks.get(code) ?? 0;
  const ordered = inCanonicalOrder(parts, rank);
  let next = 0;
  return (form.endsWith("C") ? composed(ordered, rank) : ordered).map(({ code, change }) => {
    const from = chars[change > 0 ? next - 1 : next]!;
    if (change <= 0) next += 1 - change;
    return { ...from, code };
  });
}

/** A stable sort, by combining class, of each run of parts that have one. */
function inCanonicalOrder(parts: readonly Part[], rank: (part: Part) => number): Part[] {
  let starters = 0;
  const keyed = parts.map((part) => {
    const own = rank(part);
    if (own === 0) starters++;
    return { part, key: 256 * starters + own };
  });
  return keyed.sort((a, b) => a.key - b.key).map(({ part }) => part);
}

/** Each starter takes in what it can of what follows, past marks of a lower class. */
function composed(parts: readonly Part[], rank: (part: Part) => number): Part[] {
  const out: Part[] = [];
  let starter: Part | undefined;
  let marks: Part[] = []; // that it did not take in
  const flush = (): void => {
    if (starter) out.push(starter);
    for (const mark of marks) out.push(mark);
    marks = [];
  };
  for (const part of parts) {
    const blocked = marks.length > 0 && rank(marks.at(-1)!) >= rank(part);
    const code: number | undefined = starter && !blocked ? compose(starter.code, part.code) : undefined;
    if (code !== undefined) starter = { code, change: starter!.change + part.change - 1 };
    else if (rank(part) > 0) {
      if (starter) marks.push(part);
      else out.push(part);
    } else {
      flush();
      starter = part;
    }
  }
  flush();
  return out;
}

export function codePoints(text: string): number[] {
  return Array.from(text, (char) => char.codePointAt(0)!);
}
