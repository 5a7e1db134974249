/** `bert-webgpu train tokenizer`, run as a user runs it: no GPU, all of a folder or none of it. */

import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadTokenizer, openFolder, writeTable } from "../../../src/node/index.ts";
import { trainWordPiece } from "../../../src/train/index.ts";

const MAIN = join(import.meta.dirname, "../../../dist/node/main.js");
const FILES = ["tokenizer.json", "tokenizer_config.json", "vocab.txt"];

const TEXTS = Array.from({ length: 200 }, (_, i) => `the film ${i % 7}, "unhappy" Été ${"abcdefg"[i % 7]}nd then`);

let scratch: string;
let vocabulary: readonly string[];
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "bert-webgpu-train-tokenizer-"));
  await file("texts.txt", TEXTS.join("\n"));
  ({ vocabulary } = await trainWordPiece(TEXTS));
});
afterAll(() => rm(scratch, { recursive: true }));

async function file(name: string, content: string | Uint8Array): Promise<void> {
  await writeFile(join(scratch, name), content);
}

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param input of standard input; a function is told of the process and ends it in its own way */
async function run(
  args: readonly string[],
  input: string | ((child: ReturnType<typeof spawn>) => Promise<void>) = "",
): Promise<Ended> {
  const child = spawn(process.execPath, [MAIN, "train", "tokenizer", ...args], { cwd: scratch });
  const output = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => {
      output[stream] += text;
    });
  }
  const closed = new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  if (typeof input === "string") child.stdin.end(input);
  else await input(child);
  const code = await closed;
  expect(output.stdout + output.stderr).not.toMatch(/^\s+at /m);
  return { code, ...output };
}

const linesIn = async (dir: string): Promise<string[]> =>
  (await readFile(join(scratch, dir, "vocab.txt"), "utf8")).trimEnd().split("\n");

test("--help says what it takes, and that ties have a rule", async () => {
  const { code, stdout } = await run(["--help"]);
  expect(code).toBe(0);
  for (const word of [
    "--vocab-size <N>",
    "--min-frequency",
    "--cased",
    "--special-tokens",
    "--force",
    "equally often",
  ]) {
    expect(stdout).toContain(word);
  }
});

test("a folder has what loadTokenizer reads, and nothing else", async () => {
  const { code, stdout, stderr } = await run(["--input", "texts.txt", "--output", "new/tokenizer"]);
  expect([code, stdout]).toEqual([0, ""]);
  expect(stderr).toMatch(
    /^texts: 200, 2,000 words, 21 different\ncharacters: \d+\nthere are fewer tokens than --vocab-size 30522: no other pair is there 2 times\n\d+ tokens in \d:\d\d -> new\/tokenizer\n$/,
  );
  expect((await readdir(join(scratch, "new/tokenizer"))).sort()).toEqual(FILES);
  expect(await readdir(join(scratch, "new"))).toEqual(["tokenizer"]);
  expect(await linesIn("new/tokenizer")).toEqual(vocabulary);
  const tokenizer = await loadTokenizer(openFolder(join(scratch, "new/tokenizer")));
  expect([tokenizer.vocabSize, tokenizer.modelMaxLength]).toEqual([vocabulary.length, 512]);
  expect(tokenizer.encode("UNHAPPY été").tokens).toEqual(["[CLS]", "unhappy", "ete", "[SEP]"]);
  await rm(join(scratch, "new/tokenizer/tokenizer.json")); // vocab.txt alone says the same
  const other = await loadTokenizer(openFolder(join(scratch, "new/tokenizer")));
  expect(other.encode("UNHAPPY été [MASK]")).toEqual(tokenizer.encode("UNHAPPY été [MASK]"));
});

test("options reach the vocabulary and the files", async () => {
  const { code, stdout } = await run([
    ...["--input", "texts.txt", "--output", "cased", "--json", "--cased", "--no-strip-accents", "--max-length", "64"],
    ...["--vocab-size", "60", "--min-frequency", "3", "--limit-alphabet", "24"],
    ...["--special-tokens", "[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "[Q]"],
  ]);
  expect(code).toBe(0);
  const { files, ...counts } = await trainWordPiece(TEXTS, {
    ...{ vocabSize: 60, minFrequency: 3, limitAlphabet: 24, lowercase: false, stripAccents: false, maxLength: 64 },
    specialTokens: ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "[Q]"],
  });
  expect(counts.leftOut).toBeGreaterThan(0);
  expect(JSON.parse(stdout)).toEqual({
    ...{ tokens: 60, texts: 200, words: 2000, distinct_words: 21, long_words: 0, characters: 24 },
    ...{ left_out: counts.leftOut, seconds: expect.any(Number), output: "cased" },
  });
  for (const name of FILES) expect(await readFile(join(scratch, "cased", name), "utf8")).toBe(files[name]);
  const tokenizer = await loadTokenizer(openFolder(join(scratch, "cased")));
  expect(tokenizer.encode("[Q]").ids).toEqual([2, 5, 3]);
  expect(tokenizer.modelMaxLength).toBe(64);
});

test("lines, CSV, JSON Lines, Parquet, gzipped and of standard input have the same texts", async () => {
  const rows = TEXTS.map((review) => ({ review }));
  await file(
    "a.csv.gz",
    gzipSync(`n,review\n${TEXTS.map((text, i) => `${i},"${text.replaceAll('"', '""')}"`).join("\n")}`),
  );
  await file("a.jsonl", rows.map((row) => JSON.stringify(row)).join("\n"));
  await writeTable(join(scratch, "a.parquet"), rows);
  const named = ["--text-column", "review"];
  for (const [i, args] of [
    [...["--input", "a.csv.gz"], ...named],
    [...["--input", "a.jsonl"], ...named],
    [...["--input", "a.parquet"], ...named],
    ["--input", "-"],
  ].entries()) {
    const { code, stderr } = await run([...args, "--output", `same-${i}`], `${[...TEXTS].reverse().join("\r\n")}\n\n`);
    expect([code, stderr], args.join(" ")).toEqual([0, expect.stringContaining("texts: 200, ")]);
    expect(await linesIn(`same-${i}`), args.join(" ")).toEqual(vocabulary);
  }
  const halves = [TEXTS.slice(100), TEXTS.slice(0, 100)];
  for (const [i, half] of halves.entries()) await file(`half-${i}.txt`, half.join("\n"));
  expect((await run(["--input", "half-0.txt", "half-1.txt", "--output", "halves"])).code).toBe(0);
  expect(await linesIn("halves")).toEqual(vocabulary);
}, 60_000);

test("what is there is refused, or replaced with --force, with what would change its meaning", async () => {
  await mkdir(join(scratch, "there"));
  for (const name of ["vocab.txt", "special_tokens_map.json", "added_tokens.json", "notes.md"]) {
    await file(`there/${name}`, name.endsWith(".json") ? '{"[X]":99}' : "of another\n");
  }
  const args = ["--input", "texts.txt", "--output", "there"];
  expect(await run(args)).toEqual({
    ...{ code: 2, stdout: "" },
    stderr: "error: there: it is not empty; --force replaces the tokenizer in it\n",
  });
  expect(await linesIn("there")).toEqual(["of another"]);
  expect((await run([...args, "--force"])).code).toBe(0);
  expect((await readdir(join(scratch, "there"))).sort()).toEqual(["notes.md", ...FILES]);
  expect(await linesIn("there")).toEqual(vocabulary);
});

describe("refused, and no folder is there", () => {
  test.each<[string, readonly string[], RegExp]>([
    ["blank lines", ["--input", "blank.txt"], /^error: blank\.txt: there is nothing to learn from$/],
    ["nothing", ["--input", "empty.txt"], /^error: empty\.txt: it has no rows$/],
    ["no word", ["--input", "control.txt"], /there is no word in 1 texts/],
    ["no file", ["--input", "none.txt"], /none\.txt: there is no such file/],
    ["rows without text", ["--input", "bad.jsonl"], /row 2: no column "text"; it has "b"; .*row 3: .* is null/],
    ["no column", ["--input", "bad.jsonl", "--text-column", "c"], /row 1: no column "c"/],
    ["few tokens", ["--input", "texts.txt", "--vocab-size", "20"], /--vocab-size is 20: 5 special tokens, .* need \d+/],
    ["no [CLS]", ["--input", "texts.txt", "--special-tokens", "[UNK]"], /--special-tokens lack \[PAD\], \[CLS\]/],
    ["both cases", ["--input", "texts.txt", "--cased", "--uncased"], /--uncased' cannot be used with option '--cased/],
    ["less than no times", ["--input", "texts.txt", "--min-frequency", "-1"], /whole number from 0/],
    ["standard input twice", ["--input", "-", "-"], /can be read once/],
    ["what it reads", ["--input", "texts.txt", "--output", ".", "--force"], /texts\.txt in it is read/],
  ])("%s", async (_, args, why) => {
    await file("blank.txt", "\n \n\t\n");
    await file("empty.txt", "");
    await file("control.txt", "\u0000\u0007\n");
    await file("bad.jsonl", '{"text":"a"}\n{"b":"c"}\n{"text":null}\n');
    const { code, stdout, stderr } = await run(args.includes("--output") ? args : [...args, "--output", "none"]);
    expect(stderr).toMatch(/^error: .*\n$/);
    expect(stderr.trimEnd()).toMatch(why);
    expect([code, stdout]).toEqual([2, ""]);
    expect((await readdir(scratch)).filter((name) => name.startsWith("none"))).toEqual([]);
  });
});

test("one job writes a folder at a time, and Ctrl-C leaves nothing of it", async () => {
  let second: Ended | undefined;
  const first = await run(["--input", "-", "--output", "stopped"], async (child) => {
    child.stdin!.write(`${TEXTS.join("\n")}\n`);
    while (!(await readdir(scratch)).includes("stopped.lock")) await new Promise((resolve) => setTimeout(resolve, 20));
    second = await run(["--input", "texts.txt", "--output", "stopped"]);
    child.kill("SIGINT");
  });
  expect([second!.code, second!.stderr]).toEqual([2, expect.stringMatching(/another job, process \d+, is writing it/)]);
  expect([first.code, first.stdout, first.stderr]).toEqual([130, "", ""]);
  expect((await readdir(scratch)).filter((name) => name.startsWith("stopped"))).toEqual([]);
});
