/** `pipeline` under the names of transformers.js, with the model that ships with the package. */

import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pipeline } from "../../../src/bert/tasks/pipeline.ts";
import { loadPretrained, type Pretrained } from "../../../src/bert/tasks/pretrained.ts";
import { openFolder } from "../../../src/node/folder.ts";
import { Engine } from "../../../src/runtime/engine.ts";
import { testDevice } from "../../device.ts";

const FOLDER = openFolder(join(import.meta.dirname, "../../../weights/movie-bert"));
const GOOD = "a gorgeous , witty , seductive movie .";
const BAD = "Dull, lifeless and far too long.";

let engine: Engine;
let bert: Pretrained;
beforeAll(async () => {
  engine = await Engine.create(await testDevice());
  bert = await loadPretrained(engine, FOLDER);
});
afterAll(() => engine.dispose());

describe("results have the shapes of transformers.js", () => {
  test("text-classification, sentiment-analysis", async () => {
    const classify = await pipeline("sentiment-analysis", bert);
    const best = [{ label: "POSITIVE", score: expect.closeTo(0.999, 2) }];
    expect(await classify(GOOD)).toEqual(best);
    expect(await classify([GOOD, BAD])).toMatchObject([{ label: "POSITIVE" }, { label: "NEGATIVE" }]);
    expect(await classify([GOOD], { top_k: null })).toMatchObject([[{ label: "POSITIVE" }, { label: "NEGATIVE" }]]);
    expect(await classify(GOOD, { top_k: 2, function_to_apply: "none" })).toHaveLength(2);
    expect(await classify({ text: GOOD, text_pair: BAD })).toHaveLength(1);
  });

  test("fill-mask", async () => {
    const fill = await pipeline("fill-mask", bert);
    const one = await fill("one of the best [MASK] of the year .", { top_k: 2 });
    expect(one).toMatchObject([{ token_str: "films" }, {}]);
    expect(await fill("the [MASK] was [MASK] .", { top_k: 2 })).toMatchObject([
      [{}, {}],
      [{}, {}],
    ]);
    expect(await fill(["[MASK] film"], { targets: ["good"] })).toMatchObject([[{ token_str: "good" }]]);
  });

  test("feature-extraction", async () => {
    const extract = await pipeline("feature-extraction", bert);
    const tokens = await extract("a film");
    expect(tokens).toMatchObject({ type: "float32", dims: [1, 4, 192] });
    expect((tokens.tolist() as number[][][])[0]![3]).toEqual(Array.from(tokens.data.subarray(3 * 192)));
    expect(await extract(["a film", "a good film"])).toMatchObject([{ dims: [1, 4, 192] }, { dims: [1, 5, 192] }]);
    const pooled = await extract(["a film", "a good film"], { pooling: "mean", normalize: true });
    expect(pooled.dims).toEqual([2, 192]);
    for (const row of pooled.tolist() as number[][]) expect(Math.hypot(...row)).toBeCloseTo(1, 5);
    const bits = await extract("a film", { pooling: "cls", quantize: true });
    expect(bits).toMatchObject({ type: "int8", dims: [1, 24] });
    expect(bits.data).toBeInstanceOf(Int8Array);
  });

  test("summarization", async () => {
    const summarize = await pipeline("summarization", bert);
    const [summary] = await summarize("It was good. It was bad. It was long.", { sentences: 1 });
    expect(["It was good.", "It was bad.", "It was long."]).toContain(summary!.summary_text);
    expect(await summarize(["It was good.", "It was bad."])).toMatchObject([
      { summary_text: "It was good." },
      { summary_text: "It was bad." },
    ]);
  });

  test("what the model cannot do is refused as the functions refuse it", async () => {
    const tag = await pipeline("ner", bert);
    await expect(async () => tag("x")).rejects.toThrow(/needs a classifier of tokens; its classifier is of sequences/);
    const answer = await pipeline("question-answering", bert);
    await expect(async () => answer("who ?", "me")).rejects.toThrow(/head for start and end/);
    await expect(pipeline("translation" as "ner", bert)).rejects.toThrow(
      /no pipeline "translation"; there are text-class/,
    );
  });
});

test("a folder is loaded on the engine given, with progress, and freed by dispose", async () => {
  const before = engine.memoryUse.bytes;
  const told: number[] = [];
  const classify = await pipeline("text-classification", FOLDER, {
    engine,
    progress_callback: ({ progress }) => told.push(progress),
  });
  expect(told.at(-1)).toBe(100);
  expect(engine.memoryUse.bytes).toBeGreaterThan(before);
  expect(await classify(BAD)).toMatchObject([{ label: "NEGATIVE" }]);
  classify.dispose();
  await expect(classify(BAD)).rejects.toThrow(/disposed/);
});
