/** Vocabularies made of texts: held against what tokenizers makes of them, and against counting everything anew. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { loadTokenizer } from "../../../src/bert/tokenizer/load.ts";
import type { Tokenizer } from "../../../src/bert/tokenizer/tokenizer.ts";
import { drawsFor, shuffle } from "../../../src/train/data/draw.ts";
import { trainWordPiece, type WordPieceOptions } from "../../../src/train/index.ts";
import { memoryFolder } from "../../files/build.ts";

const SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
const SHARED = join(import.meta.dirname, "../../../../shared");

const vocabularyOf = async (texts: readonly string[], options: WordPieceOptions = {}): Promise<readonly string[]> =>
  (await trainWordPiece(texts, options)).vocabulary;

async function tokenizerOf(texts: readonly string[], options: WordPieceOptions = {}): Promise<Tokenizer> {
  return loadTokenizer(memoryFolder((await trainWordPiece(texts, options)).files));
}

describe("a vocabulary", () => {
  test("has special tokens, characters, those inside words, then pieces as they were made", async () => {
    const texts = ["hug hug hug", "Pug! pug", "hugs"];
    expect(await vocabularyOf(texts)).toEqual([
      ...SPECIAL,
      ...["!", "g", "h", "p", "s", "u"],
      ...["##g", "##s", "##u"],
      "##ug", // six times
      "hug", // four times
      "pug", // twice
    ]);
    expect(await vocabularyOf(texts, { minFrequency: 1 })).toContain("hugs");
    expect(await vocabularyOf(texts, { minFrequency: 3 })).not.toContain("pug");
    expect(await vocabularyOf(texts, { vocabSize: 15 })).toHaveLength(15);
  });

  test("of pairs as frequent as each other takes the lower first id, then the lower second one", async () => {
    const pieces = (await vocabularyOf(["ba bc ab ac"], { minFrequency: 1 })).slice(SPECIAL.length + 6);
    expect(pieces).toEqual(["ab", "ac", "ba", "bc"]);
  });

  test("has the most frequent characters, of such as are equally frequent those of the lower code points", async () => {
    const { vocabulary, characters, leftOut } = await trainWordPiece(["d cc b a"], { limitAlphabet: 2 });
    expect(vocabulary).toEqual([...SPECIAL, "a", "c", "##c"]);
    expect([characters, leftOut]).toEqual([2, 2]);
  });

  test("keeps case and accents where it is told to", async () => {
    const texts = ["Été été"];
    const alphabet = async (options: WordPieceOptions): Promise<string> =>
      (await vocabularyOf(texts, { minFrequency: 9, ...options }))
        .slice(SPECIAL.length)
        .filter((piece) => !piece.startsWith("##"))
        .join("");
    expect(await alphabet({})).toBe("et");
    expect(await alphabet({ lowercase: false })).toBe("tÉé");
    expect(await alphabet({ lowercase: false, stripAccents: true })).toBe("Eet");
    expect(await alphabet({ stripAccents: false })).toBe("té");
  });

  test("has special tokens in the order given, and others than BERT's", async () => {
    const specialTokens = ["[UNK]", "[PAD]", "[MASK]", "[Q]", "[SEP]", "[CLS]"];
    expect((await vocabularyOf(["a"], { specialTokens })).slice(0, 6)).toEqual(specialTokens);
    const tokenizer = await tokenizerOf(["a"], { specialTokens });
    expect(tokenizer.encode("[Q]a[MASK]").ids).toEqual([5, 3, 6, 2, 4]);
  });

  test("reads [MASK] in a text as what it is made of", async () => {
    expect(await vocabularyOf(["[MASK] [MASK]"])).toEqual(expect.arrayContaining(["[", "]", "mask"]));
  });

  test("learns of no word of more than 1000 characters, and makes no piece of more than 100", async () => {
    const { vocabulary, longWords, words } = await trainWordPiece([`${"ab".repeat(500)} ${"ab".repeat(500)}c`]);
    expect([words, longWords]).toEqual([1, 1]);
    expect(vocabulary).not.toContain("##c");
    const long = await vocabularyOf(["xy".repeat(80), "xy".repeat(80)]);
    const sizes = long.slice(SPECIAL.length).map((piece) => piece.replace("##", "").length);
    expect(Math.max(...sizes)).toBeGreaterThan(50);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(100);
  });

  test("of a long text is that of its lines", async () => {
    const lines = Array.from({ length: 9000 }, (_, i) => `word${i % 70} and more ${(i * 7919) % 1000}`);
    const [whole, parts] = await Promise.all([[lines.join("\n")], lines].map((texts) => trainWordPiece(texts)));
    expect({ ...whole, texts: 9000 }).toEqual(parts);
  });
});

describe("refused", () => {
  test.each<[string, Iterable<string>, WordPieceOptions, RegExp]>([
    ["no text", [], {}, /there is no word in 0 texts/],
    ["blank texts", [" ", "\n", "\u0000"], {}, /there is no word in 3 texts/],
    [
      "a vocabulary without room for the characters",
      ["abc abd"],
      { vocabSize: 11 },
      /vocabSize is 11: 5 special tokens, 4 characters and 3 of them inside words need 12/,
    ],
    ["no number", ["a"], { vocabSize: Number.NaN }, /vocabSize is NaN; it must be a whole number from 1 to 600000/],
    ["too many tokens", ["a"], { vocabSize: 600_001 }, /vocabSize is 600001/],
    ["half a time", ["a"], { minFrequency: 0.5 }, /minFrequency is 0.5; it must be a whole number from 0/],
    ["no character", ["a"], { limitAlphabet: 0 }, /limitAlphabet is 0; it must be a whole number from 1/],
    ["no [MASK]", ["a"], { specialTokens: SPECIAL.slice(0, 4) }, /specialTokens lack \[MASK\]/],
    ["a token twice", ["a"], { specialTokens: [...SPECIAL, "[SEP]"] }, /specialTokens have "\[SEP\]" twice/],
    ["a token of two lines", ["a"], { specialTokens: [...SPECIAL, "a\nb"] }, /specialTokens have "a\\nb"/],
  ])("%s", async (_, texts, options, why) => {
    await expect(trainWordPiece(texts, options)).rejects.toThrow(why);
    await expect(trainWordPiece(texts, options)).rejects.toThrow(RangeError);
  });

  test("options are checked before a text is read, and room before pieces are made", async () => {
    const texts = function* (): Generator<string> {
      yield expect.fail("read");
    };
    await expect(trainWordPiece(texts(), { vocabSize: 0 })).rejects.toThrow(/vocabSize/);
    await expect(trainWordPiece(texts(), { specialTokens: [] })).rejects.toThrow(/lack/);
  });

  test("what is no option, no list, no text", async () => {
    await expect(trainWordPiece(["a"], { size: 3 } as WordPieceOptions)).rejects.toThrow(/no option "size"/);
    await expect(trainWordPiece("a text")).rejects.toThrow(/texts is a string; give a list/);
    await expect(trainWordPiece(["a", 3 as unknown as string])).rejects.toThrow(/texts: number 1 is of type number/);
  });
});

test("a signal ends it, while texts are read and while pieces are made", async () => {
  for (const stage of ["reading", "making"]) {
    const control = new AbortController();
    const texts = function* (): Generator<string> {
      const draw = drawsFor(5);
      const word = (): string => Array.from({ length: 12 }, () => "abcdefgh"[Math.floor(draw() * 8)]).join("");
      for (let i = 0; stage === "reading" || i < 20_000; i++) yield `${word()} ${word()}`;
    };
    const training = trainWordPiece(texts(), {
      signal: control.signal,
      vocabSize: 60_000,
      onProgress: ({ tokens }) => {
        if (tokens > 0 === (stage === "making")) control.abort(new Error(stage));
      },
    });
    await expect(training).rejects.toThrow(stage);
  }
});

/** As the trainer is defined: all pairs are counted anew for each piece. */
function counted(texts: readonly string[], vocabSize: number, minFrequency: number): string[] {
  const words = texts.join(" ").split(" ").filter(Boolean);
  const chars = [...new Set(words.join(""))].sort();
  const inside = chars.filter((char) => words.some((word) => word.indexOf(char, 1) > 0)).map((char) => `##${char}`);
  const pieces = [...SPECIAL, ...chars, ...inside];
  let spelled = words.map((word) => Array.from(word, (char, i) => pieces.indexOf(i > 0 ? `##${char}` : char)));
  while (pieces.length < vocabSize) {
    const counts = new Map<string, number>();
    for (const word of spelled) {
      for (let i = 1; i < word.length; i++) {
        const key = `${word[i - 1]} ${word[i]}`;
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
    }
    const pairs = [...counts].map(([key, count]) => ({ count, pair: key.split(" ").map(Number) as [number, number] }));
    pairs.sort((x, y) => y.count - x.count || x.pair[0] - y.pair[0] || x.pair[1] - y.pair[1]);
    const best = pairs[0];
    if (!best || best.count < minFrequency) break;
    const [a, b] = best.pair;
    const piece = pieces[a]! + pieces[b]!.replace("##", "");
    if (!pieces.includes(piece)) pieces.push(piece);
    const merged = pieces.indexOf(piece);
    spelled = spelled.map((word) => {
      const after: number[] = [];
      for (const id of word) {
        if (id === b && after.at(-1) === a) after[after.length - 1] = merged;
        else after.push(id);
      }
      return after;
    });
  }
  return pieces;
}

describe("of any texts", () => {
  const text = fc.string({ unit: fc.constantFrom(..."aaabbcd  "), maxLength: 40 });
  const texts = fc.array(text, { minLength: 1, maxLength: 12 }).filter((list) => list.join("").trim() !== "");

  test("it is what counting everything anew gives", async () => {
    await fc.assert(
      fc.asyncProperty(texts, fc.integer({ min: 13, max: 60 }), fc.integer({ min: 0, max: 3 }), async (...given) => {
        const [list, vocabSize, minFrequency] = given;
        expect(await vocabularyOf(list, { vocabSize, minFrequency })).toEqual(counted(list, vocabSize, minFrequency));
      }),
      { numRuns: 300 },
    );
  });

  test("it is the same for the same texts in any order", async () => {
    await fc.assert(
      fc.asyncProperty(texts, fc.nat(), async (list, seed) => {
        const options = { vocabSize: 40, minFrequency: 1, limitAlphabet: 3 };
        const shuffled = shuffle([...list], drawsFor(seed));
        expect(await vocabularyOf(shuffled, options)).toEqual(await vocabularyOf(list, options));
      }),
    );
  });

  test("no word of theirs becomes [UNK]", async () => {
    const any = fc.string({ unit: "binary", maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(fc.array(any), fc.boolean(), fc.boolean(), async (list, lowercase, stripAccents) => {
        const given = ["İstanbul ñandú 東京 👨‍👩‍👧 각", ...list];
        const tokenizer = await tokenizerOf(given, { lowercase, stripAccents, vocabSize: 5000 });
        for (const text of given) expect(tokenizer.encode(text).ids).not.toContain(tokenizer.special.unk);
      }),
      { numRuns: 60 },
    );
  });

  test("a word becomes [UNK] where limitAlphabet leaves out a character of it, and nowhere else", async () => {
    await fc.assert(
      fc.asyncProperty(texts, fc.integer({ min: 1, max: 4 }), async (list, limitAlphabet) => {
        const tokenizer = await tokenizerOf(list, { limitAlphabet });
        for (const word of list.join(" ").split(" ").filter(Boolean)) {
          const known = [...word].every((char) => tokenizer.tokenToId(char) !== undefined);
          const { ids } = tokenizer.encode(word, undefined, { addSpecialTokens: false });
          if (known) expect(ids).not.toContain(tokenizer.special.unk);
          else expect(ids).toEqual([tokenizer.special.unk]);
        }
      }),
    );
  });
});

const FIXTURE = join(SHARED, "fixtures/training/wordpiece-trainer");
const fixture = existsSync(FIXTURE);

describe(`as tokenizers makes it${fixture ? "" : " (skipped: needs ../shared/fixtures)"}`, () => {
  interface Case {
    readonly lowercase: boolean;
    readonly vocab_size: number;
    readonly min_frequency: number;
    /** In all of 20 runs, and in some. */
    readonly always: readonly string[];
    readonly sometimes: readonly string[];
  }
  const read = (name: string): string => readFileSync(join(FIXTURE, name), "utf8");
  const cases = fixture ? (JSON.parse(read("expected.json")) as { readonly cases: readonly Case[] }).cases : [];

  test.skipIf(!fixture).each([0, 1, 2])(
    "case %i has all that it always takes, and else what it sometimes does",
    async (i) => {
      const { lowercase, vocab_size: vocabSize, min_frequency: minFrequency, always, sometimes } = cases[i]!;
      const lines = read("corpus.txt").split("\n");
      const options = { lowercase, vocabSize, minFrequency };
      const vocabulary = await vocabularyOf(lines, options);
      expect(vocabulary).toHaveLength(vocabSize);
      expect(always.filter((token) => !vocabulary.includes(token))).toEqual([]);
      const known = new Set([...always, ...sometimes]);
      expect(vocabulary.filter((token) => !known.has(token))).toEqual([]);
      expect(await vocabularyOf(shuffle(lines, drawsFor(i)), options)).toEqual(vocabulary);
    },
  );
});

const POLARITY = join(SHARED, "data/rt-polarity");
const here = existsSync(POLARITY);

test.skipIf(!here)(
  `10,662 sentences take less than ten seconds${here ? "" : " (skipped: needs ../shared/data)"}`,
  async () => {
    const lines = ["neg", "pos"].flatMap((kind) =>
      readFileSync(join(POLARITY, `rt-polarity.${kind}`), "utf8")
        .trimEnd()
        .split("\n"),
    );
    const start = performance.now();
    const { vocabulary, texts } = await trainWordPiece(lines);
    expect(performance.now() - start).toBeLessThan(10_000);
    expect([texts, vocabulary.length]).toEqual([10_662, 16_272]);
  },
  30_000,
);
