/** The commands that write text, as a user runs them, on small models of nothing learnt. */

import { mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { CAUSAL, writerFiles } from "../bert/generation/tiny_writer.ts";
import { rowsOf, run, writeModel } from "./data/command_line.ts";
import { scratch } from "./data/scratch.ts";

const file = scratch();
const TEXTS = ["the film was good", "a movie is not so bad", "dull", "it was long and good"];
let writer = "";
let encoder = "";
let causal = "";

async function folderOf(name: string, files: Record<string, string | Uint8Array>): Promise<string> {
  const path = await file(`${name}/config.json`);
  await mkdir(dirname(path), { recursive: true });
  for (const [part, content] of Object.entries(files)) await file(`${name}/${part}`, content);
  return dirname(path);
}

beforeAll(async () => {
  writer = await folderOf("writer", writerFiles());
  causal = await folderOf("causal", writerFiles(CAUSAL));
  encoder = await writeModel(file, "encoder", {});
});

const lines = (text: string): string[] => text.trimEnd().split("\n");

describe.each([
  ["translate", "translation_text"],
  ["generate", "generated_text"],
  ["summarise", "summary_text"],
])("%s", (command, name) => {
  test("answers texts, and the rows of a file alike", async () => {
    const args = [command, "--model", writer, "--max-length", "9", "--beams", "3"];
    const { code, stdout, stderr } = await run([...args, "--json", ...TEXTS]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const answers = lines(stdout).map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(answers.map(({ text }) => text)).toEqual(TEXTS);
    for (const answer of answers) {
      expect(answer[name]).toMatch(/\w/);
      expect(answer.score).toBeLessThan(0);
    }
    const [input, output] = [await file("texts.csv", ["text", ...TEXTS].join("\n")), await file(`${command}.csv`)];
    const ended = await run([...args, "--input", input, "--output", output]);
    expect(ended.code).toBe(0);
    const rows = await rowsOf(output);
    expect(rows.map((row) => row[name])).toEqual(answers.map((answer) => answer[name]));
  });
});

describe("files", () => {
  test("a row that cannot be used is left out, and a run that was ended goes on where it was", async () => {
    const input = await file(
      "odd.jsonl",
      [...TEXTS.map((text) => ({ text })), { text: 5 }].map((row) => JSON.stringify(row)).join("\n"),
    );
    const output = await file("odd.out.jsonl");
    const args = ["generate", "--model", writer, "--max-length", "8", "--input", input, "--output", output];
    const stopped = await run(args);
    expect(stopped.code).toBe(2);
    expect(stopped.stderr).toContain('row 5: column "text" is a number, it must be text');
    const resumed = await run([...args, "--resume", "--on-error", "skip"]);
    expect(resumed.stderr).toContain("going on after row 4");
    expect(resumed.code).toBe(0);
    const rows = lines(await readFile(output, "utf8")).map((line) => JSON.parse(line) as { row: number; text: string });
    expect(rows.map(({ text }) => text)).toEqual(TEXTS);
    const other = await run([...args.map((arg) => (arg === "8" ? "7" : arg)), "--resume"]);
    expect(other.code).not.toBe(0);
  });
});

describe("summarise", () => {
  test("picks sentences with an encoder, as it did", async () => {
    const text = "the film was good. it was long. a movie is dull.";
    const { stdout, code } = await run(["summarise", "--model", encoder, "--sentences", "1", text]);
    expect(code).toBe(0);
    expect(text).toContain(stdout.trim());
  });

  test.each([
    [["--extractive"], "writer", "--extractive takes an encoder, and"],
    [["--sentences", "2"], "writer", "--sentences is for picking sentences, and"],
    [["--beams", "2"], "encoder", "--beams is for writing, which takes a model with a decoder: leave it out"],
  ])("refuses %o with the %s", async (args, model, message) => {
    const { stderr, code } = await run([
      "summarise",
      "--model",
      model === "writer" ? writer : encoder,
      ...args,
      "dull",
    ]);
    expect(code).not.toBe(0);
    expect(lines(stderr)).toHaveLength(1);
    expect(stderr).toContain(message);
  });
});

describe("generate", () => {
  test("--stream prints what it would print at once", async () => {
    const args = ["generate", "--model", writer, "--max-length", "20", TEXTS[0]!];
    expect((await run([...args, "--stream"])).stdout).toBe((await run(args)).stdout);
  });

  test.each([
    [["--stream", "--beams", "3", "a"], "--stream: a search of 3 beams knows its text at the end: give --beams 1"],
    [["--stream", "--sample", "--sequences", "2", "a"], "--stream: one text at a time, and not 2: give --sequences 1"],
    [["--sample", "--beams", "3", "a"], "--sample draws and --beams 3 searches: set --beams to 1, or give --no-sample"],
    [["--beams", "2", "--sequences", "3", "a"], "--sequences is 3, --beams 2: ask for fewer"],
    [["--temperature", "2", "a"], "--temperature is of draws: give --sample, or leave it out"],
    [["--max-length", "70", "a"], "--max-length asks for 70 tokens, the decoder has 64 positions"],
    [["--start-token", "77", "a"], "--start-token is 77, it must be an id from 0 to 49"],
    [["--bad-word", "", "a"], '--bad-word has "", which has no tokens: leave it out'],
    [["--lora", "x", "a"], "--lora: adapters are for encoders"],
  ])("refuses %o in one line", async (args, message) => {
    const { stderr, code } = await run(["generate", "--model", writer, ...args]);
    expect(code).toBe(2);
    expect(lines(stderr)).toHaveLength(1);
    expect(stderr).toContain(message);
  });

  test("refuses a model that cannot write, in one line", async () => {
    const { stderr, code } = await run(["translate", "--model", encoder, "dull"]);
    expect(code).not.toBe(0);
    expect(lines(stderr)).toHaveLength(1);
    expect(stderr).toContain("has no decoder, so it cannot write text");
  });

  test("tells of a text that is cut", async () => {
    const { stderr, code } = await run(["generate", "--model", writer, "--max-length", "4", "dull ".repeat(80)]);
    expect(code).toBe(0);
    expect(stderr).toContain("has 82 tokens, the model takes 64: the rest is left out");
  });
});

test("bad words are those behind each --bad-word, and texts come after them", async () => {
  const args = ["generate", "--model", writer, "--max-length", "12"];
  expect((await run([...args, TEXTS[0]!])).stdout).toContain("was");
  const { stdout, code } = await run([...args, "--bad-word", "was", "--bad-word", "film", TEXTS[0]!]);
  expect(code).toBe(0);
  expect(stdout).not.toMatch(/was|film/);
  expect(lines(stdout)).toHaveLength(1);
});

test("all sequences are there that the model's own files ask for, and what they ask for can be undone", async () => {
  const own = await folderOf(
    "several",
    writerFiles({ generation: { num_beams: 3, num_return_sequences: 2, max_length: 8 } }),
  );
  const args = ["generate", "--model", own, "--json", TEXTS[0]!];
  const found = JSON.parse((await run(args)).stdout) as { generated_text: string; sequences: { text: string }[] };
  expect(found.sequences).toHaveLength(2);
  expect(found.sequences[0]!.text).toBe(found.generated_text);
  const drawing = await folderOf("drawing", writerFiles({ generation: { do_sample: true } }));
  const undone = await run(["generate", "--model", drawing, "--no-sample", "--max-length", "8", TEXTS[0]!]);
  expect(undone.stdout).toBe((await run(["generate", "--model", writer, "--max-length", "8", TEXTS[0]!])).stdout);
});

describe("a causal model", () => {
  test("goes on with the rows of a file, less those that leave no room", async () => {
    const texts = ["good", "good ".repeat(80), "the film was good and long", "dull"];
    const input = await file("causal.jsonl", texts.map((text) => JSON.stringify({ text })).join("\n"));
    const args = ["generate", "--model", causal, "--max-length", "5", "--input", input];
    const { stdout, stderr, code } = await run([...args, "--on-error", "skip", "--json"]);
    expect(code).toBe(0);
    expect(lines(stdout).map((line) => (JSON.parse(line) as { text: string }).text)).toEqual(["good", "dull"]);
    expect(stderr).toContain("row 2: ");
    expect(stderr).toContain("has 81 tokens, the decoder 64 positions: shorten it");
    expect(stderr).toContain("row 3: --max-length is 5, and 7 tokens are there already: nothing can be written");
    const stopped = await run(args);
    expect(stopped.code).toBe(2);
    expect(stopped.stderr).toContain("row 2: ");
  });

  test.each(["translate", "summarise"])("neither translates nor summarises: %s", async (command) => {
    const { stderr, code } = await run([command, "--model", causal, "dull"]);
    expect(code).toBe(2);
    expect(stderr).toContain(`${command} takes an encoder-decoder, and ${causal} is a causal BERT: generate`);
  });
});

describe("where models are expected that read", () => {
  test.each([
    ["embed", "a"],
    ["classify", "a"],
    ["rerank", "a", "b"],
  ])("%s says in one line that a model writes", async (command, ...texts) => {
    const { stderr, code } = await run([command, "--model", writer, ...texts]);
    expect(code).toBe(2);
    expect(lines(stderr)).toHaveLength(1);
    expect(stderr).toContain("it writes text, which generate, translate and summarise are for");
  });

  test("check says what a model that writes is, and what is wrong with it", async () => {
    const { stdout, code } = await run(["check", writer]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/encoder +BERT, 1 layer, 16 wide/);
    expect(stdout).toMatch(/decoder +BERT, 1 layer, 16 wide/);
    const odd = await folderOf(
      "odd-writer",
      writerFiles({ fill: (name, values) => name === "decoder.cls.predictions.bias" && values.fill(Number.NaN) }),
    );
    const refused = await run(["check", odd]);
    expect(refused.code).toBe(2);
    expect(refused.stdout).toMatch(/decoder\.cls\.predictions\.bias.*NaN/);
  });
});

test("the folder of a writer is checked before a GPU is looked for", async () => {
  const broken = await folderOf(
    "broken",
    writerFiles({ edit: ({ "decoder.cls.predictions.bias": _, ...rest }) => rest }),
  );
  const { stderr, code } = await run(["generate", "--model", join(broken), "a", "--adapter", "no such adapter"]);
  expect(code).not.toBe(0);
  expect(stderr).toContain("decoder.cls.predictions.decoder.bias [50] is missing");
});
