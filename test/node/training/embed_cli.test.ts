/** `bert-webgpu train embed` and `evaluate --task retrieval`, run as a user runs them. */

import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { uniforms } from "../../../src/train/initial.ts";
import { run, writeModel } from "../data/command_line.ts";
import { scratch } from "../data/scratch.ts";

const file = scratch();
const WORDS = "a the good bad film movie is was very so dull bright".split(" ");

let model: string;
let dir: string;
beforeAll(async () => {
  const config = { hidden_size: 32, num_attention_heads: 2, max_position_embeddings: 24, vocab_size: 50 };
  model = await writeModel(file, "model", config);
  dir = dirname(model);
  const next = uniforms(5);
  const one = (): string => WORDS[Math.floor(next() * WORDS.length)]!;
  const rows = Array.from({ length: 40 }, (_, i) => {
    const words = [one(), one(), one()];
    return {
      anchor: words.join(" "),
      positive: [...words.slice(1), one()].join(" "),
      negative: `${one()} ${one()}`,
      i,
    };
  });
  await file("pairs.csv", `anchor,positive\n${rows.map((row) => `${row.anchor},${row.positive}`).join("\n")}\n`);
  await file("triplets.jsonl", rows.map((row) => JSON.stringify(row)).join("\n"));
  const scored = rows.map(({ anchor, positive, i }) => `${anchor},${i % 2 ? anchor : positive},${(i % 5) / 4}`);
  await file("scores.csv", `sentence1,sentence2,score\n${scored.join("\n")}\n`);
});

const embed = (input: string, output: string, ...more: string[]): string[] => [
  ...["train", "embed", "--model", model, "--input", join(dir, input), "--output", join(dir, output), ...more],
];

describe("without a GPU", () => {
  test("--help says what it takes", async () => {
    const { code, stdout, stderr } = await run(["train", "embed", "--help"]);
    expect([code, stderr]).toEqual([0, ""]);
    for (const word of ["--matryoshka", "--mini-batch-size", "--pooling", "--negative-column", "mnrl", "mrr@10"])
      expect(stdout).toContain(word);
  });

  const FAULTS: readonly (readonly [what: string, name: string, content: string, more: readonly string[], RegExp])[] = [
    [
      "no score",
      "b.csv",
      "sentence1,sentence2\na,b\n",
      ["--loss", "cosent"],
      /--loss cosent needs a number of each row/,
    ],
    [
      "a score that is no number",
      "b.csv",
      "sentence1,sentence2,score\na,b,1\na,b,high\n",
      [],
      /row 2.*"score" is "high"/,
    ],
    ["an empty score", "b.jsonl", '{"sentence1":"a","sentence2":"b","score":null}', [], /row 1.*"score" is null/],
    ["an empty anchor", "b.csv", 'anchor,positive\na,b\n" ",b\n', [], /row 2[^;]*column "anchor" is empty\n$/],
    ["an empty negative", "b.csv", 'anchor,positive,negative\na,b,""\n', [], /row 1[^;]*column "negative" is empty\n$/],
    ["one row", "b.csv", "anchor,positive\na,b\n", [], /1 row: --loss mnrl holds rows against each other/],
    ["one score", "b.csv", "sentence1,sentence2,score\na,b,1\nb,a,1\n", [], /all 2 rows have the score 1/],
    ["no negative", "b.csv", "anchor,positive\na,b\n", ["--loss", "triplet"], /triplet needs one negative of each row/],
    [
      "other columns",
      "b.csv",
      "question,answer\na,b\n",
      [],
      /no column "anchor", "positive"; it has "question", "answer"/,
    ],
    ["lines alone", "b.txt", "a\nb\n", [], /b\.txt has no column "positive"/],
    ["more dimensions", "pairs.csv", "", ["--matryoshka", "64,8"], /matryoshka has 64, the vectors have 32 dimensions/],
    ["tokens", "pairs.csv", "", ["--batch-tokens", "9", "--mini-batch-size", "2"], /--batch-tokens is given/],
  ];
  test.each(FAULTS)("%s is told", async (_, name, content, more, why) => {
    if (content !== "") await file(name, content);
    const { code, stdout, stderr } = await run(embed(name, "none", ...more));
    expect(stderr).toMatch(why);
    expect([code, stdout]).toEqual([2, ""]);
    expect(await readdir(dir)).not.toContain("none");
  });
});

type Event = Record<string, unknown> & { readonly event: string };
const events = (stdout: string): Event[] =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Event);
const jsonIn = async (output: string, name: string): Promise<Record<string, unknown>> =>
  JSON.parse(await readFile(join(dir, output, name), "utf8"));

describe("trained", () => {
  test("on pairs: files of sentence-transformers, and the figures that evaluate gives", async () => {
    const args = ["--batch-size", "16", "--mini-batch-size", "6", "--matryoshka", "32,8", "--max-length", "12"];
    const more = ["--epochs", "3", "--learning-rate", "2e-3", "--json", "--eval-input", join(dir, "pairs.csv")];
    const { code, stdout, stderr } = await run(embed("pairs.csv", "ranked", ...args, ...more));
    expect([code, stderr.match(/^(error|warning).*/gm)]).toEqual([0, null]);
    const told = events(stdout);
    expect(told[0]).toMatchObject({ event: "begin", loss: "mnrl, of the first 32, 8 dimensions" });
    const { best } = told.at(-1) as Event & { best: { step: number } };
    const evaluated = told.find(({ event, step }) => event === "evaluation" && step === best.step)!;
    expect(await jsonIn("ranked", "sentence_bert_config.json")).toEqual({ do_lower_case: false, max_seq_length: 12 });
    expect(await jsonIn("ranked", "1_Pooling/config.json")).toMatchObject({ pooling_mode_mean_tokens: true });
    expect(await readFile(join(dir, "ranked/README.md"), "utf8")).toMatch(
      /library_name: sentence-transformers\npipeline_tag: sentence-similarity/,
    );
    const input = ["--input", join(dir, "pairs.csv"), "--json"];
    const judged = await run(["evaluate", "--task", "retrieval", "--model", join(dir, "ranked"), ...input]);
    const { figures, rows } = JSON.parse(judged.stdout) as { figures: Record<string, number>; rows: number };
    expect(rows).toBe(40);
    expect(evaluated.metrics).toMatchObject({ "mrr@10": expect.any(Number) });
    for (const [name, value] of Object.entries(evaluated.metrics as Record<string, number>))
      expect(figures[name], name).toBeCloseTo(value, 6);
  }, 120_000);

  test.each([
    ["scores.csv", "cosent", ["--pooling", "cls"], "spearman"],
    ["scores.csv", "cosine", [], "spearman"],
    ["triplets.jsonl", "mnrl", ["--scale", "10"], "mrr@10"],
    ["triplets.jsonl", "triplet", ["--margin", "1", "--pooling", "max"], "mrr@10"],
  ])(
    "on %s by %s, evaluated, resumed with the same options alone",
    async (input, loss, more, metric) => {
      const args = ["--loss", loss, "--max-steps", "4", "--eval-split", "0.2", "--json", ...more];
      const { code, stdout } = await run(embed(input, loss, ...args));
      expect(code).toBe(0);
      expect(events(stdout).find(({ event }) => event === "evaluation")!.metrics).toHaveProperty([metric]);
      const pooling = more[more.indexOf("--pooling") + 1];
      const flag = `pooling_mode_${pooling === "cls" ? "cls_token" : pooling === "max" ? "max_tokens" : "mean_tokens"}`;
      expect(await jsonIn(loss, "1_Pooling/config.json")).toMatchObject({ [flag]: true });
      const weights = await readFile(join(dir, loss, "model.safetensors"));
      const again = await run(embed(input, loss, ...args, "--resume"));
      expect(again.code).toBe(0);
      expect((await readFile(join(dir, loss, "model.safetensors"))).equals(weights)).toBe(true);
      const other = await run(embed(input, loss, ...args, "--resume", "--matryoshka", "16"));
      expect([other.code, other.stderr]).toEqual([
        2,
        expect.stringMatching(/is of another run; go on with what that began with: sentence was/),
      ]);
    },
    120_000,
  );

  test("on a row that is there twice, of which a warning tells", async () => {
    await file("twice.csv", "anchor,positive\nfilm,movie\ngood,fine\nfilm,movie\n");
    const { code, stderr } = await run(embed("twice.csv", "twice", "--max-steps", "1"));
    expect([code, stderr]).toEqual([0, expect.stringMatching(/^warning: 1 row the same as one before: /m)]);
  }, 60_000);

  test("an adapter, which sentence-transformers loads and --lora pools as it was trained", async () => {
    const args = embed("pairs.csv", "adapter", "--lora-rank", "2", "--pooling", "cls", "--max-steps", "2");
    await mkdir(join(dir, "adapter"));
    await writeFile(join(dir, "adapter", "config.json"), "{}"); // of a whole model that was there
    expect((await run([...args, "--force"])).code).toBe(0);
    expect((await run([...args, "--resume"])).code).toBe(0);
    const names = await readdir(join(dir, "adapter"));
    expect(names).toEqual(expect.arrayContaining(["adapter_config.json", "modules.json", "1_Pooling"]));
    expect(names).not.toContain("config.json"); // with it, weights of a whole model are looked for in the folder
    const job = ["embed", "good movie", "--model", model, "--lora", join(dir, "adapter"), "--json"];
    const [own, cls] = await Promise.all([run(job), run([...job, "--pooling", "cls", "--no-normalize"])]);
    expect([own.code, cls.code]).toEqual([0, 0]);
    expect(own.stdout).toBe(cls.stdout);
  }, 120_000);
});
