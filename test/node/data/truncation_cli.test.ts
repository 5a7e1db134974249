/** Nothing is cut in silence: the built command line tells of every text that it cut. `npm test` builds dist/. */

import { beforeAll, expect, test } from "vitest";
import { run, writeModel } from "./command_line.ts";
import { scratch } from "./scratch.ts";

const file = scratch();
let tiny: readonly string[];
beforeAll(async () => {
  tiny = ["--model", await writeModel(file, "tiny", {})];
});

/** The tiny model takes 64 tokens. */
const long = (first: string): string => `${first}${" good".repeat(70)}`;
const words = "bad film movie is was very so dull bright the a".split(" ");

const linesOf = (stderr: string): string[] => stderr.trimEnd().split("\n");

test("texts on standard input: each told, with both lengths, up to 20, and then how many more, repeated ones too", async () => {
  const texts = words.flatMap((a) => words.map((b) => long(`${a} ${b}`))).slice(0, 30);
  const input = `${["short", ...texts, texts[0], texts[0], "short"].join("\n")}\n`;
  for (const command of [["classify"], ["embed"]]) {
    const { code, stdout, stderr } = await run([...command, ...tiny, "-", "--json"], { input });
    expect(code).toBe(0);
    expect(linesOf(stdout)).toHaveLength(34);
    const lines = linesOf(stderr);
    expect(lines).toHaveLength(21);
    expect(lines[0]).toBe(
      `warning: ${JSON.stringify(texts[0]!.slice(0, 40))} has 74 tokens, the model takes 64: the rest is left out`,
    );
    expect(lines[20]).toBe("warning: and 12 more like these");
  }
});

test("rows of a file: with the row, so that equal ones are told apart", async () => {
  const rows = [long("bad"), "a film", long("bad"), long("dull")];
  const input = await file("long.csv", `text,label\n${rows.map((text) => `${text},LABEL_0`).join("\n")}\n`);
  const cut = (row: number, text: string): string =>
    `warning: ${input}: row ${row} (line ${row + 1}): ${JSON.stringify(text.slice(0, 40))} has 73 tokens, the model takes 64: the rest is left out`;
  const expected = [cut(1, rows[0]!), cut(3, rows[2]!), cut(4, rows[3]!)];
  const classified = await run(["classify", ...tiny, "--input", input, "--column", "text", "--json"]);
  expect([classified.code, linesOf(classified.stderr)]).toEqual([0, expected]);
  const evaluated = await run(["evaluate", "--task", "text-classification", ...tiny, "--input", input, "--json"]);
  expect([evaluated.code, linesOf(evaluated.stderr).filter((line) => line.includes("tokens"))]).toEqual([0, expected]);
});

test("tokenize --max-length tells what it leaves out", async () => {
  const { code, stdout, stderr } = await run(["tokenize", ...tiny, "a good film", "a", "--max-length", "4", "--json"]);
  expect([code, stderr]).toEqual([0, 'warning: "a good film" has 5 tokens, --max-length is 4: the rest is left out\n']);
  expect(linesOf(stdout).map((line) => (JSON.parse(line) as { tokens: string[] }).tokens)).toEqual([
    ["[CLS]", "a", "good", "[SEP]"],
    ["[CLS]", "a", "[SEP]"],
  ]);
});
