import { expect, test } from "vitest";
import { quantile, timeRuns, timingOf } from "../../bench/timing.ts";

test("quantiles lie between neighbours", () => {
  expect(quantile([1, 2, 3, 5], 0.5)).toBe(2.5);
  expect(quantile([7], 0.9)).toBe(7);
  expect(timingOf("wall", [4, 1, 2, 3, 5], 0.1)).toEqual({
    clock: "wall",
    repeats: 5,
    min: 1,
    p50: 3,
    p90: 4.6,
    noise: 2 / 3,
    others: 0.1,
  });
});

test("runs take turns, three times at least", async () => {
  const order: string[] = [];
  const timings = await timeRuns([async () => order.push("a"), async () => order.push("b")], 0);
  expect(order.join("")).toBe("ababab");
  expect(timings.map(({ repeats }) => repeats)).toEqual([3, 3]);
  for (const { others } of timings) expect(others >= 0 && others <= 1).toBe(true);
});
