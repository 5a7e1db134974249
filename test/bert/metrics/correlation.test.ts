import { describe, expect, test } from "vitest";
import { pearson, ranks, spearman } from "../../../src/bert/metrics/correlation.ts";

describe("correlation", () => {
  test("gives SciPy's figures", () => {
    // the examples of scipy.stats.pearsonr and spearmanr
    expect(pearson([1, 2, 3, 4, 5, 6, 7], [10, 9, 2.5, 6, 4, 3, 2])).toBeCloseTo(-0.828_503_883_588_428, 14);
    expect(spearman([1, 2, 3, 4, 5], [5, 6, 7, 8, 7])).toBeCloseTo(0.820_782_681_668_1233, 14);
  });

  test("equal values share their ranks", () => {
    expect([...ranks([3, 1, 3, 2, 3])]).toEqual([4, 1, 4, 2, 4]);
    expect([...ranks([])]).toEqual([]);
  });

  test("a line is 1, whatever its offset and scale; a constant is NaN", () => {
    const x = [0.1, 0.2, 0.3, 0.7];
    expect(
      pearson(
        x,
        x.map((value) => 1e9 - 3 * value),
      ),
    ).toBeCloseTo(-1, 6);
    expect(
      spearman(
        x,
        x.map((value) => value ** 3),
      ),
    ).toBeCloseTo(1, 14);
    expect(pearson([1, 1, 1], [1, 2, 3])).toBeNaN();
  });

  test("lists that do not belong together are refused", () => {
    expect(() => pearson([1, 2], [1])).toThrow("lists of 2 and 1 numbers");
    expect(() => spearman([1], [1])).toThrow(RangeError);
  });
});
