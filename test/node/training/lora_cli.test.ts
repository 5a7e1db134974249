/** An adapter from its training to its use and its merge, on the command line, over the bundled model. */

import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bundledModel, classifyText, createEngine, loadPretrained } from "../../../src/node/index.ts";

const MAIN = join(import.meta.dirname, "../../../dist/node/main.js");
const ADAPTER = ["--adapter", process.env.BERT_WEBGPU_ADAPTER || "auto"];
const BASE = bundledModel();
const TEXTS = ["a fine film", "who made it", "dull , really awful"];

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "bert-webgpu-lora-"));
  const rows = Array.from({ length: 36 }, (_, i) => {
    const [word, label] = [
      ["fine", "joy"],
      ["awful", "gloom"],
      ["story", "plain"],
    ][i % 3] as [string, string];
    return `the ${["film", "time", "place", "end"][i % 4]} was ${word} ,${label}`;
  });
  await writeFile(join(scratch, "rows.csv"), `text,label\n${rows.join("\n")}\n`);
});
afterAll(() => rm(scratch, { recursive: true }));

async function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const told = promisify(execFile)(process.execPath, [MAIN, ...args], { cwd: scratch });
  return told.then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
  );
}

const scoresOf = (stdout: string): [label: string, score: number][] =>
  stdout
    .trimEnd()
    .split("\n")
    .flatMap((line) => JSON.parse(line).labels)
    .map(({ label, score }) => [label, score]);

describe("an adapter", () => {
  const train = ["train", "classify", "--model", BASE, "--input", "rows.csv", "--output", "adapter", "--new-labels"];
  const lora = ["--lora-rank", "2", "--lora-targets", "query,value,dense", "--epochs", "2", "--learning-rate", "1e-2"];

  test("is trained, used and merged", async () => {
    const trained = await run(...train, ...lora, "--eval-split", "0.2", ...ADAPTER);
    expect([trained.code, trained.stderr]).toEqual([0, expect.stringContaining("frozen weights")]);
    const files = await readdir(join(scratch, "adapter"));
    expect(files).toEqual(expect.arrayContaining(["adapter_config.json", "adapter_model.safetensors", "README.md"]));
    for (const name of ["model.safetensors", "config.json"]) expect(files).not.toContain(name);
    expect(await readFile(join(scratch, "adapter/README.md"), "utf8")).toMatch(/library_name: peft[\s\S]*- lora/);

    const used = await run("classify", ...TEXTS, "--lora", "adapter", "--json", "--top-k", "3", ...ADAPTER);
    const scores = scoresOf(used.stdout);
    expect(new Set(scores.map(([label]) => label))).toEqual(new Set(["joy", "gloom", "plain"]));
    const engine = await createEngine({ adapter: process.env.BERT_WEBGPU_ADAPTER || "auto" });
    const pretrained = await loadPretrained(engine, BASE, { lora: join(scratch, "adapter") });
    const answers = (await classifyText(pretrained, TEXTS, { topK: 3 }))
      .flat()
      .map(({ label, score }) => [label, score]);
    expect(answers).toEqual(scores);
    const taken = engine.memoryUse.bytes;
    pretrained.model.dispose(); // and the base, which nobody else has
    expect(taken - engine.memoryUse.bytes).toBeGreaterThan(10e6);
    engine.dispose();

    const job = ["classify", "--input", "rows.csv", "--column", "text", "--lora", "adapter", ...ADAPTER];
    expect((await run(...job, "--output", "out.jsonl")).code).toBe(0);
    const config = join(scratch, "adapter/merged_config.json");
    const before = await readFile(config, "utf8");
    await writeFile(config, before.replace("gloom", "sorrow"));
    const changed = await run(...job, "--output", "out.jsonl", "--resume");
    expect([changed.code, changed.stderr]).toEqual([2, expect.stringContaining("lora/merged_config.json")]);
    await writeFile(config, before);
    const over = await run(...job, "--output", "adapter/merged_config.json", "--force");
    expect([over.code, over.stderr]).toEqual([2, expect.stringContaining("config.json")]);

    await mkdir(join(scratch, "merged"));
    await copyFile(config, join(scratch, "merged/config.json"));
    await copyFile(join(BASE, "vocab.txt"), join(scratch, "merged/vocab.txt"));
    const merged = await run("convert", BASE, "merged/model.safetensors", "--merge-lora", "adapter", "--dtype", "f32");
    expect([merged.code, merged.stderr]).toEqual([0, ""]);
    const whole = scoresOf(
      (await run("classify", ...TEXTS, "--model", "merged", "--json", "--top-k", "3", ...ADAPTER)).stdout,
    );
    expect(whole.map(([label]) => label)).toEqual(scores.map(([label]) => label));
    for (const [i, [, score]] of whole.entries()) expect(Math.abs(score - scores[i]![1])).toBeLessThan(1e-5);
    const own = await run("convert", BASE, "adapter/adapter_model.safetensors", "--merge-lora", "adapter", "--force");
    expect([own.code, own.stderr]).toEqual([2, expect.stringContaining("adapter_model.safetensors")]);
  }, 120_000);

  test("what is wrong with options and folders is told", async () => {
    await mkdir(join(scratch, "alone"));
    await writeFile(join(scratch, "alone/adapter_config.json"), "{}");
    for (const [args, why] of [
      [[...train, "--lora-alpha", "4"], /--lora-alpha, --lora-targets and --lora-dropout need --lora-rank/],
      [[...train, ...lora, "--freeze", "encoder"], /--lora-rank freezes all but adapters/],
      [[...train, "--lora-rank", "2", "--lora-alpha", "0"], /^error: .*'--lora-alpha <A>'.*must be above 0/],
      [[...train, "--lora-rank", "2", "--lora-targets", "query,keys"], /There are query, key, value and dense/],
      [[...train, "--freeze", "head"], /There are embeddings, layers:A-B or layers:N \(from 0\), encoder and pooler/],
      [
        [...train, "--model", "alone", "--output", "other"],
        /^error: \S*alone is an adapter, not a model; merge it into its base first: convert BASE OUT\.safetensors --merge-lora \S*alone\n$/,
      ],
      [["classify", "x", "--lora", "rows.csv"], /rows\.csv: a file; give the folder that holds adapter_config\.json/],
      [["convert", BASE, "out.safetensors", "--merge-lora", "."], /there is no adapter_config\.json/],
    ] as const) {
      const { code, stderr } = await run(...args, ...(args[0] === "convert" ? [] : ADAPTER));
      expect([code, stderr]).toEqual([2, expect.stringMatching(why)]);
    }
  });
});
