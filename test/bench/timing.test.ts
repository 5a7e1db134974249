import { expect, test } from "vitest";
import { watchOthers } from "../../bench/machine.ts";
import { isFine, quantile, stepOf, timeRuns, timingOf } from "../../bench/timing.ts";

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

test("runs take turns, back and forth, three times at least", async () => {
  const order: string[] = [];
  const timings = await timeRuns([async () => order.push("a"), async () => order.push("b")], 0, watchOthers);
  expect(order.join("")).toBe("abbaab");
  expect(timings.map(({ repeats }) => repeats)).toEqual([3, 3]);
  for (const { others } of timings) expect(others).toSatisfy((share: number) => share >= 0 && share <= 1);
  expect(await timeRuns([async () => {}], 0)).not.toHaveProperty("0.others"); // nobody watched
});

test("a clock's step is what all its times are multiples of", () => {
  expect(stepOf([0.2, 0.5, 0.3])).toBe(0.1);
  expect(stepOf([0.131072, 0.065536, 0])).toBe(0.065536);
  expect(stepOf([0.123457, 0.123458, 0.2])).toBe(1e-6);
  expect(stepOf([0, 0])).toBe(0);
});

test("a coarse clock is good for long launches alone", () => {
  expect(isFine({ min: 1.9, p50: 2 }, 0.1)).toBe(true);
  expect(isFine({ min: 1.9, p50: 1.9 }, 0.1)).toBe(false);
  expect(isFine({ min: 0.002, p50: 0.002 }, 0.001)).toBe(true); // a GPU's own
  expect(isFine({ min: 0, p50: 3 }, 0.001)).toBe(false);
});
