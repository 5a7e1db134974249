/** Token for token, offset for offset, against Hugging Face's Rust tokenizers, on random and curated texts. */

import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { createTokenizer, type Tokenizer } from "../../../src/bert/tokenizer/tokenizer.ts";
import { parseTokenizerConfig } from "../../../src/bert/tokenizer/tokenizer_config.ts";
import { parseTokenizerJson } from "../../../src/bert/tokenizer/tokenizer_json.ts";
import { random as seeded } from "../../support.ts";
import { corpus, mutate, pick, randomText, SENTENCES } from "./corpus.ts";
import { comparable, revealingVocabulary, rustTokenizer, tokenizerJson, withoutOverflow } from "./oracle.ts";

const MODELS = new URL("../../../../shared/models/", import.meta.url);
const SST2 = new URL("../../../../shared/data/sst2/dev.tsv", import.meta.url);

function parse(json: string): Tokenizer {
  return createTokenizer(parseTokenizerJson(json, "tokenizer.json", parseTokenizerConfig(undefined, "")));
}

/** Compares every text; returns how many were. The first difference fails with the text that shows it. */
async function compareAll(json: string, texts: readonly string[]): Promise<number> {
  const ours = parse(json);
  const theirs = rustTokenizer(json);
  for (let from = 0; from < texts.length; from += 1000) {
    const batch = texts.slice(from, from + 1000);
    const expected = await theirs.encodeBatch(batch);
    batch.forEach((text, i) => {
      const got = withoutOverflow(ours.encode(text));
      const want = comparable(expected[i]!, [text]);
      // Serialised, because a deep comparison of 20,000 encodings takes minutes.
      if (JSON.stringify(got) !== JSON.stringify(want)) expect(got, JSON.stringify(text)).toEqual(want);
    });
  }
  return texts.length;
}

/** Texts of some thousands of characters. */
function joined(texts: readonly string[]): string[] {
  const count = Math.floor(texts.length / 80);
  return Array.from({ length: count }, (_, i) => texts.slice(80 * i, 80 * (i + 1)).join(i % 2 === 0 ? " " : ""));
}

describe("a vocabulary that shows every character", () => {
  const texts = corpus(4000, 1);
  const vocabulary = revealingVocabulary(texts);

  it.each([
    { name: "uncased", normalizer: {} },
    { name: "cased", normalizer: { lowercase: false } },
    { name: "lower case, accents kept", normalizer: { strip_accents: false } },
    { name: "cased, accents stripped", normalizer: { strip_accents: true, lowercase: false } },
    { name: "uncleaned", normalizer: { clean_text: false } },
    { name: "uncleaned, ideographs joined", normalizer: { clean_text: false, handle_chinese_chars: false } },
    { name: "no normaliser", normalizer: null },
  ])("$name", async ({ normalizer }) => {
    const both = [...texts, ...joined(texts)];
    expect(await compareAll(tokenizerJson({ vocabulary, normalizer }), both)).toBeGreaterThanOrEqual(4000);
  });

  it("added tokens of every kind", async () => {
    const added = [
      { content: "<plain>" },
      { content: "<left>", lstrip: true },
      { content: "<right>", rstrip: true },
      { content: "<both>", lstrip: true, rstrip: true, special: false },
      { content: "<word>", single_word: true },
      { content: "<word> <word>", single_word: true },
      { content: "Föö", normalized: true, special: false },
      { content: "föö bär", normalized: true },
      { content: "two  words", normalized: true, lstrip: true },
      { content: "中", normalized: true },
      { content: "😀x", normalized: true, rstrip: true, special: false },
      { content: "q", special: false },
    ];
    const json = tokenizerJson({ vocabulary, added });
    const random = seeded(2);
    const bits = [
      ...added.map((token) => token.content),
      "FOO",
      "foo BAR",
      "bar",
      " ",
      "\u0085",
      "　",
      "中文",
      "q",
      "😀X",
      "́",
    ];
    const mixed = Array.from({ length: 4000 }, () =>
      Array.from({ length: 1 + Math.floor(6 * random()) }, () =>
        random() < 0.75 ? pick(random, bits) : randomText(random).slice(0, 4),
      ).join(random() < 0.5 ? " " : ""),
    );
    expect(await compareAll(json, mixed)).toBe(4000);
    // with those that no white space is in or goes with, long texts are read in slices
    const within = added.filter(({ content, lstrip, rstrip }) => !(lstrip || rstrip || / |中/.test(content)));
    expect(within.length).toBe(4);
    for (const some of [added, within]) await compareAll(tokenizerJson({ vocabulary, added: some }), joined(mixed));
  });

  it("pieces with another prefix, and a short limit on words", async () => {
    const tokens = ["[UNK]", "[CLS]", "[SEP]", "a", "aa", "xa", "xab", "b", "x", "xx", "xb", "ba", "abab"];
    const random = seeded(3);
    const texts = Array.from({ length: 3000 }, () =>
      Array.from({ length: Math.floor(14 * random()) }, () => pick(random, ["a", "b", "x", "a", "b", " ", "c"])).join(
        "",
      ),
    );
    for (const continuing_subword_prefix of ["x", "", "##"]) {
      const model = { continuing_subword_prefix, max_input_chars_per_word: 6 };
      await compareAll(tokenizerJson({ vocabulary: tokens, model }), texts);
    }
  });
});

describe.each(["tokenizer-bert-base-uncased", "tokenizer-bert-base-cased"])("%s", (name) => {
  const file = new URL(`${name}/tokenizer.json`, MODELS);
  const here = existsSync(file);

  it.skipIf(!here)(`20,000 texts${here ? "" : " (skipped: needs ../shared/models)"}`, async () => {
    const sentences = existsSync(SST2) ? readFileSync(SST2, "utf8").split("\n").slice(0, 2000) : SENTENCES;
    const texts = corpus(20_000, 4, [...sentences, ...SENTENCES]);
    expect(await compareAll(readFileSync(file, "utf8"), texts)).toBeGreaterThanOrEqual(20_000);
  });

  it.skipIf(!here)(`2,000 pairs${here ? "" : " (skipped: needs ../shared/models)"}`, async () => {
    const json = readFileSync(file, "utf8");
    const ours = parse(json);
    const theirs = rustTokenizer(json);
    const random = seeded(5);
    for (let i = 0; i < 2000; i++) {
      const [text, pair] = [randomText(random), mutate(random, pick(random, SENTENCES))];
      const addSpecialTokens = random() < 0.8;
      const want = comparable(await theirs.encode(text, pair, { addSpecialTokens }), [text, pair]);
      expect(withoutOverflow(ours.encode(text, pair, { addSpecialTokens })), JSON.stringify([text, pair])).toEqual(
        want,
      );
    }
  });
});
