/** Questions and contexts as windows, with the tokens where the answer starts and ends. */

import type { Encoding, Tokenizer } from "../../bert/tokenizer/tokenizer.ts";
import type { Example } from "../step.ts";

/** An answer in UTF-16 units of the context, its end not included. */
export interface AnswerRange {
  readonly start: number;
  readonly end: number;
}

export interface SpanOptions {
  /** Tokens of question and context in one window. */
  readonly maxLength: number;
  /** Tokens of context that a window shares with the one before. */
  readonly stride: number;
}

/**
 * One example per window. Where the window does not hold all of the answer, or there is none, both ends are [CLS].
 * @throws RangeError for a question that leaves no room for context
 */
export function spanExamples(
  tokenizer: Tokenizer,
  question: string,
  context: string,
  answer: AnswerRange | undefined,
  { maxLength, stride }: SpanOptions,
): Example[] {
  const options = { truncation: "only_second", maxLength, stride, returnOverflow: true } as const;
  const first = tokenizer.encode(question, context, options);
  return [first, ...first.overflow].map((encoding) => ({
    sequence: { inputIds: Uint32Array.from(encoding.ids), tokenTypeIds: Uint8Array.from(encoding.typeIds) },
    labels: tokensOf(encoding, answer) ?? { start: 0, end: 0 },
  }));
}

function tokensOf(
  { offsets, sequenceIds }: Encoding,
  answer: AnswerRange | undefined,
): { readonly start: number; readonly end: number } | undefined {
  if (!answer) return undefined;
  const from = sequenceIds.indexOf(1);
  const to = sequenceIds.lastIndexOf(1);
  if (from < 0 || offsets[from]![0] > answer.start || offsets[to]![1] < answer.end) return undefined;
  let [start, end] = [from, to];
  // the last token that begins at or before the start, the first that ends at or after the end
  while (start < to && offsets[start + 1]![0] <= answer.start) start++;
  while (end > from && offsets[end - 1]![1] >= answer.end) end--;
  return start <= end ? { start, end } : undefined;
}

/**
 * Where an answer lies, whether its place is counted in UTF-16 units or, as SQuAD's, in code points.
 * @param at where it is said to begin; undefined: at its first occurrence
 * @returns undefined where the text does not stand there, nor, without `at`, anywhere
 */
export function placeAnswer(context: string, text: string, at?: number): AnswerRange | undefined {
  if (text === "") return undefined;
  const starts = at === undefined ? [context.indexOf(text)] : [unitsBefore(context, at), at];
  const start = starts.find((start) => start >= 0 && context.startsWith(text, start));
  return start === undefined ? undefined : { start, end: start + text.length };
}

function unitsBefore(text: string, codePoints: number): number {
  let units = 0;
  for (let i = 0; i < codePoints && units < text.length; i++) units += text.codePointAt(units)! > 0xffff ? 2 : 1;
  return units;
}
