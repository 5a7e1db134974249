/** `--input FILE --output OUT` and `evaluate` of the built command line, as a user runs them. `npm test` builds dist/. */

import type { ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { beforeAll, describe, expect, test } from "vitest";
import type { RowValues } from "../../../src/node/data/rows.ts";
import { type Ended, rowsOf, run, writeModel } from "./command_line.ts";
import { scratch } from "./scratch.ts";

const ROOT = join(import.meta.dirname, "../../..");
const SST2 = join(ROOT, "../shared/data/sst2/validation.tsv");

const file = scratch();
/** Two layers of nothing learnt, but fast. */
let tiny: readonly string[];

beforeAll(async () => {
  tiny = ["--model", await writeModel(file, "tiny", {})];
});

describe("a file of texts", () => {
  test("is answered on stdout, or in a file with the numbers of the rows", async () => {
    const input = await file("texts.tsv", 'id\tsentence\n1\ta "good film\n2\tthe movie is dull\n');
    const args = ["classify", ...tiny, "--input", input, "--column", "sentence"];
    const shown = await run([...args, "--json"]);
    expect([shown.code, shown.stderr]).toEqual([0, ""]);
    const lines = shown.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as RowValues);
    expect(lines).toMatchObject([{ text: 'a "good film' }, { text: "the movie is dull" }]);

    const output = await file("labels.csv");
    const written = await run([...args, "--output", output]);
    expect(written).toMatchObject({
      code: 0,
      stdout: "",
      stderr: expect.stringMatching(/^2 rows in .* -> .*labels.csv\n$/),
    });
    expect(await rowsOf(output)).toEqual(
      lines.map(({ text, labels }, i) => {
        const [{ label, score }] = labels as [{ label: string; score: number }];
        return { row: `${i + 1}`, text, label, score: `${score}` };
      }),
    );
    expect(await readdir(dirname(output))).not.toContain("labels.csv.progress.json");
  });

  test("becomes weights of word pieces with embed --sparse, the same on stdout and in a file", async () => {
    const model = ["--model", join(ROOT, "weights/movie-bert")];
    const input = await file("films.txt", "a good film\nvery dull\n");
    const args = ["embed", "--sparse", ...model, "--input", input];
    const shown = await run([...args, "--json"]);
    expect([shown.code, shown.stderr]).toEqual([0, ""]);
    const lines = shown.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as RowValues);
    const [{ sparse_embedding: pieces }] = lines as [{ sparse_embedding: Record<string, string | number>[] }];
    expect(Object.keys(pieces[0]!)).toEqual(["index", "token", "value"]);
    expect(pieces.slice(0, 10).map(({ token }) => token)).toContain("film");
    const values = pieces.map(({ value }) => Number(value));
    expect(values).toEqual([...values].sort((a, b) => b - a));
    const output = await file("sparse.jsonl");
    expect((await run([...args, "--output", output])).code).toBe(0);
    expect(await rowsOf(output)).toEqual(lines.map(({ adapter: _, ...line }, i) => ({ row: i + 1, ...line })));
    const refused = await run(["embed", "--sparse", "--precision", "int8", "a"]);
    expect(refused.stderr).toMatch(/'--sparse' cannot be used with option '--precision/);
  });

  test("may come gzipped on standard input, in any format, and hold pairs", async () => {
    const rows = '{"question":"a good film","context":"very good"}\n{"question":"bad","context":"so dull"}\n';
    const output = await file("pairs.jsonl");
    const args = ["classify", ...tiny, "--input", "-", "--format", "jsonl", "--column", "question"];
    const more = ["--pair-column", "context", "--top-k", "all", "--output", output];
    expect((await run([...args, ...more], { input: gzipSync(rows) })).code).toBe(0);
    expect(await rowsOf(output)).toEqual([
      { row: 1, text: "a good film", text_pair: "very good", labels: expect.arrayContaining([expect.anything()]) },
      { row: 2, text: "bad", text_pair: "so dull", labels: expect.arrayContaining([expect.anything()]) },
    ]);
  });

  test("becomes vectors in .npy and Parquet, the same ones", async () => {
    const input = await file("some.txt", "a good film\nthe movie\n\nis dull\n");
    const [npy, parquet] = [await file("v.npy"), await file("v.parquet")];
    for (const output of [npy, parquet]) {
      expect((await run(["embed", ...tiny, "--input", input, "--output", output])).code).toBe(0);
    }
    const matrix = new Float32Array(Uint8Array.from((await readFile(npy)).subarray(128)).buffer);
    const rows = await rowsOf(parquet);
    expect(matrix).toHaveLength(4 * 16);
    expect(rows.map(({ row, text }) => [row, text])).toEqual([
      [1, "a good film"],
      [2, "the movie"],
      [3, ""],
      [4, "is dull"],
    ]);
    expect(rows.flatMap(({ embedding }) => embedding)).toEqual([...matrix]);
  });

  test("what cannot be is refused before anything is written", async () => {
    const input = await file("few.csv", "body,label\nx,1\n");
    const [output, there] = [await file("never.csv"), await file("there.csv", "precious\n")];
    for (const [args, why] of [
      [["classify", "--input", input, "--output", output], /few.csv has no column "text"; it has "body", "label"/],
      [["classify", "--input", input, "--column", "body", "--output", there], /there.csv: it exists/],
      [["classify", "--input", input, "--column", "body", "--output", `${output}.txt`], /its name tells no format/],
      [["classify", "--input", input, "--column", "body", "--output", `${output}.npy`], /holds vectors alone/],
      [["classify", "--input", "-", "--output", output, "--resume"], /standard input cannot be read again/],
      [["classify", "--input", `${input}.gone`], /there is no such file/],
      [["classify", "x", "--input", input], /give either TEXT or --input/],
      [["classify", "x", "--output", output], /--output needs --input/],
      [["classify", "x", "--resume"], /--resume needs --output/],
      [["answer", "what"], /required option '--context <TEXT>' not specified/],
      [["similarity", "x"], /missing required argument 'TEXT', or a file/],
      [["evaluate", "--task", "sts"], /required option '--input <FILE>' not specified/],
    ] as const) {
      const { code, stdout, stderr } = await run([...args, ...tiny]);
      expect([code, stdout], args.join(" ")).toEqual([2, ""]);
      expect(stderr).toMatch(/^error: .*\n$/);
      expect(stderr).toMatch(why);
    }
    expect(await readFile(there, "utf8")).toBe("precious\n");
    expect((await readdir(dirname(output))).filter((name) => name.startsWith("never"))).toEqual([]);
  });

  test("a bad row stops the run after those before it; skipped, it is reported and counted", async () => {
    const lines = [
      '{"text":"a film"}',
      '{"text":7}',
      "",
      "{",
      '{"body":"x"}',
      '{"text":"[MASK] film"}',
      '{"text":"no mask"}',
    ];
    const input = await file("rows.jsonl", lines.join("\n"));
    const output = await file("rows.out.jsonl");
    const args = ["classify", ...tiny, "--input", input, "--output", output];
    const stopped = await run(args);
    expect(stopped.code).toBe(2);
    expect(stopped.stderr).toMatch(
      /rows.out.jsonl has the results up to row 1; --resume goes on\nerror: .*rows.jsonl: row 2: column "text" is a number, it must be text; --on-error skip leaves such rows out\n$/,
    );
    expect(await rowsOf(output)).toMatchObject([{ row: 1 }]);
    const skipped = await run([...args, "--resume", "--on-error", "skip"]);
    expect(skipped.code).toBe(0);
    expect(skipped.stderr).toMatch(
      /^going on after row 1\nwarning: .*row 2: .*\nwarning: .*row 3 \(line 4\): not valid JSON/,
    );
    expect(skipped.stderr).toMatch(
      /row 4 \(line 5\): no column "text"; it has "body"\n5 rows in .*, 3 of them left out -> /,
    );
    expect((await rowsOf(output)).map(({ row }) => row)).toEqual([1, 5, 6]);
    // and what the task itself refuses
    const masks = await run(["fill-mask", "--input", input, "--on-error", "skip", "--json"]);
    expect(masks.stdout.trimEnd().split("\n")).toHaveLength(1);
    expect(masks.stderr).toMatch(/row 6 \(line 7\): text 6 has no \[MASK\]: "no mask"/);
  });
});

describe.skipIf(process.platform === "win32")("a run that is interrupted", () => {
  const COUNT = 6000;

  /** Ends it as soon as it has written something. */
  const killed = (output: string, signal: NodeJS.Signals) => async (child: ChildProcess) => {
    const size = (path: string): Promise<number> =>
      stat(path)
        .then(({ size }) => size)
        .catch(() => 0);
    const before = Math.max(await size(output), await size(`${output}.partial`));
    while (child.exitCode === null && (await size(`${output}.partial`)) <= before) await setTimeout(2);
    child.kill(signal);
  };

  test("by Ctrl-C leaves a valid file, by kill -9 none; --resume goes on exactly once per row", async () => {
    const input = await file("many.txt", Array.from({ length: COUNT }, (_, i) => `a good film ${i}\n`).join(""));
    const output = await file("many.jsonl");
    const args = ["embed", ...tiny, "--input", input, "--output", output];
    const first = await run(args, { watch: killed(output, "SIGINT") });
    expect(first.code).toBe(130);
    expect(first.stderr).toMatch(/many.jsonl has the results up to row \d+; --resume goes on\n$/);
    const begun = await rowsOf(output);
    expect(begun.map(({ row }) => row)).toEqual(begun.map((_, i) => i + 1));
    expect(begun.length).toBeGreaterThan(0);

    const other = await run([...args, "--resume", "--pooling", "cls"]);
    expect(other.stderr).toMatch(/the unfinished run is another one: pooling was null, now "cls"/);
    const changed = await file("changed.txt", "another\n");
    const elsewhere = await run([...args, "--resume", "--input", changed]);
    expect(elsewhere.stderr).toMatch(/input was "\d+ bytes, sha256 .*", now "8 bytes, sha256 /);

    const second = await run([...args, "--resume"], { watch: killed(output, "SIGKILL") });
    expect(second.code).toBe(null);
    expect(existsSync(output)).toBe(false);
    const third = await run([...args, "--resume"]);
    expect(third.code).toBe(0);
    expect(third.stderr).toMatch(/^going on after row \d+\n[\d,]+ rows in /);
    const rows = await rowsOf(output);
    expect(rows.map(({ row, text }) => [row, text])).toEqual(
      Array.from({ length: COUNT }, (_, i) => [i + 1, `a good film ${i}`]),
    );
    expect((await readdir(dirname(output))).filter((name) => name.startsWith("many.jsonl"))).toEqual(["many.jsonl"]);
  });
});

describe.skipIf(process.platform === "win32")("an output that is there", () => {
  test("stays whole through Ctrl-C with --force, and a second job is refused meanwhile", async () => {
    const input = await file("again.txt", Array.from({ length: 6000 }, (_, i) => `a good film ${i}\n`).join(""));
    const output = await file("again.jsonl", "precious\n");
    const args = ["embed", ...tiny, "--input", input, "--output", output];
    let second: Promise<Ended> | undefined;
    const first = await run([...args, "--force"], {
      async watch(child) {
        while (child.exitCode === null && !existsSync(`${output}.lock`)) await setTimeout(2);
        second = run([...args, "--force"]);
        const size = async (): Promise<number> => (await stat(`${output}.partial`).catch(() => undefined))?.size ?? 0;
        while (child.exitCode === null && (await size()) === 0) await setTimeout(2);
        child.kill("SIGINT");
      },
    });
    expect(await second).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/another job, process \d+, is writing it/),
    });
    expect(first.code).toBe(130);
    expect(first.stderr).toMatch(/again.jsonl is as it was before; .*again.jsonl.partial has results up to row \d+/);
    expect(await readFile(output, "utf8")).toBe("precious\n");
    expect((await run(args)).stderr).toMatch(/it exists as an unfinished run/);
    expect((await run([...args, "--resume"])).code).toBe(0);
    expect(await rowsOf(output)).toHaveLength(6000);
    const once = await run([...args, "--resume"]);
    expect(once).toMatchObject({ code: 0, stderr: expect.stringMatching(/is complete already \(6000 rows\)/) });
  });

  test("and is a file of the model is refused, by every job", async () => {
    const path = await writeModel(file, "own", {});
    const input = await file("own.csv", "text,label\na film,0\n");
    const args = ["--model", path, "--input", input, "--force"];
    for (const name of ["config.json", "model.safetensors", "vocab.txt"]) {
      const victim = join(path, name);
      const before = await readFile(victim);
      for (const job of [
        ["classify", ...args, "--output", victim, "--output-format", "jsonl"],
        ["embed", ...args, "--output", victim, "--output-format", "npy"],
        ["evaluate", ...args, "--task", "text-classification", "--report", victim],
      ]) {
        const { code, stderr } = await run(job);
        expect([code, stderr], job.join(" ")).toEqual([
          2,
          `error: ${victim}: it is the input ${victim}; name another output\n`,
        ]);
      }
      expect((await readFile(victim)).equals(before)).toBe(true);
    }
    expect((await readdir(path)).sort()).toEqual(["config.json", "model.safetensors", "vocab.txt"]);
  });

  test("what is no text in the model's folder is the user's to mend", async () => {
    const path = await writeModel(file, "no_text", {});
    const input = await file("text.txt", "a film\n");
    for (const name of ["modules.json", "artifact.metadata"]) {
      await writeFile(join(path, name), Uint8Array.of(0xff));
      const refused = await run(["classify", "--model", path, "--input", input, "--output", await file("text.csv")]);
      expect([refused.code, refused.stderr]).toEqual([2, `error: ${join(path, name)}: not UTF-8\n`]);
      await rm(join(path, name));
    }
  });

  test("of other weights or another tokenizer is not gone on with", async () => {
    const path = await writeModel(file, "changing", {});
    const input = await file("two.txt", "a film\nthe movie\n");
    const output = await file("two.csv");
    const args = ["classify", "--model", path, "--input", input, "--output", output];
    expect((await run(args)).code).toBe(0);
    const before = await readFile(output);
    for (const name of ["model.safetensors", "vocab.txt"]) {
      const bytes = await readFile(join(path, name));
      const other = Buffer.from(bytes);
      other[bytes.length - 1]! ^= 1;
      await writeFile(join(path, name), other);
      const refused = await run([...args, "--resume"]);
      expect(refused.code).toBe(2);
      expect(refused.stderr).toMatch(new RegExp(`another one: ${name} was .*--force replaces it`));
      await writeFile(join(path, name), bytes);
    }
    expect((await run([...args, "--resume"])).stderr).toMatch(/complete already \(2 rows\)/);
    expect(await readFile(output)).toEqual(before);
    const shown = await run([...args.slice(0, -1), "-", "--output-format", "csv"]);
    expect([shown.code, shown.stdout]).toEqual([0, before.toString()]);
    const devices = await run([...args.slice(0, -1), "/dev/full", "--output-format", "csv", "--force"]);
    expect(devices).toMatchObject({ code: 2, stderr: expect.stringMatching(/dev.full: it is a device/) });
  });
});

describe("evaluate", () => {
  test("tells what is right, in text, JSON and SVG", async () => {
    const rows = ["good film,LABEL_0", "dull movie,1", "very bad,label_1", "the film,perhaps"];
    const input = await file("labelled.csv", `text,label\n${rows.join("\n")}\n`);
    const report = await file("report.svg");
    const args = ["evaluate", ...tiny, "--task", "text-classification", "--input", input];
    const stopped = await run(args);
    expect(stopped).toMatchObject({ code: 2, stdout: "" });
    expect(stopped.stderr).toMatch(
      /row 4 \(line 5\): column "label" is "perhaps", the model's labels are 0 LABEL_0, 1 LABEL_1/,
    );
    const human = await run([...args, "--on-error", "skip", "--report", report]);
    expect(human.stdout).toMatch(/^3 rows, 1 left out\naccuracy {2}(0|1)\.\d{4}\n/);
    expect(human.stdout).toMatch(/^LABEL_0 +\d\.\d{4} +\d\.\d{4} +\d\.\d{4} +1$/m);
    const { stdout } = await run([...args, "--on-error", "skip", "--json"]);
    const found = JSON.parse(stdout) as { rows: number; skipped: number; confusion: { counts: number[][] } };
    expect(found).toMatchObject({
      task: "text-classification",
      rows: 3,
      skipped: 1,
      confusion: { labels: ["LABEL_0", "LABEL_1"] },
    });
    expect(found.confusion.counts.map(([a, b]) => a! + b!)).toEqual([1, 2]);
    const svg = await readFile(report, "utf8");
    expect(svg).toMatch(/^<svg [^>]*>[\s\S]*LABEL_1[\s\S]*<\/svg>\n$/);
    const again = await run([...args, "--on-error", "skip", "--report", report]);
    expect(again).toMatchObject({ code: 2, stdout: "", stderr: `error: ${report}: it exists; --force replaces it\n` });
    const over = await run([...args, "--report", input, "--force"]);
    expect(over.stderr).toMatch(/labelled.csv: it is the input/);
    expect((await run([...args, "--on-error", "skip", "--report", "-"])).stdout).toBe(svg);
    const labels = { id2label: { 0: "\u009b31m", 1: "b" } };
    const evil = ["--model", await writeModel(file, "evil", labels), "--task", "text-classification"];
    const numbered = await file("numbered.csv", "text,label\ngood film,0\nbad film,1\n");
    const { stderr } = await run(["evaluate", ...evil, "--input", numbered, "--report", "-", "--json"]);
    expect(stderr).toContain("\\u009b31m");
    expect(stderr).not.toMatch(/(?!\n)\p{Cc}/u);
  });

  test("takes a word for what its first piece is", async () => {
    const id2label = { 0: "O", 1: "B-X" };
    const model = [
      "--model",
      await writeModel(file, "ner", { architectures: ["BertForTokenClassification"], id2label }),
    ];
    const words = ["a", "very", "good0", "film", "dull1", "so"];
    const tagged = await run(["tag", ...model, words.join(" "), "--strategy", "none", "--ignore", "none", "--json"]);
    const { entities } = JSON.parse(tagged.stdout) as { entities: { entity: string; word: string }[] };
    expect(entities).toHaveLength(words.length + 2);
    const tags = entities.filter(({ word }) => !word.startsWith("##")).map(({ entity }) => entity);
    const conll = await file("right.conll", words.map((word, i) => `${word}\t${tags[i]}\n`).join(""));
    const right = await run(["evaluate", ...model, "--task", "token-classification", "--input", conll, "--json"]);
    expect(JSON.parse(right.stdout)).toMatchObject({ rows: 1, figures: { "word accuracy": 1 } });
    const swapped = tags.map((tag) => (tag === "O" ? 1 : 0));
    const wrong = await file("wrong.jsonl", `${JSON.stringify({ tokens: words, tags: swapped })}\n`);
    const { stdout } = await run(["evaluate", ...model, "--task", "token-classification", "--input", wrong, "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ figures: { f1: 0, "word accuracy": 0 } });
  });

  test("correlates similarities with scores", async () => {
    const input = await file("sts.csv", "a good film,a good film,5\na film,the movie,2\nso bad,the dull movie,1\n");
    const args = ["evaluate", ...tiny, "--task", "sts", "--input", input, "--no-header", "--json"];
    const { code, stdout } = await run([...args, "--column", "1", "--pair-column", "2", "--label-column", "3"]);
    expect(code).toBe(0);
    const { figures, points } = JSON.parse(stdout) as { figures: Record<string, number>; points: [number, number][] };
    expect(points[0]).toEqual([5, expect.closeTo(1, 5)]);
    expect(figures.spearman).toBeGreaterThanOrEqual(0.5);
  });

  test("masks every 7th piece", async () => {
    const input = await file("masks.txt", "this movie is the best film of the year .\na gorgeous film .\n");
    const { stdout } = await run(["evaluate", "--task", "fill-mask", "--input", input, "--json"]);
    // of 10 pieces the 1st and the 8th, of 4 none: the second text begins with the 7th
    expect(JSON.parse(stdout)).toMatchObject({ rows: 2, figures: { "masked pieces": 2 } });
  });

  test.skipIf(!existsSync(SST2))(
    "82 of the first 96 of SST-2 (of all 872: 730), of ../shared (skipped where that is not there)",
    async () => {
      const lines = (await readFile(SST2, "utf8")).split("\n");
      const input = await file("sst2.tsv", lines.slice(0, 97).join("\n"));
      const args = ["evaluate", "--task", "text-classification", "--input", input, "--column", "sentence", "--json"];
      const { code, stdout } = await run(args);
      expect(code).toBe(0);
      const { figures, confusion } = JSON.parse(stdout) as { figures: object; confusion: { counts: number[][] } };
      expect(figures).toEqual({ accuracy: 82 / 96 });
      expect(confusion.counts).toEqual([
        [35, 10],
        [4, 47],
      ]);
    },
  );
});
