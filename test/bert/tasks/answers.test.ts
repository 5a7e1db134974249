/** Spans of a context that answer a question, from logits made by hand. */

import { describe, expect, test } from "vitest";
import { type AnswerSearch, type AnswerWindow, answerSpans } from "../../../src/bert/tasks/answers.ts";
import { loadTokenizer } from "../../../src/bert/tokenizer/load.ts";
import { tinyTask } from "./tiny_task.ts";

const SEARCH: AnswerSearch = { topK: 3, maxAnswerLen: 15, handleImpossibleAnswer: false, alignToWords: true };
const CONTEXT = "the film was long . Was it good ?";
const tokenizer = await loadTokenizer(tinyTask());

/** A window with these logits above a floor of 0. */
function windowOf(starts: Record<string, number>, ends: Record<string, number>, context = CONTEXT): AnswerWindow {
  const encoding = tokenizer.encode("is it", context);
  const logits = (given: Record<string, number>): Float32Array =>
    Float32Array.from(encoding.tokens, (token, i) => (i > 3 || token === "[CLS]" ? (given[token] ?? 0) : 50));
  return { encoding, startLogits: logits(starts), endLogits: logits(ends) };
}

const texts = (window: AnswerWindow | AnswerWindow[], search: Partial<AnswerSearch> = {}): string[] =>
  answerSpans(CONTEXT, [window].flat(), { ...SEARCH, ...search }).map(({ answer }) => answer);

describe("answers", () => {
  test("are the likeliest spans, with their places in the context", () => {
    const window = windowOf({ film: 9 }, { long: 8, film: 7 });
    const [best, second] = answerSpans(CONTEXT, [window], SEARCH);
    expect(best).toMatchObject({ answer: "film was long", start: 4, end: 17 });
    expect(second).toMatchObject({ answer: "film", start: 4, end: 8 });
    expect(best!.score).toBeGreaterThan(second!.score);
  });

  test("never come from the question, however sure it looks", () => {
    const window = windowOf({}, {});
    expect(window.startLogits[1]).toBe(50);
    expect(
      answerSpans(CONTEXT, [window], { ...SEARCH, topK: 200 }).every(({ answer }) => CONTEXT.includes(answer)),
    ).toBe(true);
  });

  test("are no longer than asked for, and never reversed", () => {
    expect(texts(windowOf({ film: 9 }, { long: 9 }), { maxAnswerLen: 2, topK: 1 })).not.toContain("film was long");
    expect(texts(windowOf({ long: 9 }, { film: 9 }), { topK: 1 })[0]).not.toMatch(/film.*long|long.*film/);
  });

  test("in several places, or windows, add up", () => {
    const window = windowOf({ good: 9 }, { good: 9 });
    const [alone] = answerSpans(CONTEXT, [window], SEARCH);
    const [both] = answerSpans(CONTEXT, [window, window], SEARCH);
    expect(both).toEqual({ ...alone, score: alone!.score * 2 });
    // `was` and `Was` are one answer
    const [was, other] = answerSpans(CONTEXT, [windowOf({ was: 9 }, { was: 9 })], { ...SEARCH, maxAnswerLen: 1 });
    expect(was).toMatchObject({ answer: "was", start: 9 });
    expect(was!.score).toBeGreaterThan(4 * other!.score);
  });

  test("may be none, where that is allowed", () => {
    const nothing = windowOf({ "[CLS]": 12 }, { "[CLS]": 12 });
    expect(texts(nothing)).not.toContain("");
    const [best] = answerSpans(CONTEXT, [nothing], { ...SEARCH, handleImpossibleAnswer: true });
    expect(best).toMatchObject({ answer: "", start: 0, end: 0 });
    expect(best!.score).toBeGreaterThan(0.99);
    // it has to be impossible in every window
    const found = texts([nothing, windowOf({ film: 12 }, { film: 12 })], { handleImpossibleAnswer: true });
    expect(found[0]).toBe("film");
  });

  test("are widened to words where asked for", () => {
    const context = "the film5 was";
    const window = windowOf({ film: 9 }, { film: 9 }, context);
    expect(window.encoding.tokens).toContain("##5");
    const first = (alignToWords: boolean) =>
      answerSpans(context, [window], { ...SEARCH, alignToWords, topK: 1 })[0]!.answer;
    expect(first(true)).toBe("film5");
    expect(first(false)).toBe("film");
  });
});
