/** Examples that a model is trained on: shares, determinism, and that offsets and labels meet the right tokens. */

import { describe, expect, test } from "vitest";
import { loadTokenizer } from "../../../src/bert/tokenizer/load.ts";
import { openFolder } from "../../../src/node/folder.ts";
import { type Document, pairEpochs } from "../../../src/train/data/documents.ts";
import { below, drawsFor, permutation, shuffled } from "../../../src/train/data/draw.ts";
import { epochsOf, split, streamedEpochs } from "../../../src/train/data/epochs.ts";
import { labelNames, labelNumber, severalLabels } from "../../../src/train/data/labels.ts";
import { maskedExample, NONE, type Pieces, piecesOf } from "../../../src/train/data/masking.ts";
import { placeAnswer, spanExamples } from "../../../src/train/data/spans.ts";
import { tagExamples } from "../../../src/train/data/tags.ts";
import type { Example } from "../../../src/train/step.ts";

const tokenizer = await loadTokenizer(openFolder("weights/movie-bert"));
const { cls, sep, mask, pad, unk } = { ...tokenizer.special } as Record<string, number>;
const special = new Set([cls!, sep!, mask!, pad!, unk!]);
const options = { mask: mask!, vocabSize: tokenizer.vocabSize, special };

async function listOf<T>(items: AsyncIterable<T> | Iterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

const plain = (examples: readonly Example[]): unknown =>
  examples.map(({ sequence, labels }) => [
    [...Array.from(sequence.inputIds)],
    labels.label,
    Array.from(labels.words ?? []),
  ]);

describe("draws", () => {
  test("are the same for the same numbers, and others for others", () => {
    const first = (...numbers: number[]): number[] => {
      const draw = drawsFor(...(numbers as [number]));
      return [draw(), draw()];
    };
    expect(first(1, 2, 3)).toEqual(first(1, 2, 3));
    const all = [[1, 2, 3], [1, 2, 4], [1, 3, 2], [2, 1, 3], [1, 2], [0, 1, 2], [0, 0], [0], [0, 0, 0]];
    expect(new Set(all.map((numbers) => first(...numbers).join())).size).toBe(all.length);
  });

  test("first ones of neighbouring seeds are spread evenly", () => {
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 20000; i++) counts[below(drawsFor(7, i), 10)]!++;
    for (const count of counts) expect(Math.abs(count - 2000)).toBeLessThan(200); // 4.7 standard deviations
  });

  test("a permutation has every number once", () => {
    expect([...permutation(1000, drawsFor(1))].sort((a, b) => a - b)).toEqual([...Array(1000).keys()]);
    expect([...permutation(1000, drawsFor(1))]).not.toEqual([...Array(1000).keys()]);
  });

  test("a shuffle buffer gives every item once, and none before what it holds has come", async () => {
    const order = await listOf(shuffled(Array(1000).keys(), 100, drawsFor(3)));
    expect([...order].sort((a, b) => a - b)).toEqual([...Array(1000).keys()]);
    for (const [at, item] of order.entries()) expect(item).toBeLessThan(at + 101);
    expect(order.slice(0, 100).some((item) => item > 100)).toBe(true);
    expect(await listOf(shuffled([1, 2, 3], 100, drawsFor(3)))).toHaveLength(3);
  });
});

describe("epochs", () => {
  const rows = Array.from({ length: 50 }, (_, i) => i);
  const make = (row: number, draw: () => number): Example => ({
    sequence: { inputIds: [row] },
    labels: { label: below(draw, 1000) },
  });

  test.each([
    ["held in memory", epochsOf(rows, 5, make)],
    ["read anew", streamedEpochs(() => rows, 10, 5, make)],
  ])("%s: the same at every call, others in the next epoch, all rows in each", async (_, epochs) => {
    const [first, again, next] = await Promise.all([0, 0, 1].map((epoch) => listOf(epochs.epoch(epoch))));
    expect(plain(again!)).toEqual(plain(first!));
    expect(plain(next!)).not.toEqual(plain(first!));
    for (const list of [first!, next!]) {
      expect(list.map(({ sequence }) => sequence.inputIds[0]!).sort((a, b) => a - b)).toEqual(rows);
    }
    // what is drawn for a row is another thing in the next epoch, wherever the row stands
    const drawn = (list: readonly Example[]) => new Map(list.map((e) => [e.sequence.inputIds[0], e.labels.label]));
    const [a, b] = [drawn(first!), drawn(next!)];
    expect(rows.filter((row) => a.get(row) === b.get(row)).length).toBeLessThan(5);
  });

  test("a split has every row once, by the seed", () => {
    const [train, held] = split(rows, 0.2, 1);
    expect([train.length, held.length]).toEqual([40, 10]);
    expect([...train, ...held].sort((a, b) => a - b)).toEqual(rows);
    expect(split(rows, 0.2, 1)).toEqual([train, held]);
    expect(split(rows, 0.2, 2)).not.toEqual([train, held]);
    expect(() => split([1], 0.5, 0)).toThrow("1 rows cannot be parted at 0.5");
    expect(() => split(rows, 1, 0)).toThrow(RangeError);
  });
});

describe("masked language modelling", () => {
  const text = "an unbelievably disappointing cinematography overshadowed the otherwise heartwarming performances";
  const long = piecesOf(tokenizer.encode(Array(20).fill(text).join(" ")));

  test("15% of pieces are guessed: 80% hidden, 10% another, 10% as they are; special ones never", () => {
    let [guessed, hidden, kept, all] = [0, 0, 0, 0];
    for (let seed = 0; seed < 200; seed++) {
      const { sequence, labels } = maskedExample(long, options, drawsFor(seed));
      for (let i = 0; i < long.ids.length; i++) {
        const now = sequence.inputIds[i]!;
        const label = labels.words![i]!;
        if (long.words[i]! < 0) expect([now, label]).toEqual([long.ids[i], NONE]);
        else all++;
        if (label === NONE) {
          expect(now).toBe(long.ids[i]);
          continue;
        }
        expect(label).toBe(long.ids[i]);
        guessed++;
        if (now === mask) hidden++;
        else if (now === label) kept++;
        else expect(special.has(now)).toBe(false);
      }
    }
    expect(guessed / all).toBeCloseTo(0.15, 2);
    // within 5 standard deviations of what is drawn
    const bound = (share: number): number => 5 * Math.sqrt((share * (1 - share)) / guessed);
    expect(Math.abs(hidden / guessed - 0.8)).toBeLessThan(bound(0.8));
    expect(Math.abs(kept / guessed - 0.1)).toBeLessThan(bound(0.1));
    expect(Math.abs(1 - (hidden + kept) / guessed - 0.1)).toBeLessThan(bound(0.1));
  });

  test("every sequence has at least one, other ones for another draw, the same for the same", () => {
    const short = piecesOf(tokenizer.encode("good film"));
    const { labels } = maskedExample(short, options, drawsFor(1));
    expect(Array.from(labels.words!).filter((label) => label !== NONE)).toHaveLength(1);
    const of = (seed: number): unknown => plain([maskedExample(long, options, drawsFor(seed))]);
    expect(of(1)).toEqual(of(1));
    expect(of(1)).not.toEqual(of(2));
  });

  test("whole words: all pieces of a word or none, and no more than the share", () => {
    const pieces = long.words.length - 2;
    let split = 0;
    for (let seed = 0; seed < 50; seed++) {
      const { labels } = maskedExample(long, { ...options, wholeWord: true }, drawsFor(seed));
      const chosen = Array.from(labels.words!, (label) => label !== NONE);
      expect(chosen.filter(Boolean).length).toBeLessThanOrEqual(Math.round(pieces * 0.15));
      expect(chosen.filter(Boolean).length).toBeGreaterThan(pieces * 0.1);
      for (let i = 1; i < chosen.length; i++) {
        if (long.words[i] !== long.words[i - 1] || long.words[i]! < 0) continue;
        split++;
        expect(chosen[i]).toBe(chosen[i - 1]);
      }
    }
    expect(split).toBeGreaterThan(1000);
  });
});

describe("pairs of pre-training", () => {
  const firstOf = 1000;
  // sentence s of document d is pieces of one number, so that what it is can be told from it
  const documents: Document[] = Array.from({ length: 40 }, (_, d) =>
    Array.from({ length: 1 + (d % 12) }, (_, s): Pieces => {
      const length = 3 + ((d + s) % 9);
      return { ids: new Uint32Array(length).fill(firstOf + d * 12 + s), words: [...Array(length).keys()] };
    }),
  );
  const given = { ...options, cls: cls!, sep: sep!, maxLength: 48 };
  const originalOf = ({ sequence, labels }: Example): number[] =>
    Array.from(sequence.inputIds, (id, i) => (labels.words![i] === NONE ? id : labels.words![i]!));

  test("B follows A in half of them, and comes from another document in the others", async () => {
    let [follows, all, full] = [0, 0, 0];
    for (let epoch = 0; epoch < 20; epoch++) {
      for (const example of await listOf(pairEpochs(documents, 3, given).epoch(epoch))) {
        const ids = originalOf(example);
        expect(ids.length).toBeLessThanOrEqual(48);
        if (ids.length === 48) full++;
        const middle = ids.indexOf(sep!);
        expect([ids[0], ids.at(-1), ids.lastIndexOf(sep!)]).toEqual([cls, sep, ids.length - 1]);
        expect(Array.from(example.sequence.tokenTypeIds!)).toEqual(ids.map((_, i) => (i <= middle ? 0 : 1)));
        const sentences = (part: readonly number[]) => [...new Set(part.map((id) => id - firstOf))];
        const [a, b] = [sentences(ids.slice(1, middle)), sentences(ids.slice(middle + 1, -1))];
        expect(Math.min(a.length, b.length)).toBeGreaterThan(0);
        const documentOf = (id: number): number => Math.floor(id / 12);
        all++;
        if (example.labels.next === 0) {
          follows++;
          expect(documentOf(b[0]!)).toBe(documentOf(a[0]!));
          expect(b[0]).toBeGreaterThan(a.at(-1)!);
        } else expect(documentOf(b[0]!)).not.toBe(documentOf(a[0]!));
      }
    }
    expect(all).toBeGreaterThan(1000);
    expect(full / all).toBeGreaterThan(0.3);
    expect(Math.abs(follows / all - 0.5)).toBeLessThan(5 * Math.sqrt(0.25 / all));
  });

  test("are the same for the same epoch, others in the next", async () => {
    const epoch = async (n: number): Promise<unknown> => plain(await listOf(pairEpochs(documents, 3, given).epoch(n)));
    expect(await epoch(0)).toEqual(await epoch(0));
    expect(await epoch(1)).not.toEqual(await epoch(0));
  });

  test("need documents to choose among", () => {
    expect(() => pairEpochs(documents.slice(5, 6), 0, given)).toThrow("1 documents; pairs need at least 2");
    expect(() => pairEpochs([documents[0]!, documents[12]!], 0, given)).toThrow(
      "none of 2 documents has two sentences",
    );
  });
});

describe("tags", () => {
  const words = ["Cinematography", "by", "Schwarzenegger", ",", "unbelievably"];

  test("are those of first pieces; the others and special tokens have none", () => {
    const [example, ...more] = tagExamples(tokenizer, words, [1, 2, 3, 4, 5], 128);
    expect(more).toEqual([]);
    const tags = Array.from(example!.labels.tags!);
    const { wordIds } = tokenizer.encode(words);
    expect(tags).toHaveLength(wordIds.length);
    expect(tags.length).toBeGreaterThan(words.length + 2); // some words are in pieces
    const want = wordIds.map((word, i) => (word === null || word === wordIds[i - 1] ? NONE : word + 1));
    expect(tags).toEqual(want);
  });

  test("of long sentences are each in one of several sequences", () => {
    const many = Array.from({ length: 60 }, (_, i) => words[i % words.length]!);
    const examples = tagExamples(tokenizer, many, [...many.keys()], 16);
    expect(examples.length).toBeGreaterThan(5);
    for (const { sequence } of examples) expect(sequence.inputIds.length).toBeLessThanOrEqual(16);
    const tags = examples.flatMap(({ labels }) => Array.from(labels.tags!)).filter((tag) => tag !== NONE);
    expect(tags).toEqual([...many.keys()]);
  });

  test("and words must be as many", () => {
    expect(() => tagExamples(tokenizer, ["a"], [], 16)).toThrow("1 words and 0 tags");
  });
});

describe("answers", () => {
  const context = `${"The film was shot in many places . ".repeat(12)}It was directed by Ang Lee in 2005 . ${"It won many awards . ".repeat(12)}`;
  const window = { maxLength: 48, stride: 16 };

  test("their tokens are those of the text, in the windows that hold them; elsewhere [CLS]", () => {
    const answer = placeAnswer(context, "Ang Lee")!;
    expect(context.slice(answer.start, answer.end)).toBe("Ang Lee");
    const question = "Who directed it?";
    const examples = spanExamples(tokenizer, question, context, answer, window);
    const first = tokenizer.encode(question, context, {
      ...{ truncation: "only_second", maxLength: 48, stride: 16, returnOverflow: true },
    });
    const encodings = [first, ...first.overflow];
    expect(examples).toHaveLength(encodings.length);
    let found = 0;
    examples.forEach(({ labels: { start, end }, sequence }, w) => {
      const { offsets, ids, sequenceIds } = encodings[w]!;
      expect(Array.from(sequence.inputIds)).toEqual(ids);
      if (start === 0) {
        expect(end).toBe(0);
        const [from, to] = [sequenceIds.indexOf(1), sequenceIds.lastIndexOf(1)];
        expect(offsets[from]![0] > answer.start || offsets[to]![1] < answer.end).toBe(true);
        return;
      }
      found++;
      expect(context.slice(offsets[start!]![0], offsets[end!]![1])).toBe("Ang Lee");
    });
    expect(found).toBeGreaterThan(0);
    for (const { labels } of spanExamples(tokenizer, question, context, undefined, window)) {
      expect(labels).toEqual({ start: 0, end: 0 });
    }
  });

  test("are found by code points or UTF-16 units, and else not at all", () => {
    const text = "🎬🎬 directed by Ang Lee, not Ang Lee";
    expect(placeAnswer(text, "Ang Lee", 15)).toEqual({ start: 17, end: 24 }); // SQuAD counts code points
    expect(placeAnswer(text, "Ang Lee", 17)).toEqual({ start: 17, end: 24 });
    expect(placeAnswer(text, "Ang Lee", 28)).toEqual({ start: 30, end: 37 });
    expect(placeAnswer(text, "Ang Lee")).toEqual({ start: 17, end: 24 });
    expect(placeAnswer(text, "Ang Lee", 3)).toBeUndefined();
    expect(placeAnswer(text, "Bergman")).toBeUndefined();
  });
});

describe("labels", () => {
  test("are numbered by the alphabet, numbers by size", () => {
    expect(labelNames(["pos", "neg", "pos"])).toEqual(["neg", "pos"]);
    expect(labelNames([10, 2, 0, 2])).toEqual(["0", "2", "10"]);
    expect(labelNames([true, false])).toEqual(["false", "true"]);
  });

  test("are a name in whatever case, or a number", () => {
    const names = ["NEGATIVE", "POSITIVE"];
    expect(["POSITIVE", "positive", 1, "1", " Negative "].map((label) => labelNumber(label, names))).toEqual([
      1, 1, 1, 1, 0,
    ]);
    expect([2, "neutral", -1, ""].map((label) => labelNumber(label, names))).toEqual(Array(4).fill(undefined));
    expect(labelNumber("1", ["1", "0"])).toBe(0); // a name before a number
    expect(severalLabels([0, 2], 4)).toEqual([1, 0, 1, 0]);
  });
});
