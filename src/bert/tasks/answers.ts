/**
 * Start and end logits to answers. Mirrors select_starts_ends, decode_spans and postprocess of transformers 4.57's
 * QuestionAnsweringPipeline.
 */

import type { Encoding } from "../tokenizer/tokenizer.ts";
import { softmaxOf } from "./activations.ts";

export interface Answer {
  /** Probability of the start times that of the end, summed over the places where the answer stands. */
  readonly score: number;
  /** UTF-16 units of the context. */
  readonly start: number;
  readonly end: number;
  /** The context between them; empty where there is no answer. */
  readonly answer: string;
}

export interface AnswerWindow {
  /** Of question and a part of the context. */
  readonly encoding: Encoding;
  /** [length] */
  readonly startLogits: Float32Array;
  /** [length] */
  readonly endLogits: Float32Array;
}

export interface AnswerSearch {
  readonly topK: number;
  /** Tokens. */
  readonly maxAnswerLen: number;
  readonly handleImpossibleAnswer: boolean;
  readonly alignToWords: boolean;
}

/** Best first, at most `topK`. */
export function answerSpans(context: string, windows: readonly AnswerWindow[], search: AnswerSearch): Answer[] {
  const { topK, handleImpossibleAnswer, alignToWords } = search;
  // several spans may widen to the same words: more are needed to end up with enough
  const candidates = alignToWords ? topK * 2 + 10 : topK;
  let impossible = Number.POSITIVE_INFINITY;
  const answers = new Map<string, { score: number; start: number; end: number; answer: string }>();
  for (const window of windows) {
    const { spans, nothing } = bestSpans(window, candidates, search.maxAnswerLen);
    impossible = Math.min(impossible, nothing);
    for (const { first, last, score } of spans) {
      const { start, end } = placeOf(window.encoding, first, last, alignToWords);
      const answer = context.slice(start, end);
      const known = answers.get(answer.toLowerCase());
      if (known) known.score += score;
      else answers.set(answer.toLowerCase(), { score, start, end, answer });
    }
  }
  const found: Answer[] = [...answers.values()];
  if (handleImpossibleAnswer) found.push({ score: impossible, start: 0, end: 0, answer: "" });
  return found.sort((a, b) => b.score - a.score).slice(0, topK);
}

interface TokenSpan {
  readonly first: number;
  readonly last: number;
  readonly score: number;
}

/**
 * The likeliest spans of context, and the probability of none: that both start and end are at [CLS]. The question cannot
 * answer itself: the softmax is over [CLS] and the context alone.
 */
function bestSpans(
  { encoding: { sequenceIds }, startLogits, endLogits }: AnswerWindow,
  most: number,
  maxAnswerLen: number,
): { spans: TokenSpan[]; nothing: number } {
  const allowed = sequenceIds.flatMap((sequence, i) => (i === 0 || sequence === 1 ? [i] : []));
  const starts = softmaxOf(allowed.map((i) => startLogits[i]!));
  const ends = softmaxOf(allowed.map((i) => endLogits[i]!));
  const spans: TokenSpan[] = [];
  for (let s = 1; s < allowed.length; s++) {
    for (let e = s; e < allowed.length && e < s + maxAnswerLen; e++) {
      const score = starts[s]! * ends[e]!;
      if (spans.length === most && score <= spans.at(-1)!.score) continue;
      let at = spans.length;
      while (at > 0 && spans[at - 1]!.score < score) at--;
      spans.splice(at, 0, { first: allowed[s]!, last: allowed[e]!, score });
      if (spans.length > most) spans.pop();
    }
  }
  // where there are fewer spans than asked for, transformers fills up with [CLS], of score 0
  if (spans.length < most) spans.push({ first: 0, last: 0, score: 0 });
  return { spans, nothing: starts[0]! * ends[0]! };
}

/** UTF-16 units of the context; widened to words as far as the window holds them. */
function placeOf(
  { offsets, wordIds, sequenceIds }: Encoding,
  first: number,
  last: number,
  alignToWords: boolean,
): { start: number; end: number } {
  const together = (i: number, j: number): boolean =>
    wordIds[i] !== null && wordIds[i] === wordIds[j] && sequenceIds[i] === sequenceIds[j];
  let [from, to] = [first, last];
  while (alignToWords && together(from - 1, from)) from--;
  while (alignToWords && together(to + 1, to)) to++;
  return { start: offsets[from]![0], end: offsets[to]![1] };
}
