/** The tokenizer's own promises: offsets, words, batches, decoding. */

import { existsSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createTokenizer, type Tokenizer } from "../../../src/bert/tokenizer/tokenizer.ts";
import { parseTokenizerConfig } from "../../../src/bert/tokenizer/tokenizer_config.ts";
import { parseTokenizerJson } from "../../../src/bert/tokenizer/tokenizer_json.ts";
import { parseVocabTxt } from "../../../src/bert/tokenizer/vocab_txt.ts";
import { random as seeded } from "../../support.ts";
import { CURATED, corpus, pick, randomText } from "./corpus.ts";
import { comparable, revealingVocabulary, rustTokenizer, tokenizerJson, withoutOverflow } from "./oracle.ts";

const NO_CONFIG = parseTokenizerConfig(undefined, "");
const TEXTS = corpus(1000, 21);
const JSON_TEXT = tokenizerJson({ vocabulary: revealingVocabulary(TEXTS) });
const tokenizer = parse(JSON_TEXT);
/** Strings as JavaScript has them: any code unit, so lone surrogates too, with what tokenizers trip over made likely. */
const anyText = fc
  .array(
    fc.oneof(
      fc.string({ unit: "binary", maxLength: 8 }),
      fc.string({ maxLength: 8 }),
      fc.constantFrom(
        "[MASK]",
        " ",
        "é",
        "e\u0301",
        "\u0301",
        "中",
        "😀",
        "\ud800",
        "\u302e",
        "İ",
        "Σ",
        "\u200d",
        "ing",
      ),
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join(""));

function parse(json: string): Tokenizer {
  return createTokenizer(parseTokenizerJson(json, "tokenizer.json", NO_CONFIG));
}

describe("offsets", () => {
  it("are in order, within the text, and on the borders of characters", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const { offsets, wordIds } = tokenizer.encode(text, undefined, { addSpecialTokens: false });
        const splitsPair = (at: number): boolean =>
          text.charCodeAt(at) >> 10 === 0x37 && text.charCodeAt(at - 1) >> 10 === 0x36;
        offsets.forEach(([start, end], i) => {
          expect(start < end && end <= text.length && !splitsPair(start) && !splitsPair(end)).toBe(true);
          if (i === 0) return;
          const [startBefore, endBefore] = offsets[i - 1]!;
          // Pieces of one character that became several share its place.
          expect(wordIds[i] === wordIds[i - 1] ? start >= startBefore && end >= endBefore : start >= endBefore).toBe(
            true,
          );
        });
      }),
      { seed: 22, numRuns: 2000 },
    );
  });

  it("cut out of the text what normalises to the token", () => {
    const lower = (text: string): string => Array.from(text, (char) => char.toLowerCase()).join("");
    const normalise = (text: string): string => lower(text.normalize("NFD").replace(/\p{Mn}/gu, ""));
    // Dropped inside a word; or, past the first plane, too young for the original's tables.
    const exempt = /\p{C}|[\u{10000}-\u{10ffff}]/u;
    let checked = 0;
    for (const text of TEXTS) {
      const { offsets, tokens } = tokenizer.encode(text, undefined, { addSpecialTokens: false });
      offsets.forEach(([start, end], i) => {
        const cut = text.slice(start, end);
        const token = tokens[i]!.replace(/^##(?=.)/, "");
        if (token === "[UNK]" || token === "[MASK]" || !/^[\p{L}\p{N}]+$/u.test(token) || exempt.test(cut)) return;
        expect(normalise(cut), text).toContain(token);
        checked++;
      });
    }
    expect(checked).toBeGreaterThan(10_000);
  });
});

describe("words as input", () => {
  it("are what the texts of the words give, numbered by word", async () => {
    const random = seeded(23);
    const theirs = rustTokenizer(JSON_TEXT);
    for (let i = 0; i < 300; i++) {
      const words = Array.from({ length: Math.floor(8 * random()) }, () =>
        random() < 0.5 ? randomText(random) : pick(random, CURATED),
      );
      const got = withoutOverflow(tokenizer.encode(words, undefined, { addSpecialTokens: false }));
      const each = await theirs.encodeBatch(words, { addSpecialTokens: false });
      const want = each.map((encoding, word) => ({ ...comparable(encoding, [words[word]!]), word }));
      expect(got.tokens).toEqual(want.flatMap(({ tokens }) => tokens));
      expect(got.offsets).toEqual(want.flatMap(({ offsets }) => offsets));
      expect(got.wordIds).toEqual(want.flatMap(({ tokens, word }) => tokens.map(() => word)));
    }
  });

  it("go in pairs, mix with texts, and are truncated", () => {
    const { tokens, wordIds, typeIds } = tokenizer.encode(["the film", "un"], "the", {
      truncation: "longest_first",
      maxLength: 6,
    });
    expect(tokens).toEqual(["[CLS]", "the", "film", "[SEP]", "the", "[SEP]"]);
    expect(wordIds).toEqual([null, 0, 0, null, 0, null]);
    expect(typeIds).toEqual([0, 0, 0, 0, 1, 1]);
    expect(tokenizer.encode([]).tokens).toEqual(["[CLS]", "[SEP]"]);
    const long = Array.from({ length: 50 }, () => "the");
    expect(tokenizer.encode(long, undefined, { truncation: "longest_first", maxLength: 7 }).wordIds).toEqual([
      null,
      0,
      1,
      2,
      3,
      4,
      null,
    ]);
  });
});

describe("batches", () => {
  it("are the single encodings, in order", () => {
    const batch = [
      "the film",
      { text: "the", pair: "film" },
      ["the", "film"],
      { text: ["the"], pair: ["film", "un"] },
      "",
    ];
    expect(tokenizer.encodeBatch(batch)).toEqual([
      tokenizer.encode("the film"),
      tokenizer.encode("the", "film"),
      tokenizer.encode(["the", "film"]),
      tokenizer.encode(["the"], ["film", "un"]),
      tokenizer.encode(""),
    ]);
    expect(tokenizer.encodeBatch([])).toEqual([]);
  });

  it("leave nothing behind: a text gives the same after any other", () => {
    const first = TEXTS.map((text) => tokenizer.encode(text));
    expect(TEXTS.toReversed().map((text) => tokenizer.encode(text))).toEqual(first.toReversed());
  });
});

describe("decoding", () => {
  it("is that of the original", async () => {
    const random = seeded(24);
    const theirs = rustTokenizer(JSON_TEXT);
    const english = "do n't can not it 's we 've they 're i 'm ? ! . , ' do not".split(" ");
    const json = tokenizerJson({ vocabulary: ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ...english, "##ing"] });
    for (const [ours, other] of [
      [tokenizer, theirs],
      [parse(json), rustTokenizer(json)],
    ] as const) {
      for (let i = 0; i < 500; i++) {
        const ids = Array.from({ length: Math.floor(20 * random()) }, () =>
          Math.floor(random() * (ours.vocabSize + 3)),
        );
        const skipSpecialTokens = random() < 0.5;
        expect(ours.decode(ids, { skipSpecialTokens })).toBe(await other.decode(ids, skipSpecialTokens));
      }
    }
  });

  it("cleans up English over the whole text when asked to", () => {
    const english = createTokenizer(
      parseVocabTxt("[UNK]\n[CLS]\n[SEP]\ni\n'\nm\nfine\nn\nt\nca\n,\nn't", "vocab.txt", NO_CONFIG),
    );
    const { ids } = english.encode("i ' m fine , ca n't");
    expect(english.decode(ids)).toBe("[CLS] i ' m fine, ca n ' t [SEP]");
    expect(english.decode(ids, { cleanUpTokenizationSpaces: true })).toBe("[CLS] i'm fine, can't [SEP]");
    expect(english.decode(new Int32Array([3, 6, -1, 99]))).toBe("i fine");
  });

  it("is stable: what was decoded encodes to the same ids", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const options = { addSpecialTokens: false };
        const { ids } = tokenizer.encode(text, undefined, options);
        fc.pre(!ids.includes(tokenizer.special.unk));
        expect(tokenizer.encode(tokenizer.decode(ids), undefined, options).ids).toEqual(ids);
      }),
      { seed: 25, numRuns: 1000 },
    );
  });
});

describe("hostile texts", () => {
  it.each([
    ["marks that change places", "\u302e\u0301"],
    ["marks", "\u0301"],
    ["half an added token", "[MASK"],
    ["one word", "a"],
    ["lone surrogates", "\ud800"],
  ])("of %s take time in their length, not its square", (_, unit) => {
    const start = performance.now();
    tokenizer.encode(unit.repeat(200_000 / unit.length));
    expect(performance.now() - start).toBeLessThan(10_000); // well under a second; ICU alone needs 20 s for the first
  });
});

describe("the vocabulary", () => {
  it("answers both ways", () => {
    expect(tokenizer.special).toEqual({ unk: 1, cls: 2, sep: 3, pad: 0, mask: 4 });
    expect(tokenizer.tokenToId("[MASK]")).toBe(4);
    expect(tokenizer.idToToken(4)).toBe("[MASK]");
    expect(tokenizer.tokenToId("no such token")).toBeUndefined();
    expect(tokenizer.idToToken(-1)).toBeUndefined();
    expect(tokenizer.idToToken(tokenizer.vocabSize)).toBeUndefined();
  });
});

describe("the model that ships with the repository", () => {
  const file = new URL("../../../weights/movie-bert/vocab.txt", import.meta.url);
  const here = existsSync(file);

  it.skipIf(!here)(`tokenizes as the original${here ? "" : " (skipped: needs weights/movie-bert)"}`, async () => {
    const text = readFileSync(file, "utf8");
    const ours = createTokenizer(parseVocabTxt(text, "vocab.txt", NO_CONFIG));
    const theirs = rustTokenizer(tokenizerJson({ vocabulary: text.trimEnd().split("\n") }));
    const texts = corpus(4000, 26);
    const want = await theirs.encodeBatch(texts);
    texts.forEach((given, i) => {
      expect(withoutOverflow(ours.encode(given)), JSON.stringify(given)).toEqual(comparable(want[i]!, [given]));
    });
  });
});
