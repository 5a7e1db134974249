/** Every normaliser, pre-tokeniser and post-processor of a tokenizer.json, against Hugging Face's Rust tokenizers. */

import { describe, expect, it } from "vitest";
import { createTokenizer, type Tokenizer } from "../../../src/bert/tokenizer/tokenizer.ts";
import { parseTokenizerConfig } from "../../../src/bert/tokenizer/tokenizer_config.ts";
import { parseTokenizerJson } from "../../../src/bert/tokenizer/tokenizer_json.ts";
import { random as seeded } from "../../support.ts";
import { corpus, pick, randomText } from "./corpus.ts";
import {
  comparable,
  type JsonOptions,
  revealingVocabulary,
  rustTokenizer,
  tokenizerJson,
  withoutOverflow,
} from "./oracle.ts";

type Component = Readonly<Record<string, unknown>>;

function parse(json: string): Tokenizer {
  return createTokenizer(parseTokenizerJson(json, "tokenizer.json", parseTokenizerConfig(undefined, "")));
}

const random = seeded(31);
/** What composes, decomposes, changes places, is white space or is replaced below, close together. */
const BITS = [
  ..."aeoAEİßſΣ ÅΩﬁ²½ｶﾞガ한ᄒ\u1161\u11ab가각㍿﷽",
  ..."\u0301\u0300\u0323\u0327\u0345\u0315\u0344\u0f73\u0f74\u0f71\u09be\u09c7\u0bd7\u302e\u20dd\u093c\u0958",
  ..."-_.,!$''``\t\n\u00a0\u3000中😀",
  "  ",
  "   ",
  "[MASK]",
  "<e>",
  " the ",
  "1\u20442",
];
const mixed = Array.from({ length: 900 }, () =>
  Array.from({ length: 1 + Math.floor(10 * random()) }, () =>
    random() < 0.9 ? pick(random, BITS) : randomText(random).slice(0, 4),
  ).join(""),
);
const curated = corpus(1060, 32);
const long = Array.from({ length: 40 }, (_, i) =>
  [...mixed.slice(20 * i, 20 * i + 20), ...curated.slice(i, i + 60)].join(" "),
);
const TEXTS = [...mixed, ...curated, ...long, ...["", " ", "a".repeat(300), "é".repeat(150)]];
const VOCABULARY = revealingVocabulary([
  ...TEXTS.map((text) => text.normalize("NFKD")),
  ...TEXTS.map((text) => text.normalize("NFKC")),
  ...TEXTS.map((text) => text.normalize("NFC")),
  ...TEXTS,
  '▁"xyz',
]);
const ADDED = [
  { content: "<e>" },
  { content: "ÉA", normalized: true, special: false },
  { content: "the", normalized: true, single_word: true, special: false },
];

async function compareAll(options: Partial<JsonOptions>): Promise<void> {
  const json = tokenizerJson({ vocabulary: VOCABULARY, added: ADDED, ...options });
  const ours = parse(json);
  const wanted = await rustTokenizer(json).encodeBatch(TEXTS);
  TEXTS.forEach((text, i) => {
    const got = withoutOverflow(ours.encode(text));
    const want = comparable(wanted[i]!, [text]);
    if (JSON.stringify(got) !== JSON.stringify(want)) expect(got, JSON.stringify(text)).toEqual(want);
  });
  expect(TEXTS.length).toBeGreaterThan(2000);
}

const sequence = (...normalizers: Component[]): Component => ({ type: "Sequence", normalizers });
const replace = (pattern: Component, content: string): Component => ({ type: "Replace", pattern, content });
const strip = (strip_left: boolean, strip_right: boolean): Component => ({ type: "Strip", strip_left, strip_right });
const bert = {
  type: "BertNormalizer",
  clean_text: true,
  handle_chinese_chars: true,
  strip_accents: null,
  lowercase: true,
};

it.each<[string, Component]>([
  ["NFC", { type: "NFC" }],
  ["NFD", { type: "NFD" }],
  ["NFKC", { type: "NFKC" }],
  ["NFKD", { type: "NFKD" }],
  ["Lowercase", { type: "Lowercase" }],
  ["StripAccents", { type: "StripAccents" }],
  ["Strip", strip(true, true)],
  ["Strip of the left", strip(true, false)],
  ["Strip of the right", strip(false, true)],
  ["Prepend", { type: "Prepend", prepend: "▁x" }],
  ["Replace of a string", replace({ String: "''" }, '"')],
  ["Replace with more", replace({ String: "a" }, "xyz")],
  ["Replace with nothing", replace({ String: "." }, "")],
  ["Replace of a few spaces", replace({ Regex: " {2,}" }, " ")],
  ["Replace of white space", replace({ Regex: "\\s+" }, "▁")],
  ["Replace of a class", replace({ Regex: "[aeé]+" }, "xy")],
  ["Replace of one that is escaped", replace({ Regex: "\\." }, "x")],
  ["an empty Sequence", sequence()],
  ["NFD, Lowercase, StripAccents", sequence({ type: "NFD" }, { type: "Lowercase" }, { type: "StripAccents" })],
  ["NFKC, Lowercase", sequence({ type: "NFKC" }, { type: "Lowercase" })],
  ["Lowercase, NFKD, NFC", sequence({ type: "Lowercase" }, { type: "NFKD" }, { type: "NFC" })],
  ["StripAccents, NFC", sequence({ type: "StripAccents" }, { type: "NFC" })],
  ["BertNormalizer, NFC", sequence(bert, { type: "NFC" })],
  ["NFC, BertNormalizer", sequence({ type: "NFC" }, bert)],
  ["Strip in a Sequence in one", sequence(sequence(strip(true, true), bert), { type: "Lowercase" })],
  [
    "as ALBERT's",
    sequence(
      replace({ String: "``" }, '"'),
      replace({ String: "''" }, '"'),
      { type: "NFKD" },
      { type: "StripAccents" },
      {
        type: "Lowercase",
      },
    ),
  ],
  [
    "NFKC, Strip, Replace, Prepend",
    sequence({ type: "NFKC" }, strip(true, true), replace({ Regex: " {2,}" }, "▁"), { type: "Prepend", prepend: "▁" }),
  ],
])("normaliser: %s", async (_, normalizer) => {
  await compareAll({ normalizer });
});

const cuts = (...pretokenizers: Component[]): Component => ({ type: "Sequence", pretokenizers });
const punctuation = (behavior: string): Component => ({ type: "Punctuation", behavior });

it.each<[string, Component]>([
  ["Whitespace", { type: "Whitespace" }],
  ["WhitespaceSplit", { type: "WhitespaceSplit" }],
  ["Punctuation", { type: "Punctuation" }],
  ...["Isolated", "Removed", "Contiguous", "MergedWithPrevious", "MergedWithNext"].map(
    (behavior): [string, Component] => [`Punctuation, ${behavior}`, punctuation(behavior)],
  ),
  ["BertPreTokenizer", { type: "BertPreTokenizer" }],
  ["an empty Sequence", cuts()],
  ["WhitespaceSplit, Punctuation", cuts({ type: "WhitespaceSplit" }, punctuation("Isolated"))],
  ["Punctuation, Whitespace", cuts(punctuation("MergedWithPrevious"), { type: "Whitespace" })],
  [
    "a Sequence in one",
    cuts(cuts({ type: "WhitespaceSplit" }), punctuation("MergedWithNext"), { type: "BertPreTokenizer" }),
  ],
  ["MergedWithNext after Removed", cuts(punctuation("Removed"), punctuation("MergedWithNext"))],
])("pre-tokeniser: %s", async (_, preTokenizer) => {
  await compareAll({ preTokenizer, normalizer: null });
});

describe("post-processor", () => {
  const id = (token: string): number => VOCABULARY.indexOf(token);
  const bertProcessing = { type: "BertProcessing", sep: ["[SEP]", id("[SEP]")], cls: ["[CLS]", id("[CLS]")] };
  const special = (token: string, type_id: number): Component => ({ SpecialToken: { id: token, type_id } });
  const text = (name: string, type_id: number): Component => ({ Sequence: { id: name, type_id } });
  const template = {
    type: "TemplateProcessing",
    single: [special("[CLS]", 0), text("A", 0), special("[SEP]", 0), special("end", 0)],
    pair: [special("[CLS]", 2), text("B", 1), special("[SEP]", 1), text("A", 0)],
    special_tokens: {
      "[CLS]": { id: "[CLS]", ids: [id("[CLS]")], tokens: ["[CLS]"] },
      "[SEP]": { id: "[SEP]", ids: [id("[SEP]")], tokens: ["[SEP]"] },
      end: { id: "end", ids: [id("[MASK]"), id("a")], tokens: ["[MASK]", "a"] },
    },
  };

  it.each<[string, unknown]>([
    ["null", null],
    ["BertProcessing", bertProcessing],
    ["TemplateProcessing", template],
    ["an empty Sequence", { type: "Sequence", processors: [] }],
    ["a Sequence of BertProcessing", { type: "Sequence", processors: [bertProcessing] }],
    ["a Sequence of a Sequence", { type: "Sequence", processors: [{ type: "Sequence", processors: [template] }] }],
  ])("%s", async (_, postProcessor) => {
    const json = tokenizerJson({ vocabulary: VOCABULARY, postProcessor });
    const [ours, theirs] = [parse(json), rustTokenizer(json)];
    for (const [i, first] of TEXTS.slice(0, 2000).entries()) {
      const second = TEXTS[2000 - i]!;
      const addSpecialTokens = i % 4 > 0;
      const texts: [string, string?] = i % 2 === 0 ? [first] : [first, second];
      const want = comparable(await theirs.encode(first, texts[1] ?? null, { addSpecialTokens }), texts as string[]);
      const got = withoutOverflow(ours.encode(first, texts[1], { addSpecialTokens }));
      if (JSON.stringify(got) !== JSON.stringify(want)) expect(got, JSON.stringify(texts)).toEqual(want);
    }
  });

  it("is refused where two of a Sequence add tokens", () => {
    const postProcessor = { type: "Sequence", processors: [bertProcessing, template] };
    expect(() => parse(tokenizerJson({ vocabulary: VOCABULARY, postProcessor }))).toThrow(
      "post_processor: how many add tokens is 2; expected 1",
    );
  });
});
