import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readConll, type TaggedSentence } from "../../../src/node/data/conll.ts";
import { readSquad } from "../../../src/node/data/squad.ts";
import { scratch } from "./scratch.ts";

const file = scratch();
const SHARED = join(import.meta.dirname, "../../../../shared/data");

async function sentencesOf(path: string): Promise<TaggedSentence[]> {
  const sentences: TaggedSentence[] = [];
  for await (const sentence of readConll(path)) sentences.push(sentence);
  return sentences;
}

describe("CoNLL", () => {
  test("words are in the first column, tags in the last", async () => {
    const path = await file("a.conll", "-DOCSTART- -X- O O\n\nEU NNP I-NP B-ORG\nrejects VBZ I-VP O\n\t\n\n. . O O");
    expect(await sentencesOf(path)).toEqual([
      { words: ["EU", "rejects"], tags: ["B-ORG", "O"], share: expect.closeTo(5 / 6) },
      { words: ["."], tags: ["O"], share: 1 },
    ]);
    const tabs = await file("b.conll", "New York\tB-LOC\r\n");
    expect(await sentencesOf(tabs)).toEqual([{ words: ["New York"], tags: ["B-LOC"], share: 1 }]);
  });

  test("a word without a tag is refused by its line", async () => {
    await expect(sentencesOf(await file("c.conll", "a O\nb\n"))).rejects.toThrow(
      'line 2: a word and its tag expected, found "b"',
    );
  });

  test.skipIf(!existsSync(SHARED)).each([
    ["emerging.dev.conll", 1009, 15_733],
    ["emerging.test.annotated", 1287, 23_394],
    ["wnut17train.conll", 3394, 62_730],
  ])(
    "WNUT-17 %s of ../shared (skipped where that is not there): %d sentences, %d words",
    async (name, count, words) => {
      const sentences = await sentencesOf(join(SHARED, "wnut17-ner", name));
      expect(sentences).toHaveLength(count);
      expect(sentences.reduce((sum, { tags }) => sum + tags.length, 0)).toBe(words);
      expect(sentences.every(({ tags }) => tags.every((tag) => /^(O|[BI]-[a-z-]+)$/.test(tag)))).toBe(true);
    },
  );
});

describe("SQuAD", () => {
  const squad = (qas: object[]): string => JSON.stringify({ data: [{ paragraphs: [{ context: "Some text.", qas }] }] });

  test("gives questions with their contexts and answers", async () => {
    const qas = [
      { id: "1", question: "What?", answers: [{ text: "text", answer_start: 5 }, { text: "Some text" }] },
      { id: 2, question: "Why?", answers: [{ text: "plausible" }], is_impossible: true },
    ];
    expect(await readSquad(await file("a.json", squad(qas)))).toEqual([
      { id: "1", question: "What?", context: "Some text.", answers: ["text", "Some text"], starts: [5, undefined] },
      { id: "2", question: "Why?", context: "Some text.", answers: [], starts: [] },
    ]);
  });

  test("what is missing is named with its place", async () => {
    await expect(readSquad(await file("b.json", squad([{ id: "1", answers: [] }])))).rejects.toThrow(
      'data[0].paragraphs[0].qas[0]: "question" is missing',
    );
    await expect(readSquad(await file("c.json", "[]"))).rejects.toThrow(
      '"data" is missing; it must be in SQuAD\'s layout',
    );
    await expect(readSquad(await file("d.json", "{"))).rejects.toThrow("not valid JSON");
  });

  test.skipIf(!existsSync(SHARED))(
    "XQuAD of ../shared (skipped where that is not there) has 1,190 questions",
    async () => {
      const questions = await readSquad(join(SHARED, "xquad/xquad.en.json"));
      expect(questions).toHaveLength(1190);
      expect(questions.every(({ context, answers }) => answers.every((answer) => context.includes(answer)))).toBe(true);
    },
  );
});
