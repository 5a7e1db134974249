import { expect, test } from "vitest";
import { durationText, progressBar, rateText } from "../../../src/node/cli/progress_bar.ts";

function terminal(isTTY: boolean): { isTTY: boolean; text: string[]; write(text: string): boolean } {
  const text: string[] = [];
  return { isTTY, text, write: (part) => text.push(part) > 0 };
}

test("shows share, rows, rate and the time to go, ten times a second", () => {
  const stderr = terminal(true);
  let now = 0;
  const bar = progressBar({ rows: 1000, share: 0.2 }, stderr, () => now);
  for (now = 0; now <= 10_000; now += 10) bar.at(1000 + now, 0.2 + 0.4 * (now / 10_000));
  bar.end();
  expect(stderr.text).toHaveLength(102);
  expect(stderr.text.at(-2)).toBe("\r██████████████░░░░░░░░░░  60%  11,000 rows  1,000/s  ETA 0:10\u001b[K");
  expect(stderr.text.at(-1)).toBe("\r\u001b[K");
});

test("an input of unknown size has no share", () => {
  const stderr = terminal(true);
  let now = 0;
  const bar = progressBar(undefined, stderr, () => now);
  now = 2000;
  bar.at(7, 0);
  expect(stderr.text).toEqual(["\r7 rows  3.5/s\u001b[K"]);
});

test("is silent where there is no terminal", () => {
  const stderr = terminal(false);
  const bar = progressBar(undefined, stderr);
  bar.at(1, 1);
  bar.end();
  expect(stderr.text).toEqual([]);
});

test("durations and rates are short", () => {
  expect([0, 59.6, 3599, 3600, 90_061].map(durationText)).toEqual(["0:00", "1:00", "59:59", "1:00:00", "25:01:01"]);
  expect([0.04, 9.94, 10.4, 12_345].map(rateText)).toEqual(["0.0", "9.9", "10", "12,345"]);
});
