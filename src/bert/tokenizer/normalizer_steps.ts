/** The normalisers of a tokenizer.json, as steps over characters. Mirrors tokenizers/src/normalizers. */

import { at, childOf, childrenOf, type Fields, flagOf, has, optional, textOf, typeOf, wrong } from "./fields.ts";
import { type Char, codePoints, type Form, normalForm } from "./normalization_form.ts";
import { isCombining, isControl, isIdeograph, isMark, isSpace } from "./unicode.ts";

/** What the fate of a character depends on: nothing else; marks that may change places with it; its word; all the text. */
export const ITSELF = 0;
export const MARKS = 1;
export const WORD = 2;
export const TEXT = 3;

export interface Step {
  readonly reach: number;
  /** @throws RangeError when there would be more than `most` characters */
  run(chars: readonly Char[], most: number): readonly Char[];
}

/** What is not given is true, `stripAccents` as `lowercase`. */
export interface NormalizerOptions {
  /** Drop control characters, turn every white space into a space. */
  readonly cleanText?: boolean | undefined;
  /** Make each ideograph a word. */
  readonly handleChineseChars?: boolean | undefined;
  /** NFD, then drop the marks. Default: as lowercase. */
  readonly stripAccents?: boolean | undefined;
  readonly lowercase?: boolean | undefined;
}

const MOST_STEPS = 32;
const LONGEST = 200;

/** A pattern that one reads at a glance, and that takes time in the length of the text: one character or class, repeated. */
const PLAIN_PATTERN = /^(?:[^\\[\](){}.*+?^$|]|\\[\\[\](){}.*+?^$|s]|\[(?:[^\\\][&^-]|\\s)+\])(?:\+|\{[1-9]\d?,\})?$/u;

export function bertSteps({
  cleanText = true,
  handleChineseChars = true,
  lowercase = true,
  stripAccents = lowercase,
}: NormalizerOptions): Step[] {
  return [
    ...(cleanText ? [mapped((code) => (isControl(code) ? [] : [isSpace(code) ? 0x20 : code]))] : []),
    ...(handleChineseChars ? [mapped((code) => (isIdeograph(code) ? [0x20, code, 0x20] : [code]))] : []),
    ...(stripAccents ? [formed("NFD"), without(isMark)] : []),
    ...(lowercase ? [mapped(lower)] : []),
  ];
}

/** By the `type` that a file gives. */
const STEPS: Readonly<Record<string, (fields: Fields) => Step[]>> = {
  BertNormalizer: (fields) =>
    bertSteps({
      cleanText: optional(fields, "clean_text", flagOf),
      handleChineseChars: optional(fields, "handle_chinese_chars", flagOf),
      stripAccents: optional(fields, "strip_accents", flagOf),
      lowercase: optional(fields, "lowercase", flagOf),
    }),
  Lowercase: () => [mapped(lower)],
  NFC: () => [formed("NFC")],
  NFD: () => [formed("NFD")],
  NFKC: () => [formed("NFKC")],
  NFKD: () => [formed("NFKD")],
  Prepend: (fields) => [prepended(shortOf(fields, "prepend"))],
  Replace: (fields) => [replaced(patternOf(fields), shortOf(fields, "content"))],
  Sequence: (fields) => childrenOf(fields, "normalizers").flatMap(stepsOf),
  Strip: (fields) => [stripped(flagOf(fields, "strip_left", true), flagOf(fields, "strip_right", true))],
  StripAccents: () => [without(isCombining)],
};

/**
 * The steps of the normaliser in `fields`.
 * @throws TypeError when one is unknown, or there are absurdly many
 */
export function normalizerSteps(fields: Fields): Step[] {
  const steps = stepsOf(fields);
  if (steps.length > MOST_STEPS)
    throw wrong(`${fields.where}: the number of steps`, steps.length, `at most ${MOST_STEPS}`);
  return steps;
}

function stepsOf(fields: Fields): Step[] {
  return STEPS[typeOf(fields, Object.keys(STEPS))]!(fields);
}

export function reachOf(steps: readonly Step[]): number {
  return Math.max(ITSELF, ...steps.map(({ reach }) => reach));
}

/** All steps, one after the other. They may make a text 16 times as long: a file may ask for more. */
export function runSteps(steps: readonly Step[], chars: readonly Char[]): readonly Char[] {
  const most = 16 * chars.length + 100;
  return steps.reduce((now, step) => step.run(now, most), chars);
}

function mapped(to: (code: number) => number[]): Step {
  return { reach: ITSELF, run: (chars) => chars.flatMap((char) => to(char.code).map((code) => ({ ...char, code }))) };
}

function without(dropped: (code: number) => boolean): Step {
  return { reach: ITSELF, run: (chars) => chars.filter(({ code }) => !dropped(code)) };
}

function formed(form: Form): Step {
  return { reach: form.endsWith("D") ? MARKS : WORD, run: (chars) => normalForm(chars, form) };
}

/** One character at a time, hence no final sigma: as Rust's `char::to_lowercase`. */
function lower(code: number): number[] {
  return codePoints(String.fromCodePoint(code).toLowerCase());
}

function stripped(left: boolean, right: boolean): Step {
  return {
    reach: TEXT,
    run(chars) {
      let [start, end] = [0, chars.length];
      if (left) while (start < end && isSpace(chars[start]!.code)) start++;
      if (right) while (start < end && isSpace(chars[end - 1]!.code)) end--;
      return chars.slice(start, end);
    },
  };
}

function prepended(content: string): Step {
  return {
    reach: TEXT,
    run: (chars, most) => (chars[0] ? [...spelt(content, chars[0], chars.length, most), ...chars] : chars),
  };
}

/** What replaces a match sits where the last character of the match did. */
function replaced(pattern: RegExp, content: string): Step {
  return {
    reach: TEXT,
    run(chars, most) {
      const out: Char[] = [];
      let [next, unit] = [0, 0];
      const upTo = (end: number, keep: boolean): void => {
        for (; unit < end; next++) {
          if (keep) out.push(chars[next]!);
          unit += chars[next]!.code > 0xffff ? 2 : 1;
        }
      };
      const text = chars.map(({ code }) => String.fromCodePoint(code)).join("");
      for (const { 0: match, index } of text.matchAll(pattern)) {
        upTo(index, true);
        upTo(index + match.length, false);
        for (const char of spelt(content, chars[next - 1]!, out.length, most)) out.push(char);
      }
      upTo(text.length, true);
      return out;
    },
  };
}

/** The characters of `content` in the place of `char`, beside `others`. */
function spelt(content: string, char: Char, others: number, most: number): Char[] {
  if (others + content.length > most)
    throw new RangeError(`the tokenizer's normalizer makes more than ${most} characters of a text`);
  return codePoints(content).map((code) => ({ ...char, code }));
}

function shortOf(fields: Fields, name: string): string {
  const text = textOf(fields, name);
  if (text.length > LONGEST) throw wrong(at(fields, name), text, `at most ${LONGEST} characters`);
  return text;
}

/** A regular expression that a file brings may take any time, unless it is plain. */
function patternOf(fields: Fields): RegExp {
  const pattern = childOf(fields, "pattern");
  if (has(pattern, "String")) {
    const text = shortOf(pattern, "String");
    if (text === "") throw wrong(at(pattern, "String"), text, "some characters");
    return new RegExp(text.replace(/[\\[\](){}.*+?^$|]/g, "\\$&"), "gu");
  }
  const source = textOf(pattern, "Regex");
  if (!PLAIN_PATTERN.test(source)) {
    throw wrong(at(pattern, "Regex"), source, "one character or class, alone or repeated with + or {2,}");
  }
  return new RegExp(source.replaceAll("\\s", "\\p{White_Space}"), "gu");
}
