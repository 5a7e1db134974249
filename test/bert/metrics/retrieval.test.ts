import { describe, expect, test } from "vitest";
import { pairsOf, RETRIEVAL_FIGURES, retrievalFigures } from "../../../src/bert/metrics/retrieval.ts";

/** Vectors on a circle. */
const at = (degrees: number): number[] => [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];

describe("retrieval", () => {
  test("gives what a text's place is worth, and shares of what belongs to a query", () => {
    // the first query's texts stand at 1 and 3, the second's at 11
    const texts = [0, 20, 40, 60, 80, 100, 120, 140, 160, 175, 180].map(at);
    const figures = retrievalFigures({ queries: [at(1), at(1)], texts, relevant: [[0, 2], [10]] });
    expect(Object.keys(figures)).toEqual(RETRIEVAL_FIGURES);
    expect(figures).toEqual({ "mrr@10": 0.5, "recall@1": 0.25, "recall@5": 0.5, "recall@10": 0.5 });
  });

  test("of equals the first is the nearer", () => {
    const figures = (wanted: number): number =>
      retrievalFigures({ queries: [at(0)], texts: [at(90), at(10), at(10)], relevant: [[wanted]] })["mrr@10"]!;
    expect([0, 1, 2].map(figures)).toEqual([1 / 3, 1, 1 / 2]);
  });

  test("needs a query", () => {
    expect(() => retrievalFigures({ queries: [], texts: [at(1)], relevant: [] })).toThrow(
      "there are no queries, at least 1 is needed",
    );
  });

  test("pairs are searched once for each anchor, among all other texts once", () => {
    expect(
      pairsOf([
        ["q", "a"],
        ["r", "b", "n"],
        ["q", "b", "a"],
      ]),
    ).toEqual({ queries: ["q", "r"], texts: ["a", "b", "n"], relevant: [[0, 1], [1]] });
  });
});
