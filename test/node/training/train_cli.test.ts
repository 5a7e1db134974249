/** `bert-webgpu train`, run as a user runs it, on a model that is small enough to be trained in a moment. */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmdirSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { reportFailure } from "../../../src/node/cli/failure.ts";
import { DeviceLostError } from "../../../src/runtime/errors.ts";
import { TrainingError } from "../../../src/train/events.ts";
import { uniforms } from "../../../src/train/initial.ts";
import { ADAPTER, afterSteps, type Ended, eventsIn, runTrain, SCRATCH_MODEL } from "./command.ts";

const GOOD = ["good", "fine", "great", "lovely"];
const BAD = ["bad", "poor", "dull", "awful"];
const PLAIN = [
  "the",
  "film",
  "was",
  "a",
  "story",
  "of",
  "its",
  "time",
  "and",
  "place",
  "un",
  "##happy",
  "who",
  "made",
  "it",
];
const NAMES = ["anna", "paris", "oslo", "bert"];
const VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ...GOOD, ...BAD, ...PLAIN, ...NAMES, "."];

/** A file system of so many bytes, for as long as `use` takes. @throws Error where the system does not let us */
function withDisk<T>(bytes: number, use: (dir: string) => T): T {
  const dir = mkdtempSync(join(tmpdir(), "bert-webgpu-disk-"));
  const end = (): void => {
    execFileSync("umount", [dir]);
    rmdirSync(dir);
  };
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", dir], { stdio: "ignore" });
  } catch (error) {
    rmdirSync(dir);
    throw error;
  }
  const used = use(dir);
  if (used instanceof Promise) return used.finally(end) as T;
  end();
  return used;
}

const disks = (() => {
  try {
    return withDisk(1 << 16, () => true);
  } catch {
    return false;
  }
})();

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "bert-webgpu-train-"));
  await mkdir(join(scratch, "tokenizer"));
  await writeFile(join(scratch, "tokenizer/vocab.txt"), `${VOCABULARY.join("\n")}\n`);
  const config = {
    ...{ model_type: "bert", vocab_size: VOCABULARY.length, hidden_size: 32, num_hidden_layers: 1 },
    ...{ num_attention_heads: 2, intermediate_size: 48, max_position_embeddings: 48, type_vocab_size: 2 },
  };
  await writeFile(join(scratch, "config.json"), JSON.stringify(config));
  const random = uniforms(3);
  const one = (list: readonly string[]): string => list[Math.floor(random() * list.length)]!;
  const words = (count: number): string =>
    Array.from({ length: count }, () => one(PLAIN.filter((w) => !w.startsWith("#")))).join(" ");
  const rows = Array.from({ length: 96 }, (_, i) => {
    const good = i % 2 === 0;
    return {
      text: `${words(3 + (i % 5))} ${one(good ? GOOD : BAD)} ${words(2)}`,
      label: good ? "positive" : "negative",
    };
  });
  await file("reviews.jsonl", rows.map((row) => JSON.stringify(row)).join("\n"));
  await file("reviews.csv", `label,text\n${rows.map(({ text, label }) => `${label},"${text}"`).join("\n")}\n`);
  // a word several times over, so that there is something to guess by
  const plain = PLAIN.filter((word) => !word.startsWith("#"));
  const texts = rows.map((_, i) =>
    Array(5 + (i % 4))
      .fill(plain[i % plain.length])
      .join(" "),
  );
  await file("texts.txt", texts.join("\n"));
  await file("documents.txt", rows.map(({ text }, i) => (i % 6 === 5 ? `${text}\n` : text)).join("\n"));
  const tagged = rows.map(({ text }, i) => {
    const tags = text.split(" ").map((word) => `${word} O`);
    return [...tags, `${NAMES[i % 4]} B-${i % 4 === 1 || i % 4 === 2 ? "LOC" : "PER"}`, ". O"].join("\n");
  });
  await file("words.conll", tagged.join("\n\n"));
  const qas = rows.slice(0, 48).map(({ text }, i) => {
    const name = NAMES[i % 4]!;
    const context = `😀 ${text} and ${name} made it .`;
    const answer = { text: name, answer_start: [...context.slice(0, context.indexOf(`${name} made`))].length };
    return { context, qas: [{ id: String(i), question: "who made it", answers: [answer] }] };
  });
  await file("squad.json", JSON.stringify({ version: "1.1", data: [{ title: "t", paragraphs: qas }] }));
});
afterAll(() => rm(scratch, { recursive: true }));

async function file(name: string, content: string): Promise<string> {
  await writeFile(join(scratch, name), content);
  return join(scratch, name);
}

const run = (args: readonly string[], meet?: Parameters<typeof runTrain>[2]): Promise<Ended> =>
  runTrain(scratch, args, meet);

const classify = (output: string, ...more: string[]): string[] => [
  ...["classify", ...SCRATCH_MODEL, "--input", "reviews.jsonl", "--output", output, "--json", ...ADAPTER, ...more],
];

async function hashes(dir: string): Promise<Record<string, string>> {
  const names = ["config.json", "model.safetensors", "vocab.txt", "README.md"];
  const of = async (name: string) =>
    createHash("sha256")
      .update(await readFile(resolve(scratch, dir, name)))
      .digest("hex");
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await of(name)])));
}

describe("without a GPU", () => {
  test("--help says what each takes", async () => {
    expect((await run(["--help"])).stdout).toMatch(/mlm[\s\S]*pretrain[\s\S]*classify[\s\S]*tag[\s\S]*answer/);
    for (const kind of ["mlm", "pretrain", "classify", "tag", "answer"]) {
      const { code, stdout, stderr } = await run([kind, "--help"]);
      expect([code, stderr]).toEqual([0, ""]);
      for (const word of [
        "--input <FILE...>",
        "--learning-rate",
        "--early-stopping",
        "--resume",
        "--freeze",
        "--recompute",
        "Metrics:",
      ]) {
        expect(stdout).toContain(word);
      }
    }
  });

  test("what is wrong with options is told", async () => {
    const given = ["--input", "reviews.jsonl", "--output", "none"];
    for (const [args, why] of [
      [["classify", ...given], /give --model to begin with, or --config and --tokenizer/],
      [["classify", ...given, ...SCRATCH_MODEL, "--model", "x"], /give either it, or --config/],
      [["classify", ...given, ...SCRATCH_MODEL, "--eval-split", "1"], /above 0 and below 1/],
      [["classify", ...given, ...SCRATCH_MODEL, "--metric", "f1"], /--metric needs --eval-input or --eval-split/],
      [["classify", ...given, ...SCRATCH_MODEL, "--eval-split", "0.2", "--metric", "bleu"], /there are accuracy, f1/],
      [["classify", ...given, ...SCRATCH_MODEL, "--batch-size", "2", "--batch-tokens", "8"], /either --batch-size or/],
      [["classify", ...given, ...SCRATCH_MODEL, "--max-length", "99"], /--max-length is 99, the model takes 48/],
      [["classify", ...given, ...SCRATCH_MODEL, "--resume", "--force"], /give one of them/],
      [["classify", ...given, ...SCRATCH_MODEL, "--freeze", "encoder"], /--lora-rank and --freeze need --model/],
      [["classify", ...given.slice(0, 2), "--output", ".", ...SCRATCH_MODEL, "--force"], /reviews.jsonl in it is read/],
      [["classify", ...given.slice(0, 2), "--output", "config.json", ...SCRATCH_MODEL], /it is no folder/],
      [["mlm", ...given, ...SCRATCH_MODEL, "--shuffle-buffer", "9", "--eval-split", "0.5"], /give --eval-input with/],
    ] as const) {
      const { code, stdout, stderr } = await run(args);
      expect(stderr, args.join(" ")).toMatch(why);
      expect([code, stdout], args.join(" ")).toEqual([2, ""]);
    }
    expect(await readdir(scratch)).not.toContain("none.lock");
  });

  test.each([
    ["mlm", 2, /^error: --max-length is 2, a text needs at least 3 tokens\n$/],
    ["pretrain", 4, /^error: --max-length is 4, pairs need at least 5 tokens\n$/],
    ["answer", 3, /^error: --max-length is 3, a question with a part of its context needs at least 7 tokens\n$/],
    ["answer", 6, /--max-length is 6, a question/],
  ])("%s in sequences of %d tokens is refused", async (kind, length, why) => {
    const question = JSON.stringify({ question: "who", context: "anna made the film", answers: ["anna"] });
    await file("short.jsonl", question);
    await file("short.txt", "the film was good\n\nanna made it\n");
    const input = ["--input", kind === "answer" ? "short.jsonl" : "short.txt", "--max-length", `${length}`];
    const { code, stderr } = await run([kind, ...SCRATCH_MODEL, ...input, "--output", "none", ...ADAPTER]);
    expect([code, stderr]).toEqual([2, expect.stringMatching(why)]);
  });

  const row = (value: object): string => JSON.stringify(value);
  test.each([
    [
      "no label",
      "classify",
      "a.jsonl",
      `${row({ text: "a", label: "x" })}\n${row({ text: "b", label: null })}`,
      /row 2: column "label" has no label/,
    ],
    ["no text", "classify", "a.jsonl", row({ text: " ", label: "x" }), /row 1: column "text" is empty/],
    [
      "one class",
      "classify",
      "a.csv",
      "text,label\na,x\nb,x\n",
      /all 2 rows have the label "x": there is nothing to tell apart/,
    ],
    ["no such column", "classify", "a.csv", "text,sentiment\na,x\n", /no column "label"; it has "text", "sentiment"/],
    ["nothing", "classify", "a.csv", "", /it (has no rows|is empty)/],
    ["a header alone", "classify", "a.csv", "text,label\n", /it has no rows/],
    [
      "several faults",
      "classify",
      "a.jsonl",
      `${row({ text: "a" })}\n{\n${row({ text: 3, label: 1 })}`,
      /row 1: .*row 2: not valid JSON.*row 3: column "text" is a number/,
    ],
    ["blank texts", "mlm", "a.txt", "\n\n", /there is nothing to learn from/],
    ["one document", "pretrain", "a.txt", "the film\nwas good\n", /1 documents; pairs need at least 2/],
    ["a word without tag", "tag", "a.conll", "the O\nfilm\n", /line 2: a word and its tag expected/],
    ["one tag", "tag", "a.conll", "the O\nfilm O\n", /all words have the tag O/],
    [
      "an answer elsewhere",
      "answer",
      "a.jsonl",
      row({ question: "who", context: "the film", answers: { text: ["anna"], answer_start: [4] } }),
      /row 1: the answer "anna" does not stand at 4/,
    ],
    [
      "no answer at all",
      "answer",
      "a.jsonl",
      row({ question: "who", context: "the film", answers: [] }),
      /none of 1 question has an answer/,
    ],
  ])("data with %s are refused by row", async (_, kind, name, content, why) => {
    await file(name, content);
    const { code, stdout, stderr } = await run([
      kind,
      ...SCRATCH_MODEL,
      "--input",
      name,
      "--output",
      "none",
      ...ADAPTER,
    ]);
    expect(stderr).toMatch(why);
    expect(stderr).toMatch(/^error: .*\n$/);
    expect([code, stdout]).toEqual([2, ""]);
    expect(await readdir(scratch)).not.toContain("none");
  });

  test("a run that the GPU ends is told as such, one that its options end as theirs; both name the last checkpoint", () => {
    let said = "";
    const stderr = vi.spyOn(process.stderr, "write").mockImplementation((text) => {
      said += text;
      return true;
    });
    const lost = new TrainingError(
      3,
      "the GPU device was lost",
      "checkpoint-2",
      new DeviceLostError("unknown", "gone", "try again"),
    );
    const codes = [lost, new TrainingError(3, "the loss is NaN", "checkpoint-2")].map(reportFailure);
    stderr.mockRestore();
    expect(codes).toEqual([1, 2]);
    expect(said).toBe(
      "internal error: step 3: the GPU device was lost; go on from checkpoint-2\n" +
        "error: step 3: the loss is NaN; go on from checkpoint-2\n",
    );
  });

  test("labels that the model does not have are refused by row", async () => {
    const model = join(import.meta.dirname, "../../../weights/movie-bert");
    await file("other.csv", "text,label\ngood,POSITIVE\nbad,negative\nso so,neutral\nhm,7\n");
    const args = ["classify", "--model", model, "--input", "other.csv", "--output", "none", ...ADAPTER];
    const { code, stderr } = await run(args);
    expect(stderr).toMatch(
      /row 3[^;]*: label is "neutral", the model has 0 NEGATIVE, 1 POSITIVE; --new-labels.*row 4.*"7"/,
    );
    expect(stderr).not.toMatch(/row [12]\b/);
    expect(code).toBe(2);
  });
});

describe("trained", () => {
  test.each([
    ["classify", "reviews.csv", "accuracy", 0.9, "text-classification", ["--epochs", "6"]],
    ["tag", "words.conll", "f1", 0.9, "token-classification", ["--epochs", "6"]],
    ["answer", "squad.json", "f1", 0.5, "question-answering", ["--epochs", "12"]],
    ["mlm", "texts.txt", "accuracy", 0.25, "fill-mask", ["--epochs", "16"]],
    ["pretrain", "documents.txt", "next_accuracy", 0.2, "fill-mask", ["--epochs", "3", "--max-length", "24"]],
  ])(
    "%s: it learns, and its folder is a model",
    async (kind, input, metric, least, pipeline, more) => {
      const rate = ["--learning-rate", "5e-3", "--warmup-steps", "0.1", "--metric", metric];
      const { code, stdout, stderr } = await run([
        ...[kind, ...SCRATCH_MODEL, "--input", input, "--eval-split", "0.25", "--output", kind, "--json"],
        ...[...rate, ...more, ...ADAPTER],
      ]);
      expect([code, stderr]).toEqual([
        0,
        expect.stringMatching(/memory of the GPU:\n {2}weights +[\d.]+ MB\n[\s\S]* {2}all +[\d.]+ MB/),
      ]);
      const all = eventsIn(stdout);
      expect(all[0]).toMatchObject({ event: "begin", step: 0, adapter: expect.stringMatching(/./) });
      expect(all.filter(({ event }) => event === "step").length).toBeGreaterThan(0);
      const evaluations = all
        .filter(({ event }) => event === "evaluation")
        .map(({ metrics }) => metrics as Record<string, number>);
      expect(Math.max(...evaluations.map((metrics) => metrics[metric]!))).toBeGreaterThanOrEqual(least);
      expect(evaluations.at(-1)!.loss).toBeLessThan(evaluations[0]!.loss! * 1.2);
      expect(all.at(-1)).toMatchObject({
        event: "end",
        output: kind,
        best: { metric: Math.max(...evaluations.map((m) => m[metric]!)) },
      });
      const card = await readFile(join(scratch, kind, "README.md"), "utf8");
      expect(card).toMatch(new RegExp(`^---\nlibrary_name: transformers\npipeline_tag: ${pipeline}\n`));
      for (const text of [input, "--learning-rate | 0.005", `| ${metric} | `]) expect(card).toContain(text);
      const names = await readdir(join(scratch, kind));
      for (const name of ["config.json", "model.safetensors", "vocab.txt", "README.md"]) expect(names).toContain(name);
      expect(names.filter((name) => name.startsWith("checkpoint-")).length).toBeLessThanOrEqual(2); // the last and the best
      expect(await readFile(join(scratch, kind, "vocab.txt"), "utf8")).toBe(`${VOCABULARY.join("\n")}\n`);
    },
    120_000,
  );

  test("files that are read anew in every epoch", async () => {
    const { code, stdout } = await run([
      ...[
        "mlm",
        ...SCRATCH_MODEL,
        "--input",
        "texts.txt",
        "documents.txt",
        "--output",
        "streamed",
        "--json",
        ...ADAPTER,
      ],
      ...[
        "--shuffle-buffer",
        "20",
        "--epochs",
        "1",
        "--whole-word",
        "--batch-tokens",
        "256",
        "--eval-input",
        "texts.txt",
      ],
    ]);
    expect(code).toBe(0);
    expect(eventsIn(stdout)[0]).toMatchObject({ texts: "192, read anew in each epoch" });
  }, 60_000);

  test("what is there is refused, or replaced with --force", async () => {
    const first = await run(classify("twice", "--max-steps", "2"));
    expect(first.code).toBe(0);
    const before = await hashes("twice");
    const second = await run(classify("twice", "--max-steps", "2"));
    expect([second.code, second.stderr]).toEqual([
      2,
      "error: twice: it is not empty; --force replaces the model in it, --resume goes on with its run\n",
    ]);
    expect(await hashes("twice")).toEqual(before);
    // an adapter's and sentence-transformers' files would make another model of it
    const others = ["adapter_config.json", "adapter_model.safetensors", "modules.json", "special_tokens_map.json"];
    for (const name of [...others, "notes.txt"]) await writeFile(join(scratch, "twice", name), "{}");
    await mkdir(join(scratch, "twice/1_Pooling"));
    expect((await run(classify("twice", "--max-steps", "3", "--force"))).code).toBe(0);
    const names = await readdir(join(scratch, "twice"));
    expect(names).toContain("notes.txt");
    for (const name of [...others, "1_Pooling"]) expect(names).not.toContain(name);
    expect((await readdir(join(scratch, "twice"))).filter((name) => name.startsWith("checkpoint"))).toEqual([
      "checkpoint-3",
    ]);
    expect((await hashes("twice"))["model.safetensors"]).not.toBe(before["model.safetensors"]);
  }, 60_000);
});

describe("interrupted", () => {
  const options = [
    "--max-steps",
    "30",
    "--save-steps",
    "3",
    "--logging-steps",
    "1",
    "--eval-split",
    "0.1",
    "--eval-steps",
    "10",
  ];

  beforeAll(async () => {
    const { code, stdout } = await run(classify("whole", ...options));
    expect(code).toBe(0);
    expect(eventsIn(stdout).filter(({ event }) => event === "step")).toHaveLength(30);
  });

  test("by Ctrl-C it saves, ends as told, and goes on", async () => {
    const ended = await run(classify("stopped", ...options), afterSteps(5, "SIGINT"));
    expect(ended.code).toBe(130);
    const step = Number(/interrupted after step (\d+) of 30: it is saved, --resume goes on\n$/.exec(ended.stderr)?.[1]);
    expect(step).toBeGreaterThanOrEqual(5);
    expect(await readdir(join(scratch, "stopped"))).toEqual([`checkpoint-${step}`]);
    const other = await run(classify("stopped", ...options, "--resume", "--learning-rate", "1e-3"));
    expect([other.code, other.stderr]).toEqual([
      2,
      expect.stringMatching(
        /is of another run; go on with what that began with: learningRate was not set, it is 0.001/,
      ),
    ]);
    const resumed = await run(classify("stopped", ...options, "--resume"));
    expect(resumed.stderr).toContain(`going on from checkpoint-${step}`);
    expect(resumed.code).toBe(0);
    expect((await hashes("stopped"))["model.safetensors"]).toBe((await hashes("whole"))["model.safetensors"]);
    const again = await run(classify("stopped", ...options, "--resume"));
    expect(again.code).toBe(0);
    expect((await hashes("stopped"))["model.safetensors"]).toBe((await hashes("whole"))["model.safetensors"]);
  }, 120_000);

  test.skipIf(!disks)(
    `by a full disk it keeps the last checkpoint${disks ? "" : " (skipped: no mounting here)"}`,
    async () => {
      const checkpoint = join(scratch, "whole/checkpoint-30");
      const sizes = await Promise.all((await readdir(checkpoint)).map(async (name) => stat(join(checkpoint, name))));
      const bytes = sizes.reduce((sum, { size }) => sum + Math.ceil(size / 4096) * 4096, 0);
      await withDisk(Math.floor(bytes * 1.5), async (disk) => {
        const output = join(disk, "model");
        const { code, stderr } = await run(classify(output, ...options));
        expect([code, stderr]).toEqual([
          2,
          expect.stringMatching(
            /\nerror: \S+\/model\/checkpoint-6\/\S+: it cannot be written \(ENOSPC\): no space left on device\n$/,
          ),
        ]);
        expect(await readdir(output)).toEqual(["checkpoint-3"]);
        execFileSync("mount", ["-o", `remount,size=${bytes * 8}`, disk]);
        const resumed = await run(classify(output, ...options, "--resume"));
        expect(resumed.stderr).toContain("going on from checkpoint-3");
        expect(resumed.code).toBe(0);
        expect((await hashes(output))["model.safetensors"]).toBe((await hashes("whole"))["model.safetensors"]);
      });
    },
    120_000,
  );

  test("by a loss that is not finite it says so, and keeps the last checkpoint", async () => {
    const wild = ["--learning-rate", "1e30", "--warmup-steps", "2", "--save-steps", "1"];
    const { code, stderr } = await run(classify("wild", ...wild));
    const [, step, last] =
      /error: step (\d+): the (?:loss|gradient) is .*NaN.*; go on from (checkpoint-\d+)\n$/.exec(stderr) ?? [];
    expect([code, last], stderr).toEqual([2, `checkpoint-${Number(step) - 1}`]);
    expect(await readdir(join(scratch, "wild"))).toEqual([last]);
    const state = JSON.parse(await readFile(join(scratch, "wild", last!, "trainer_state.json"), "utf8"));
    expect(state.global_step).toBe(Number(step) - 1);
  }, 60_000);
});
