/** examples/rotten-tomatoes, run as a user runs it, with a model that is small enough to be trained in a moment. */

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ADAPTER, type Ended } from "./command.ts";

const ROOT = join(import.meta.dirname, "../../..");
const SCRIPT = join(ROOT, "dist/examples/rotten-tomatoes/train.js");
const TRUE_DATA = join(ROOT, "../shared/data/rt-polarity");
const CONFIG = {
  ...{ model_type: "bert", hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 48 },
  ...{ max_position_embeddings: 128, type_vocab_size: 2 },
};

const SENTENCES = {
  neg: [
    ...["a dull film .", "the story is dull and long .", "no café scene can save it .", "a poor and long film ."],
    ...["the jokes are poor .", "dull , dull , dull .", "its story is poor .", "the film is too long ."],
    ...["a film of poor jokes .", "long and dull ."],
  ],
  pos: [
    ...["a lovely film .", "the story is lovely and short .", "a fine café scene .", "a fine and short film ."],
    ...["the jokes are fine .", "lovely , lovely , lovely .", "its story is fine .", "the film is a joy ."],
    ...["a film of fine jokes .", "short and lovely ."],
  ],
};

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "bert-webgpu-tomatoes-"));
  await writeFile(join(scratch, "config.json"), JSON.stringify(CONFIG));
  for (const [label, sentences] of Object.entries(SENTENCES)) {
    const lines = sentences.map((sentence) => `${sentence} \n`).join("");
    await writeFile(join(scratch, `rt-polarity.${label}`), lines, "latin1");
  }
});
afterAll(() => rm(scratch, { recursive: true }));

/** @param interruptAt Ctrl-C comes when standard output has this */
async function run(args: readonly string[], interruptAt?: string): Promise<Ended> {
  const child = spawn(process.execPath, [SCRIPT, ...args], { cwd: scratch, detached: true });
  const output = { stdout: "", stderr: "" };
  let interrupted = false;
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => {
      output[stream] += text;
      if (interrupted || interruptAt === undefined || !output.stdout.includes(interruptAt)) return;
      interrupted = true;
      process.kill(-child.pid!, "SIGINT"); // to all of them, as a terminal does
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  return { code, ...output };
}

const tiny = (data: string, out: string, steps: number): string[] => [
  ...["--data", data, "--out", out, "--steps", String(steps), "--config", "config.json", ...ADAPTER],
];

async function rowsOf(path: string): Promise<{ text: string; label: string }[]> {
  const lines = (await readFile(join(scratch, path), "utf8")).trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line));
}

test("without the data it says where people get them", async () => {
  for (const args of [[], ["--data", "nowhere"]]) {
    const { code, stdout, stderr } = await run(args);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^.*rt-polarity\.neg and rt-polarity\.pos, of https:\/\/\S+\n$/);
  }
});

describe("a score of sentences", () => {
  let whole: Ended;
  beforeAll(async () => {
    whole = await run(tiny(".", "whole", 30));
  });

  test("become three parts, a vocabulary, two models and an accuracy", async () => {
    expect(whole.code, whole.stderr).toBe(0);
    const { neg, pos } = SENTENCES;
    const part = (from: number, to: number): object[] => [
      ...pos.slice(from, to).map((text) => ({ text, label: "pos" })),
      ...neg.slice(from, to).map((text) => ({ text, label: "neg" })),
    ];
    expect(await rowsOf("whole/train.jsonl")).toEqual(part(0, 8));
    expect(await rowsOf("whole/validation.jsonl")).toEqual(part(8, 9));
    expect(await rowsOf("whole/test.jsonl")).toEqual(part(9, 10));
    const vocabulary = (await readFile(join(scratch, "whole/tokenizer/vocab.txt"), "utf8")).trimEnd().split("\n");
    expect(vocabulary).toContain("lovely");
    for (const kind of ["mlm", "classify"]) {
      const config = JSON.parse(await readFile(join(scratch, "whole", kind, "config.json"), "utf8"));
      expect(config).toMatchObject({ hidden_size: 32, vocab_size: vocabulary.length });
      expect(await readdir(join(scratch, "whole", kind))).toContain("model.safetensors");
      expect(await readFile(join(scratch, "whole", `${kind}.html`), "utf8")).toMatch(/^<!doctype html>/i);
    }
    expect(whole.stdout).toMatch(/step 30\/30[\s\S]*step 30\/30[\s\S]*^2 rows\naccuracy {2}\d\.\d{4}$/m);
  });

  test("go on after Ctrl-C to the same bits", async () => {
    const first = await run(tiny(".", "parted", 30), "step 10/30");
    expect(first.code, first.stderr).toBe(130);
    expect(first.stderr).toMatch(
      /interrupted after step \d+ of 30: it is saved, --resume goes on\nreport -> parted\/mlm.html\n$/,
    );
    const refused = await run(tiny(".", "parted", 30));
    expect(refused).toMatchObject({ code: 2, stderr: "parted: it is not empty; --resume goes on with its run\n" });
    const second = await run([...tiny(".", "parted", 30), "--resume"]);
    expect(second.code, second.stderr).toBe(0);
    expect(second.stderr).toMatch(/going on from checkpoint-\d+/);
    for (const kind of ["mlm", "classify"]) {
      const bytes = (out: string): Promise<Buffer> => readFile(join(scratch, out, kind, "model.safetensors"));
      expect((await bytes("parted")).equals(await bytes("whole"))).toBe(true);
    }
    expect(second.stdout.slice(second.stdout.indexOf("2 rows"))).toBe(
      whole.stdout.slice(whole.stdout.indexOf("2 rows")),
    );
  });
});

const there = existsSync(TRUE_DATA);

test.skipIf(!there)(
  `the true sentences${there ? "" : " (skipped: ../shared/data/rt-polarity is not there)"}`,
  async () => {
    const { code, stdout, stderr } = await run(tiny(TRUE_DATA, "true", 2));
    expect(code, stderr).toBe(0);
    const counts = await Promise.all(["train", "validation", "test"].map((name) => rowsOf(`true/${name}.jsonl`)));
    expect(counts.map(({ length }) => length)).toEqual([8530, 1066, 1066]);
    expect(stdout).toMatch(/^1,066 rows\naccuracy {2}0\.\d{4}$/m);
  },
);
