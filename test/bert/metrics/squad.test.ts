import { describe, expect, test } from "vitest";
import { answerScores, normalizeAnswer } from "../../../src/bert/metrics/squad.ts";

describe("SQuAD", () => {
  // each checked against the official script, evaluate-v2.0.py, under Python 3.11
  test.each([
    ["The Denver Broncos!", "denver broncos"],
    ["a  an\tthe\u00a0A", ""],
    ["U.S. $5.00", "us 500"],
    ["théa an-the thean", "théa anthe thean"],
    ["the_ “the” \u00e9the the\u0301", "“ ” \u00e9the \u0301"],
    ["x\u001cy\ufeffz\u3000", "x y\ufeffz"],
  ])("%j is normalised to %j", (answer, normalised) => {
    expect(normalizeAnswer(answer)).toBe(normalised);
  });

  test.each<[string, string[], number, number]>([
    ["the Broncos", ["Denver Broncos", "Broncos"], 1, 1],
    ["Denver Broncos team", ["Denver Broncos", "Carolina"], 0, 0.8],
    ["five five six", ["five six six"], 0, 2 / 3],
    ["nothing in common", ["x"], 0, 0],
    ["", [], 1, 1],
    ["something", [], 0, 0],
    ["the", ["a"], 1, 1],
    ["", ["x"], 0, 0],
  ])("%j for %j: exact %d, F1 %d", (predicted, golds, exact, f1) => {
    expect(answerScores(predicted, golds)).toEqual({ exact, f1: expect.closeTo(f1, 12) });
  });
});
