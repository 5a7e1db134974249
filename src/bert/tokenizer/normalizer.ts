/**
 * A text, normalised: what becomes of a character is worked out once and remembered, as far as its neighbours do not
 * matter; every resulting character keeps the place it came from. Mirrors the alignments of tokenizer/normalizer.rs.
 */

import type { Char } from "./normalization_form.ts";
import { MARKS, reachOf, runSteps, type Step, TEXT } from "./normalizer_steps.ts";
import type { KindOf } from "./pre_tokenizer.ts";
import { isReordered } from "./unicode.ts";

/** A normalised text. The arrays are reused by the next call and longer than `length`. */
export interface NormalizedText {
  /** Code points. */
  codes: Int32Array;
  /** What the pre-tokeniser sees in each. */
  kinds: Int32Array;
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
export function createNormalizer(steps: readonly Step[], kindOf: KindOf): Normalize {
  const reach = reachOf(steps);
  const fates = new Map<number, Fate>();

  const out: NormalizedText = {
    codes: new Int32Array(0),
    kinds: new Int32Array(0),
    starts: new Int32Array(0),
    ends: new Int32Array(0),
    length: 0,
  };

  const fateOf = (code: number): Fate => {
    const codes = runSteps(steps, [{ code, start: 0, end: 0 }]).map((char) => char.code);
    return { codes, kinds: codes.map(kindOf), reordered: reach >= MARKS && codes.some(isReordered) };
  };
  const remembered = (code: number): Fate => {
    let fate = fates.get(code);
    if (fate === undefined) {
      fate = fateOf(code);
      if (fates.size < MOST_FATES) fates.set(code, fate);
    }
    return fate;
  };

  const asciiCodes = new Int16Array(128); // -1: dropped
  const asciiKinds = new Int32Array(128);
  for (let code = 0; reach < TEXT && code < 128; code++) {
    const fate = fateOf(code);
    asciiCodes[code] = fate.codes[0] ?? -1;
    asciiKinds[code] = fate.kinds[0] ?? 0;
  }

  /** The rare case: neighbours matter, such as marks that survive and change places (tones of Hangul, musical stems). */
  const inFull = (text: string, start: number, end: number): NormalizedText => {
    const chars: Char[] = [];
    for (let i = start; i < end; ) {
      const code = text.codePointAt(i)!;
      const next = i + (code > 0xffff ? 2 : 1);
      chars.push({ code, start: i, end: next });
      i = next;
    }
    out.length = 0;
    for (const char of runSteps(steps, chars)) put(out, char.code, kindOf(char.code), char.start, char.end);
    return out;
  };

  return (text, start, end) => {
    if (reach === TEXT) return inFull(text, start, end);
    out.length = 0;
    for (let i = start; i < end; i++) {
      const unit = text.charCodeAt(i);
      if (unit < 128) {
        const code = asciiCodes[unit]!;
        if (code >= 0) put(out, code, asciiKinds[unit]!, i, i + 1);
        continue;
      }
      const code = text.codePointAt(i)!;
      const fate = reach > MARKS ? undefined : remembered(code);
      if (fate === undefined || fate.reordered) return inFull(text, start, end);
      const from = i;
      if (code > 0xffff) i++;
      for (let k = 0; k < fate.codes.length; k++) put(out, fate.codes[k]!, fate.kinds[k]!, from, i + 1);
    }
    return out;
  };
}

/** Appends a code point. */
function put(out: NormalizedText, code: number, kind: number, start: number, end: number): void {
  const at = out.length++;
  if (at === out.codes.length) {
    for (const name of ["codes", "kinds", "starts", "ends"] as const) {
      const grown = new Int32Array(2 * at + 256);
      grown.set(out[name]);
      out[name] = grown;
    }
  }
  out.codes[at] = code;
  out.kinds[at] = kind;
  out.starts[at] = start;
  out.ends[at] = end;
}
