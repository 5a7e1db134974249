/** Sentence embeddings: poolings, precisions, and what sentence-transformers keeps beside a model. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { extractFeatures } from "../../../src/bert/tasks/feature_extraction.ts";
import { POOLINGS, type Pooling, poolTokens } from "../../../src/bert/tasks/pooling.ts";
import { quantize, rangesOf } from "../../../src/bert/tasks/precision.ts";
import { loadPretrained, type Pretrained } from "../../../src/bert/tasks/pretrained.ts";
import { embedText } from "../../../src/bert/tasks/sentence_embedding.ts";
import { compareSentences } from "../../../src/bert/tasks/similarity.ts";
import { Engine } from "../../../src/runtime/engine.ts";
import { testDevice } from "../../device.ts";
import { TINY } from "../tiny.ts";
import { tinyTask } from "./tiny_task.ts";

const HIDDEN = TINY.hidden_size;
const TEXTS = ["the film was good .", "a bad movie", "it was long and dull , and they are not in it .", ""];

let engine: Engine;
let plain: Pretrained;
beforeAll(async () => {
  engine = await Engine.create(await testDevice());
  plain = await loadPretrained(engine, tinyTask());
});
afterAll(() => engine.dispose());

const lengthOf = (vector: ArrayLike<number>): number => Math.hypot(...Array.from(vector));

/** Values of order 1 that the GPU rounds to f32 after sums of at most 14 terms. */
function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, bound = 2e-6): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) expect(Math.abs(actual[i]! - expected[i]!)).toBeLessThan(bound);
}

describe("pooling", () => {
  test.each(POOLINGS)("%s is what its formula gives of the tokens' vectors", async (pooling) => {
    const features = await extractFeatures(plain, TEXTS);
    const vectors = await embedText(plain, TEXTS, { pooling, normalize: false });
    features.forEach(({ shape, data }, i) => {
      const tokens = Array.from({ length: shape[0]! }, (_, t) =>
        Array.from(data.subarray(t * HIDDEN, (t + 1) * HIDDEN)),
      );
      expectClose(vectors[i]!, byFormula(tokens, pooling));
    });
  });

  test("of several stands one after another", async () => {
    const one = async (pooling: Pooling) =>
      Array.from((await embedText(plain, TEXTS, { pooling, normalize: false }))[0]!);
    const both = await embedText(plain, TEXTS, { pooling: ["cls", "mean"], normalize: false });
    expectClose(both[0]!, [...(await one("cls")), ...(await one("mean"))]);
  });

  test("leaves out what stands before `from`, but counts positions from the beginning", () => {
    const rows = [
      [1, 10],
      [2, 20],
      [4, 40],
    ];
    expect([...poolTokens(rows, "mean", 1)]).toEqual([3, 30]);
    expect([...poolTokens(rows, "weighted_mean", 1)]).toEqual([16 / 5, 160 / 5]);
    expect([...poolTokens(rows, "cls", 1)]).toEqual([2, 20]);
    expect([...poolTokens(rows, "last_token", 1)]).toEqual([4, 40]);
  });

  function byFormula(tokens: number[][], pooling: Pooling): number[] {
    const column = (i: number): number[] => tokens.map((row) => row[i]!);
    const sum = (values: number[]): number => values.reduce((total, x) => total + x, 0);
    const n = tokens.length;
    const of: Record<Pooling, (values: number[]) => number> = {
      cls: ([first]) => first!,
      max: (values) => Math.max(...values),
      mean: (values) => sum(values) / n,
      mean_sqrt_len: (values) => sum(values) / Math.sqrt(n),
      weighted_mean: (values) => sum(values.map((x, i) => (i + 1) * x)) / ((n * (n + 1)) / 2),
      last_token: (values) => values.at(-1)!,
    };
    return Array.from({ length: HIDDEN }, (_, i) => of[pooling](column(i)));
  }
});

describe("vectors", () => {
  test("have length 1 unless they are left as they are, also when cut short", async () => {
    for (const vector of await embedText(plain, TEXTS)) expect(lengthOf(vector)).toBeCloseTo(1, 6);
    const [whole] = await embedText(plain, TEXTS, { normalize: false });
    const [short] = await embedText(plain, TEXTS, { truncateDim: 5, normalize: false });
    expectClose(short!, whole!.subarray(0, 5));
    const [unit] = await embedText(plain, TEXTS, { truncateDim: 5 });
    expect(unit).toHaveLength(5);
    expect(lengthOf(unit!)).toBeCloseTo(1, 6);
    await expect(async () => embedText(plain, TEXTS, { truncateDim: 17 })).rejects.toThrow(/17, the vectors have 16/);
  });

  test("in bytes between given ranges are as sentence-transformers computes them", () => {
    const ranges = { min: [0, -1, 0], max: [255, 1, 0] };
    // (x - min) / ((max - min) / 255) - 128, towards zero; and no range at all is no division by zero
    expect([...quantize(Float32Array.of(3.7, 0.25, 0), "int8", ranges)]).toEqual([-124, 31, -128]);
    expect([...quantize(Float32Array.of(999, -9, 5), "uint8", ranges)]).toEqual([255, 0, 5]);
    const calibrated = rangesOf([Float32Array.of(1, 5), Float32Array.of(3, -5)]);
    expect([...quantize(Float32Array.of(3, -5), "uint8", calibrated)]).toEqual([255, 0]);
    expect(() => quantize(Float32Array.of(1), "int8", ranges)).toThrow(/ranges have 3 and 3 dimensions.* 1/);
  });

  test("in bytes without ranges keep their direction", async () => {
    const [vector] = await embedText(plain, TEXTS);
    const [bytes] = await embedText(plain, TEXTS, { precision: "int8" });
    expect(bytes).toBeInstanceOf(Int8Array);
    expect(Math.max(...bytes!.map(Math.abs))).toBe(127);
    const dot = vector!.reduce((sum, x, i) => sum + x * bytes![i]!, 0);
    expect(dot / lengthOf(bytes!)).toBeGreaterThan(0.9999);
  });

  test("in bits have the first value highest", () => {
    const vector = Float32Array.of(1, -1, 0, 2, -3, -1, -1, 0.5, 1);
    expect([...quantize(vector, "ubinary")]).toEqual([0b10010001, 0b10000000]);
    expect([...quantize(vector, "binary")]).toEqual([0b10010001 - 128, 0]);
  });
});

describe("sentence-transformers", () => {
  const module = (kind: string, path: string): object => ({ path, type: `sentence_transformers.models.${kind}` });
  const POOLING = { word_embedding_dimension: HIDDEN, pooling_mode_cls_token: true, pooling_mode_mean_tokens: false };
  const files = (kinds: [kind: string, path: string][], more: Record<string, object> = {}) => ({
    "modules.json": JSON.stringify(kinds.map(([kind, path]) => module(kind, path))),
    "1_Pooling/config.json": JSON.stringify(POOLING),
    ...Object.fromEntries(Object.entries(more).map(([name, file]) => [name, JSON.stringify(file)])),
  });
  const BASIC: [string, string][] = [
    ["Transformer", ""],
    ["Pooling", "1_Pooling"],
  ];

  test("modules.json and 1_Pooling/config.json are honoured, and options go before them", async () => {
    const folder = tinyTask({ files: files(BASIC) });
    const pretrained = await loadPretrained(engine, folder);
    const cls = await embedText(plain, TEXTS, { pooling: "cls", normalize: false });
    const vectors = await embedText(pretrained, TEXTS);
    for (const [i, vector] of vectors.entries()) expectClose(vector, cls[i]!);
    const [mean] = await embedText(pretrained, TEXTS, { pooling: "mean", normalize: true });
    expectClose(mean!, (await embedText(plain, TEXTS))[0]!);
    pretrained.model.dispose();
  });

  test("prompts are put before texts, and left out of pooling where the folder says so", async () => {
    const prompts = { prompts: { query: "is it ", document: "" }, default_prompt_name: "query" };
    const load = (pooling: object) =>
      loadPretrained(
        engine,
        tinyTask({
          files: {
            ...files(BASIC, { "config_sentence_transformers.json": prompts }),
            "1_Pooling/config.json": JSON.stringify(pooling),
          },
        }),
      );
    const pooled = await load({ pooling_mode_mean_tokens: true });
    const mean = { pooling: "mean", normalize: false } as const;
    const [prompted, bare] = await embedText(plain, ["is it good", "good"], mean);
    expectClose((await embedText(pooled, ["good"]))[0]!, prompted!);
    expectClose((await embedText(pooled, ["good"], { promptName: "document" }))[0]!, bare!);
    expectClose((await embedText(pooled, ["good"], { prompt: "is it " }))[0]!, prompted!);
    await expect(async () => embedText(pooled, ["good"], { promptName: "title" })).rejects.toThrow(
      /"title"; there are: query, document/,
    );

    const unpooled = await load({ pooling_mode_mean_tokens: true, include_prompt: false });
    const [tokens] = await extractFeatures(plain, ["is it good"]);
    // [CLS] is it | good [SEP]
    const rows = Array.from({ length: 5 }, (_, i) => tokens!.data.subarray(i * HIDDEN, (i + 1) * HIDDEN));
    expectClose((await embedText(unpooled, ["good"]))[0]!, poolTokens(rows, "mean", 3));
    for (const { model } of [pooled, unpooled]) model.dispose();
  });

  test("max_seq_length cuts, with a warning, and similarity_fn_name compares", async () => {
    const pretrained = await loadPretrained(
      engine,
      tinyTask({
        files: files(BASIC, {
          "sentence_bert_config.json": { max_seq_length: 5 },
          "config_sentence_transformers.json": { similarity_fn_name: "dot" },
        }),
      }),
    );
    const warnings: string[] = [];
    const onWarning = (message: string): void => void warnings.push(message);
    await embedText(pretrained, ["the film was good and long ."], { onWarning });
    expect(warnings).toEqual([expect.stringMatching(/has 9 tokens, the model takes 5/)]);
    const [a, b] = await embedText(pretrained, ["a film", "a movie"]);
    const [similarities] = await compareSentences(pretrained, [{ source_sentence: "a film", sentences: ["a movie"] }]);
    expect(similarities![0]).toBeCloseTo(
      a!.reduce((sum, x, i) => sum + x * b![i]!, 0),
      4,
    );
    pretrained.model.dispose();
  });
});
