/** `bert-webgpu train --report`, and what a run that is gone on with is held against, as a user meets them. */

import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ADAPTER, afterSteps, type Ended, eventsIn, runTrain, SCRATCH_MODEL, trainScratch } from "./command.ts";

let scratch: string;
beforeAll(async () => {
  scratch = await trainScratch();
});
afterAll(() => rm(scratch, { recursive: true }));

const run = (args: readonly string[], meet?: Parameters<typeof runTrain>[2]): Promise<Ended> =>
  runTrain(scratch, args, meet);
const classify = (output: string, ...more: string[]): string[] => [
  ...["classify", ...SCRATCH_MODEL, "--input", "reviews.jsonl", "--output", output, "--json", ...ADAPTER, ...more],
];
const read = (name: string): Promise<string> => readFile(join(scratch, name), "utf8");

interface Rows {
  readonly adapter: string;
  readonly step: number;
  readonly steps: number;
  readonly best: { readonly step: number };
  readonly end: { readonly kind: string; readonly message?: string };
  readonly history: readonly Record<string, number>[];
  readonly confusion?: { readonly step: number; readonly labels: string[]; readonly counts: number[][] };
}
async function rowsOf(name: string): Promise<Rows> {
  const json = /<script type="application\/json" id="rows">(.*?)<\/script>/s.exec(await read(name));
  return JSON.parse(json![1]!);
}
const stepsOf = ({ history }: Rows): number[] =>
  history.filter(({ loss }) => loss !== undefined).map(({ step }) => step!);
const sum = (counts: readonly (readonly number[])[]): number => counts.flat().reduce((total, n) => total + n, 0);

describe("without a step", () => {
  test("a report is refused that is there, is an input, cannot be written or is no page; nothing is left", async () => {
    await writeFile(join(scratch, "there.html"), "mine");
    await writeFile(join(scratch, "input.html"), await read("reviews.jsonl"));
    await mkdir(join(scratch, "begun/checkpoint-1"), { recursive: true });
    for (const [more, why] of [
      [["--report", "there.html"], /^error: there.html: it exists; --force replaces it\n$/],
      [["--report", "there.html", "--resume"], /^error: there.html: it is there, and no report of train; name another/],
      [["--report", "no/where.html"], /^error: no\/where.html: it cannot be written \(ENOENT\)/],
      [["--report", "config.json"], /It must end with .html/],
      [
        ["--report", "input.html", "--input", "input.html", "--format", "jsonl", "--force"],
        /input.html: it is the input/,
      ],
    ] as const) {
      const { code, stdout, stderr } = await run([...classify("none", ...more)]);
      expect(stderr, more.join(" ")).toMatch(why);
      expect([code, stdout], more.join(" ")).toEqual([2, ""]);
    }
    const within = await run(classify("begun", "--resume", "--report", "begun/checkpoint-1/r.html"));
    expect(within.stderr).toMatch(/^error: begun\/checkpoint-1\/r.html: folders in begun come and go/);
    const faulty = await run([...classify("none", "--report", "none/r.html"), "--label-column", "mood"]);
    expect(faulty.stderr).toMatch(/row 1: column "mood" has no label/);
    expect(await read("there.html")).toBe("mine");
    const names = await readdir(scratch);
    expect(names.filter((name) => /^none|\.lock|tmp/.test(name))).toEqual([]);
  });
});

describe("a report", () => {
  const evaluated = ["--eval-input", "dev.jsonl", "--logging-steps", "2", "--learning-rate", "5e-3"];

  test("has every step, and counts of the best evaluation that agree with its metrics", async () => {
    const { code, stdout, stderr } = await run(classify("whole", ...evaluated, "--report", "whole/report.html"));
    expect([code, stderr]).toEqual([0, expect.stringMatching(/ -> whole\nreport -> whole\/report.html\n$/)]);
    const events = eventsIn(stdout);
    const rows = await rowsOf("whole/report.html");
    const told = events.filter(({ event }) => event === "step").map(({ step }) => step);
    expect(stepsOf(rows)).toEqual(told);
    expect(rows).toMatchObject({ adapter: events[0]!.adapter, step: told.at(-1), end: { kind: "finished" } });
    const best = events.findLast(({ event, best }) => event === "evaluation" && best === true)!;
    const { step, labels, counts } = rows.confusion!;
    expect([step, labels, sum(counts)]).toEqual([best.step, ["negative", "neutral", "positive"], 30]);
    const right = counts.reduce((total, row, i) => total + row[i]!, 0);
    expect(right / 30).toBeCloseTo((best.metrics as { accuracy: number }).accuracy);
    expect(counts.map((row) => sum([row]))).toEqual([10, 10, 10]); // of each gold label
  });

  test("of tags has a count for each word", async () => {
    const tag = [
      "tag",
      ...SCRATCH_MODEL,
      "--input",
      "words.conll",
      "--eval-split",
      "0.5",
      "--output",
      "tag",
      ...ADAPTER,
    ];
    expect((await run([...tag, "--epochs", "1", "--report", "tag.html"])).code).toBe(0);
    const { confusion } = await rowsOf("tag.html");
    expect(confusion!.labels).toEqual(["B-BAD", "B-GOOD", "O"]);
    const words = (await read("words.conll")).split("\n").filter(Boolean).length;
    expect(sum(confusion!.counts)).toBeGreaterThan(words / 3);
    expect(sum(confusion!.counts)).toBeLessThan((words * 2) / 3);
  });

  test("is written by Ctrl-C; --resume replaces it by that of all steps, with the counts of before", async () => {
    // the first evaluation stays the best: at this rate nothing is learnt any more
    const long = ["--eval-input", "dev.jsonl", "--max-steps", "120", "--logging-steps", "1", "--eval-steps", "5"];
    const args = classify("stopped", ...long, "--learning-rate", "1e-12", "--report", "stopped.html");
    const ended = await run(args, afterSteps(7, "SIGINT"));
    expect(ended.code).toBe(130);
    const events = eventsIn(ended.stdout);
    expect(events.at(-2)).toMatchObject({ event: "saved" });
    expect(events.at(-1)).toEqual({ event: "interrupted", step: events.at(-2)!.step, steps: 120 });
    const before = await rowsOf("stopped.html");
    expect(before.end.kind).toBe("interrupted");
    expect(stepsOf(before)).toEqual(Array.from({ length: before.step }, (_, i) => i + 1));
    expect(before.confusion).toMatchObject({ step: 5 });
    const refused = await run(args);
    expect(refused.stderr).toMatch(/^error: stopped: it is not empty/);
    const resumed = await run([...args, "--resume"]);
    expect([resumed.code, resumed.stderr]).toEqual([0, expect.stringContaining("report -> stopped.html\n")]);
    const after = await rowsOf("stopped.html");
    expect(stepsOf(after)).toEqual(Array.from({ length: 120 }, (_, i) => i + 1));
    expect(after).toMatchObject({ best: { step: 5 }, confusion: before.confusion, end: { kind: "finished" } });
  });

  test("is written when the run fails, and says why", async () => {
    const rates = ["--learning-rate", "1e30", "--max-grad-norm", "0", "--logging-steps", "1"];
    const { code, stderr } = await run(classify("failed", ...rates, "--report", "failed.html"));
    const message = /^error: (step \d+: the .*)\n$/m.exec(stderr)?.[1];
    expect([code, typeof message]).toEqual([2, "string"]);
    expect((await rowsOf("failed.html")).end).toEqual({ kind: "failed", message });
    expect(await readdir(scratch)).not.toContain("failed.html.lock");
  });

  test("that cannot be written is told by its name, and the model is there", async () => {
    // it comes while the run is on, so that it is somebody else's
    const { code, stdout, stderr } = await run(
      classify("late", "--max-steps", "2", "--logging-steps", "1", "--report", "late.html"),
      (_, out) => {
        if (out.includes('"event":"begin"')) void writeFile(join(scratch, "late.html"), "another's");
      },
    );
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: late.html: it has come since the run began; name another file\n$/m);
    expect(eventsIn(stdout).at(-1)).toMatchObject({ event: "end" });
    expect(await readdir(join(scratch, "late"))).toContain("model.safetensors");
    expect(await read("late.html")).toBe("another's");
  });
});

test("a run is gone on with on the same files to evaluate on, and by the same metric", async () => {
  const args = classify("judged", "--max-steps", "4", "--early-stopping", "2", "--resume");
  expect((await run([...args, "--eval-input", "dev.jsonl"])).code).toBe(0);
  const other = await run([...args, "--eval-input", "other.jsonl"]);
  expect([other.code, other.stderr]).toEqual([
    2,
    expect.stringMatching(
      /is of another run; go on with what that began with: evaluation was "\d+ bytes, sha256 \w+", it is "\d+ bytes, sha256 \w+"\n$/,
    ),
  ]);
  const metric = await run([...args, "--eval-input", "dev.jsonl", "--metric", "loss"]);
  expect(metric.stderr).toMatch(
    /is of another run; go on with what that began with: metric was "accuracy", it is "loss"\n$/,
  );
  await writeFile(join(scratch, "same.jsonl"), await read("dev.jsonl"));
  expect((await run([...args, "--eval-input", "same.jsonl"])).code).toBe(0); // a name does not count
});
