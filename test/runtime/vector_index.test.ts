/** Semantic search against a float64 twin. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cosine, dot } from "../../src/bert/tasks/vectors.ts";
import { requestDevice } from "../../src/node/device.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { GpuError } from "../../src/runtime/errors.ts";
import { createIndex, type SearchHit, type SearchScore, semanticSearch } from "../../src/runtime/vector_index.ts";
import { testDevice } from "../device.ts";
import { random } from "../support.ts";
import { limitedDevice } from "./counting.ts";
import { faultyDevice } from "./faulty.ts";

function vectorsOf(count: number, dimensions: number, seed: number): Float32Array[] {
  const next = random(seed);
  return Array.from({ length: count }, () => Float32Array.from({ length: dimensions }, () => 4 * next() - 2));
}

const SCORES = { cosine, dot };

/**
 * Scores are those of the twin up to the rounding of a sum in f32: half a unit of the last place for each of its terms, and
 * one for each operand; hits are the best ones, and in order, as far as that tells.
 */
function expectBest(
  hits: readonly SearchHit[],
  query: Float32Array,
  corpus: readonly Float32Array[],
  k: number,
  score: SearchScore = "cosine",
): void {
  expect(hits).toHaveLength(k);
  const exact = corpus.map((vector) => SCORES[score](query, vector));
  const scale =
    score === "cosine"
      ? 1
      : Math.max(...corpus.map((vector) => Math.sqrt(dot(vector, vector)))) * Math.sqrt(dot(query, query));
  const bound = (query.length + 2) * 2 ** -24 * scale;
  expect(new Set(hits.map(({ index }) => index)).size).toBe(k);
  for (const { index, score: found } of hits) expect(Math.abs(found - exact[index]!)).toBeLessThanOrEqual(bound);
  for (let i = 1; i < k; i++) expect(hits[i]!.score).toBeLessThanOrEqual(hits[i - 1]!.score);
  const best = [...exact.keys()].sort((a, b) => exact[b]! - exact[a]!);
  for (const [i, { index }] of hits.entries()) {
    expect(Math.abs(exact[best[i]!]! - exact[index]!), `hit ${i}`).toBeLessThanOrEqual(2 * bound);
  }
}

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.create(await testDevice());
});
afterAll(() => engine.dispose());

describe("search", () => {
  test.each(["cosine", "dot"] as const)("by %s finds what float64 finds, for any number of queries", async (score) => {
    const corpus = vectorsOf(1000, 48, 1);
    const index = await createIndex(engine, corpus, { score });
    expect(index).toMatchObject({ size: 1000, dimensions: 48, score, bytes: 1000 * 48 * 4 });
    for (const [count, topK] of [
      [1, 1],
      [3, 10],
      [64, 5],
      [130, 17],
    ] as const) {
      const queries = vectorsOf(count, 48, count);
      const found = await index.search(queries, { topK });
      expect(found).toHaveLength(count);
      for (const [i, hits] of found.entries()) expectBest(hits, queries[i]!, corpus, topK, score);
    }
    expect((await index.search(corpus.slice(7, 8)))[0]).toHaveLength(10);
    expect(await index.search([])).toEqual([]);
    index.dispose();
  });

  test("merges the parts of a corpus that no binding can hold, and is whole in each", async () => {
    const { device } = await testDevice();
    const small = await Engine.create({ device: limitedDevice(device, { maxStorageBufferBindingSize: 65_536 }) });
    const corpus = vectorsOf(1003, 64, 2); // parts of 256 rows
    const queries = vectorsOf(70, 64, 3);
    const whole = await semanticSearch(engine, queries, corpus, { topK: 300 });
    const parts = await semanticSearch(small, queries, corpus, { topK: 300 });
    for (const [i, hits] of parts.entries()) {
      expectBest(hits, queries[i]!, corpus, 300);
      expectBest(whole[i]!, queries[i]!, corpus, 300);
    }
    small.dispose();
  });

  test("goes through more rows than a part has", async () => {
    const corpus = vectorsOf(70_000, 4, 4);
    const queries = [Float32Array.from(corpus[69_999]!), Float32Array.from(corpus[65_535]!), corpus[0]!];
    const found = await semanticSearch(engine, queries, corpus, { topK: 3, score: "dot" });
    for (const [i, hits] of found.entries()) expectBest(hits, queries[i]!, corpus, 3, "dot");
  });

  test("gives all of a small corpus, of equal scores the lower index first, and 0 for zeros", async () => {
    const corpus = [
      [1, 0],
      [0, 1],
      [2, 0],
      [0, 0],
      [-3, 0],
    ];
    const [hits, none] = await semanticSearch(engine, [Float64Array.of(5, 0), new Int8Array(2)], corpus);
    expect(hits).toEqual([
      { index: 0, score: 1 },
      { index: 2, score: 1 },
      { index: 1, score: 0 },
      { index: 3, score: 0 },
      { index: 4, score: -1 },
    ]);
    expect(none!.map(({ index, score }) => [index, Math.abs(score)])).toEqual([0, 1, 2, 3, 4].map((i) => [i, 0]));
    const [best] = await semanticSearch({ model: { engine } }, [[1, 1]], corpus, { topK: 1, score: "dot" });
    expect(best).toEqual([{ index: 2, score: 2 }]);
  });
});

describe("memory", () => {
  test("is freed by dispose, after which a search is refused; a second dispose does nothing", async () => {
    const before = engine.memoryUse.bytes;
    const index = await createIndex(engine, vectorsOf(10, 8, 5));
    expect(engine.memoryUse.bytes).toBe(before + index.bytes);
    index.dispose();
    index.dispose();
    expect(engine.memoryUse.bytes).toBe(before);
    await expect(index.search([new Float32Array(8)])).rejects.toThrow(/index was disposed; create it again/);
  });

  test("that is not there rejects, and nothing is left", async () => {
    const faulty = faultyDevice((await testDevice()).device);
    const own = await Engine.create({ device: faulty.device });
    const before = own.memoryUse;
    faulty.fails = (label) => (label.startsWith("corpus") ? "later" : undefined);
    await expect(createIndex(own, vectorsOf(10, 8, 5))).rejects.toThrow(GpuError);
    faulty.fails = () => undefined;
    expect(own.memoryUse).toEqual(before);
    const [[hit]] = (await semanticSearch(
      own,
      [[1, 0]],
      [
        [0, 1],
        [1, 0],
      ],
    )) as [[SearchHit]];
    expect(hit).toEqual({ index: 1, score: 1 });
    own.dispose();
  });

  test("that went with a lost device is told", async () => {
    const adapter = process.env.BERT_WEBGPU_ADAPTER || "auto";
    const own = await Engine.create({ open: () => requestDevice({ adapter }) });
    const index = await createIndex(own, [[1, 0]]);
    own.device.destroy();
    await own.device.lost;
    await expect(index.search([[1, 0]])).rejects.toThrow(/the index went with its device; create it again/);
    index.dispose();
    expect(await semanticSearch(own, [[1, 0]], [[1, 0]])).toEqual([[{ index: 0, score: 1 }]]);
    own.dispose();
  });
});

test("what cannot be searched is refused by name", async () => {
  const index = await createIndex(engine, [[1, 0]]);
  const wrong = (value: unknown): never => value as never;
  const cases: readonly (readonly [call: () => Promise<unknown>, error: Error])[] = [
    [() => createIndex(engine, []), new RangeError("the corpus has no vectors, or they no dimensions")],
    [() => createIndex(engine, [[1], [1, 2]]), new RangeError("corpus 1 has 2 dimensions, the first of the corpus 1")],
    [() => createIndex(engine, [[1], [NaN]]), new RangeError("corpus 1 has a value that is not finite")],
    [
      () => createIndex(engine, wrong(Float32Array.of(1))),
      new TypeError("corpus is one vector; give a list: [vector]"),
    ],
    [
      () => createIndex(engine, wrong(["12", "34"])),
      new TypeError("corpus are texts; give their vectors, of embedText"),
    ],
    [() => index.search(wrong(["12"])), new TypeError("queries are texts; give their vectors, of embedText")],
    [() => createIndex(engine, [[1]], wrong({ score: "l2" })), new RangeError('no score "l2"; there are cosine, dot')],
    [
      () => createIndex(engine, [[1]], wrong({ metric: 1 })),
      new TypeError('createIndex: no option "metric"; there are score, signal'),
    ],
    [() => index.search([[1]]), new RangeError("query 0 has 1 dimensions, the first of the corpus 2")],
    [() => index.search([[1, Infinity]]), new RangeError("query 0 has a value that is not finite")],
    [() => index.search(wrong([1, 0])), new TypeError("queries is one vector; give a list: [vector]")],
    [() => index.search(wrong("a text")), new TypeError("queries is a string; give a list: [text]")],
    [() => index.search([[1, 0]], { topK: 0 }), new RangeError("topK is 0, it must be an integer from 1")],
    [
      () => index.search([[1, 0]], wrong({ top_k: 1 })),
      new TypeError('search: no option "top_k"; there are topK, signal'),
    ],
    [
      () => semanticSearch(engine, [], [[1]], wrong({ k: 1 })),
      new TypeError('semanticSearch: no option "k"; there are topK, score, signal'),
    ],
  ];
  for (const [call, error] of cases) await expect(call(), error.message).rejects.toThrow(error);
  const signal = AbortSignal.abort(new Error("enough"));
  await expect(index.search([[1, 0]], { signal })).rejects.toThrow("enough");
  await expect(createIndex(engine, [[1, 0]], { signal })).rejects.toThrow("enough");
  index.dispose();
});
