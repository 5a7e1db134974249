import { expect, test } from "vitest";
import { openCheckpoint } from "../../../src/files/checkpoint.ts";
import { fingerprintFile, fingerprints } from "../../../src/node/cli/fingerprint.ts";
import { barsOn, durationText, progress, progressBar, rateText } from "../../../src/node/cli/progress_bar.ts";
import { findBadValues } from "../../../src/node/cli/values.ts";
import { tinyTask } from "../../bert/tasks/tiny_task.ts";

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

test("a step shows its share and the time to go, which what was there before does not shorten", () => {
  const stderr = terminal(true);
  let now = 0;
  const step = progress("downloading\u0007", stderr, () => now);
  step.at(0.5);
  now = 50;
  step.at(0.6); // too soon to be seen
  now = 10_000;
  step.at(0.75);
  step.at(1);
  step.end();
  expect(stderr.text).toEqual([
    "\rdownloading\\x07  ████████████░░░░░░░░░░░░  50%\u001b[K",
    "\rdownloading\\x07  ██████████████████░░░░░░  75%  ETA 0:10\u001b[K",
    "\rdownloading\\x07  ████████████████████████ 100%  ETA 0:00\u001b[K",
    "\r\u001b[K",
  ]);
  const quick = terminal(true);
  progress("over before it was seen", quick).end();
  const pipe = terminal(false);
  const unseen = progress("loading", pipe);
  unseen.at(1);
  unseen.end();
  expect([quick.text, pipe.text]).toEqual([[], []]);
});

test("no bar with --json, nor between answers on a terminal", () => {
  const { isTTY } = process.stdout;
  try {
    process.stdout.isTTY = true;
    expect(barsOn({ json: true }).isTTY).toBe(false);
    expect(barsOn({ json: false, answers: true }).isTTY).toBe(false);
    expect(barsOn({ json: false })).toBe(process.stderr);
    process.stdout.isTTY = false;
    expect(barsOn({ json: false, answers: true })).toBe(process.stderr);
  } finally {
    process.stdout.isTTY = isTTY;
  }
});

test("reading, hashing and verifying tell how far they are, up to all of it", async () => {
  const folder = tinyTask();
  const shares: number[][] = [[], [], []];
  const told = (of: number) => (share: number) => void shares[of]!.push(share);
  const checkpoint = await openCheckpoint(folder);
  await findBadValues(checkpoint, { onShare: told(0) });
  await checkpoint.close();
  await fingerprints(folder, ["config.json", "model.safetensors", "not there"], told(1));
  await fingerprintFile(import.meta.filename, told(2));
  for (const of of shares) {
    expect(of.at(-1)).toBe(1);
    expect(of).toEqual([...of].sort((a, b) => a - b));
  }
});
