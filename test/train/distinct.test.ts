/** Batches without duplicates: against sentence-transformers' way of making them, and with a budget of tokens. */

import { describe, expect, test } from "vitest";
import { batchesOf } from "../../src/train/batches.ts";
import { uniforms } from "../../src/train/initial.ts";
import type { Example } from "../../src/train/step.ts";

/** Rows of texts that are named by numbers, as many tokens long as a number is. */
const rowsOf = (texts: readonly (readonly number[])[]): Example[] =>
  texts.map(([first, ...more]) => {
    const sequence = (text: number) => ({ inputIds: [2, ...String(text)].map(Number) });
    return { sequence: sequence(first!), more: more.map(sequence), labels: {} };
  });

function textsIn(batch: readonly Example[]): number[][] {
  const text = ({ inputIds }: Example["sequence"]): number => Number(Array.from(inputIds).slice(1).join(""));
  return batch.map(({ sequence, more = [] }) => [sequence, ...more].map(text));
}

/** NoDuplicatesBatchSampler of sentence-transformers 6, over rows in their order. */
function sampled(rows: readonly (readonly number[])[], size: number): (readonly number[])[][] {
  const batches: (readonly number[])[][] = [];
  let left = [...rows];
  while (left.length > 0) {
    const batch: (readonly number[])[] = [];
    const held = new Set<number>();
    for (const row of left) {
      if (batch.length === size || row.some((text) => held.has(text))) continue;
      batch.push(row);
      for (const text of row) held.add(text);
    }
    batches.push(batch);
    left = left.filter((row) => !batch.includes(row));
  }
  return batches;
}

async function batchesIn(rows: readonly (readonly number[])[], options: Parameters<typeof batchesOf>[1]) {
  const batches: number[][][] = [];
  for await (const batch of batchesOf(rowsOf(rows), options)) batches.push(textsIn(batch));
  return batches;
}

const random = (count: number, texts: number, seed: number): number[][] => {
  const next = uniforms(seed);
  return Array.from({ length: count }, () => [10 + Math.floor(next() * texts), 10 + Math.floor(next() * texts)]);
};

describe("of mnrl", () => {
  const objectives = ["mnrl"];

  test.each([
    [1, 3, 1],
    [7, 3, 2],
    [60, 8, 3],
    [60, 300, 4],
  ])("%d rows of %d texts are put off as sentence-transformers does", async (count, texts, seed) => {
    const rows = random(count, texts, seed);
    for (const batchSize of [1, 2, 5, 8])
      expect(await batchesIn(rows, { objectives, batchSize })).toEqual(sampled(rows, batchSize));
  });

  test("a row may have a text twice itself", async () => {
    expect(
      await batchesIn(
        [
          [11, 11],
          [12, 11],
          [13, 13],
        ],
        { objectives, batchSize: 8 },
      ),
    ).toEqual([
      [
        [11, 11],
        [13, 13],
      ],
      [[12, 11]],
    ]);
  });

  test("batches of tokens count those of all columns, and have every row once", async () => {
    const rows = random(80, 30, 5);
    const batches = await batchesIn(rows, { objectives, batchTokens: 30 });
    for (const batch of batches) {
      expect(batch.length).toBeLessThanOrEqual(5); // of six tokens each
      const texts = batch.flatMap((row) => [...new Set(row)]);
      expect(new Set(texts).size).toBe(texts.length);
    }
    const order = (list: readonly (readonly number[])[]): string[] => list.map(String).sort();
    expect(order(batches.flat())).toEqual(order(rows));
    expect(
      await batchesIn(
        [
          [123456, 7],
          [8, 9],
        ],
        { objectives, batchTokens: 4 },
      ),
    ).toEqual([[[123456, 7]], [[8, 9]]]);
  });

  test("duplicates stay together where that is wanted", async () => {
    const rows = [
      [11, 12],
      [11, 13],
    ];
    expect(await batchesIn(rows, { objectives, noDuplicates: false })).toEqual([rows]);
  });
});

test("other losses keep rows as they come, and are parted by the tokens of all columns", async () => {
  const rows = [
    [11, 12],
    [11, 12],
  ];
  expect(await batchesIn(rows, { objectives: ["cosent"] })).toEqual([rows]);
  expect(await batchesIn(rows, { objectives: ["cosent"], noDuplicates: true })).toEqual([[rows[0]], [rows[1]]]);
  expect(await batchesIn(rows, { objectives: ["cosent"], batchTokens: 11 })).toEqual([[rows[0]], [rows[1]]]);
});
