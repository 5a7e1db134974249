/** Truncation, windows and padding, against the original where it answers. */

import { describe, expect, it } from "vitest";
import type { Encoding } from "../../../src/bert/tokenizer/tokenizer.ts";
import { createTokenizer, type EncodeOptions } from "../../../src/bert/tokenizer/tokenizer.ts";
import { parseTokenizerConfig } from "../../../src/bert/tokenizer/tokenizer_config.ts";
import { parseTokenizerJson } from "../../../src/bert/tokenizer/tokenizer_json.ts";
import { cutsOf, keptLengths, type TruncationStrategy } from "../../../src/bert/tokenizer/truncation.ts";
import { random as seeded } from "../../support.ts";
import { pick } from "./corpus.ts";
import { comparable, rustTokenizer, tokenizerJson, withoutOverflow } from "./oracle.ts";

const WORDS = ["a", "b", "c", "d", "e", "f", "g", "h", "abc", "bad", "fed"];
const VOCABULARY = [
  "[PAD]",
  "[UNK]",
  "[CLS]",
  "[SEP]",
  "[MASK]",
  ..."abcdefgh",
  ...Array.from("abcdefgh", (c) => `##${c}`),
];
const TEMPLATE = {
  type: "TemplateProcessing",
  single: [special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0)],
  pair: [special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0), sequence("B", 1), special("[SEP]", 1)],
  special_tokens: {
    "[CLS]": { id: "[CLS]", ids: [2], tokens: ["[CLS]"] },
    "[SEP]": { id: "[SEP]", ids: [3], tokens: ["[SEP]"] },
  },
};
const JSON_TEXT = tokenizerJson({ vocabulary: VOCABULARY, postProcessor: TEMPLATE });
const tokenizer = createTokenizer(parseTokenizerJson(JSON_TEXT, "tokenizer.json", parseTokenizerConfig(undefined, "")));

function special(id: string, type_id: number): unknown {
  return { SpecialToken: { id, type_id } };
}

function sequence(id: string, type_id: number): unknown {
  return { Sequence: { id, type_id } };
}

function words(random: () => number, most: number): string {
  return Array.from({ length: 1 + Math.floor(random() * most) }, () => pick(random, WORDS)).join(" ");
}

/** Now and then many times as long as what is read at a time. */
function longOrShort(random: () => number): string {
  const text = words(random, 60);
  return random() < 0.4 ? Array.from({ length: 1 + Math.floor(random() * 60) }, () => text).join(" ") : text;
}

interface CutOptions {
  readonly truncation: TruncationStrategy;
  readonly maxLength: number;
  readonly addSpecialTokens: boolean;
}

/** What truncation gives, from the encoding of all of the texts; and their tokens. */
function cutWhole(text: string, pair: string | undefined, { truncation, maxLength, addSpecialTokens }: CutOptions) {
  const { overflow: _, ...whole } = tokenizer.encode(text, pair, { addSpecialTokens });
  const count = (of: 0 | 1 | null): number => whole.sequenceIds.filter((id) => id === of).length;
  const lengths = pair === undefined ? [count(0)] : [count(0), count(1)];
  const kept = keptLengths(lengths, count(null), { strategy: truncation, maxLength });
  const seen = [0, 0];
  const stays = whole.sequenceIds.map((id) => id === null || seen[id]!++ < kept[id]!);
  const cut = Object.entries(whole).map(([name, values]) => [name, (values as unknown[]).filter((_, i) => stays[i])]);
  return { ...(Object.fromEntries(cut) as typeof whole), total: whole.ids.length };
}

function orError<T>(call: () => T): T | string {
  try {
    return call();
  } catch (error) {
    return (error as Error).message;
  }
}

const STRATEGIES = { longest_first: "LongestFirst", only_first: "OnlyFirst", only_second: "OnlySecond" } as const;

describe("truncation", () => {
  it("gives the windows of the original, or an error where it has none", async () => {
    const random = seeded(11);
    const plain = rustTokenizer(JSON_TEXT);
    const truncating = rustTokenizer(JSON_TEXT);
    let windows = 0;
    let errors = 0;
    for (let i = 0; i < 3000; i++) {
      const text = words(random, 20);
      const pair = random() < 0.5 ? words(random, 20) : undefined;
      const texts = pair === undefined ? [text] : [text, pair];
      const truncation = pick(random, ["longest_first", "only_first", "only_second"] as const);
      const maxLength = 3 + Math.floor(random() * 20);
      const stride = Math.floor(random() * 4);
      const options: EncodeOptions = { truncation, maxLength, stride, returnOverflow: true };
      const what = JSON.stringify([text, pair, options]);
      let got: Encoding;
      try {
        got = tokenizer.encode(text, pair, options);
      } catch (error) {
        expect(error, what).toBeInstanceOf(RangeError);
        errors++;
        continue; // the original aborts the process on some of these
      }
      truncating.setTruncation(maxLength, { stride, strategy: STRATEGIES[truncation] as never });
      // Texts are encoded whole and cut afterwards: encode() itself loses the last windows.
      const [a, b] = await Promise.all(texts.map((t) => plain.encode(t, null, { addSpecialTokens: false })));
      const want = truncating.postProcess(a!, b ?? null, true);
      for (const [ours, theirs] of zip([got, ...got.overflow], [want, ...want.getOverflowing()])) {
        expect(ours.ids, what).toEqual(theirs.getIds());
        expect(ours.tokens, what).toEqual(theirs.getTokens());
        expect(ours.offsets, what).toEqual(theirs.getOffsets()); // ASCII: code points are UTF-16 units
        expect(ours.wordIds, what).toEqual(theirs.getWordIds().map((id) => id ?? null));
        expect(ours.specialTokensMask, what).toEqual(theirs.getSpecialTokensMask());
        // Put together from two encodings, the original forgets which text a token is from.
        const second = ours.ids.indexOf(3) + 1;
        expect(ours.typeIds, what).toEqual(ours.ids.map((_, k) => Number(k >= second && pair !== undefined)));
        expect(ours.sequenceIds, what).toEqual(
          ours.ids.map((id, k) => (id === 2 || id === 3 ? null : Number(k >= second))),
        );
        windows++;
      }
    }
    expect(windows).toBeGreaterThan(10_000);
    expect(errors).toBeGreaterThan(100);
  });

  it("keeps the same tokens, and tells how many there are, where it stops reading early", () => {
    const random = seeded(12);
    let [inexact, bothLong] = [0, 0];
    for (let i = 0; i < 2000; i++) {
      const text = longOrShort(random);
      const pair = random() < 0.6 ? longOrShort(random) : undefined;
      const truncation = pick(random, ["longest_first", "only_first", "only_second"] as const);
      const options = { truncation, maxLength: 4 + Math.floor(random() * 100), addSpecialTokens: random() < 0.5 };
      const told: [number, boolean][] = [];
      const onCut = random() < 0.5 ? (...cut: [number, boolean]) => void told.push(cut) : undefined;
      const what = JSON.stringify([text, pair, options]);
      const got = orError(() => tokenizer.encode(text, pair, { ...options, onCut }));
      const want = orError(() => cutWhole(text, pair, options));
      if (typeof got === "string" || typeof want === "string") {
        const general = (fault: unknown): unknown =>
          typeof fault === "string" && fault.replace(/(the|at least) \d+ tokens of the other/, "the others");
        expect(general(got), what).toBe(general(want));
        continue;
      }
      const { total, ...encoding } = want;
      expect(JSON.stringify(withoutOverflow(got)), what).toBe(JSON.stringify(encoding));
      if (onCut === undefined) continue;
      expect(told.length, what).toBe(Number(total > options.maxLength));
      for (const [tokens, exact] of told) {
        if (exact) expect(tokens).toBe(total);
        else expect([tokens, tokens < total]).toEqual([4 * options.maxLength, true]);
        inexact += Number(!exact);
        bothLong += Number(!exact && pair !== undefined && Math.min(text.length, pair.length) > 1000);
      }
    }
    expect(inexact).toBeGreaterThan(100);
    expect(bothLong).toBeGreaterThan(10);
  });

  it("gives the odd token to the text that is longer by one, however long both are", () => {
    for (const count of [600, 5000, 40_000]) {
      const [text, pair] = [`${"a ".repeat(count)}b`, "a ".repeat(count)];
      const lengths = ([first, second]: [string, string]): number[] => {
        const { sequenceIds } = tokenizer.encode(first, second, { truncation: true, maxLength: 20 });
        return [0, 1].map((which) => sequenceIds.filter((id) => id === which).length);
      };
      expect([lengths([text, pair]), lengths([pair, text]), lengths([pair, pair])]).toEqual([
        [9, 8],
        [8, 9],
        [8, 9],
      ]);
    }
  });

  it("reads no more than it needs of words, nor of a text", () => {
    let asked = 0;
    const endless = new Proxy([] as string[], {
      get(words, name) {
        if (name === "length") return 1e9;
        if (typeof name !== "string" || !/^\d+$/.test(name)) return Reflect.get(words, name) as unknown;
        asked++;
        return "abc";
      },
    });
    expect(tokenizer.encode(endless, undefined, { truncation: true, maxLength: 512 }).ids.length).toBe(512);
    expect(asked).toBeLessThan(200);
    // 64 MB: to normalise them alone takes 832 MB, and seconds
    const long = "a bad [MASK] ".repeat(5_000_000);
    const begin = performance.now();
    for (const pair of [undefined, "abc", long.slice(13)]) {
      const truncation = pair === long.slice(13) ? "only_first" : "longest_first";
      const encode = () => tokenizer.encode(long, pair, { truncation, maxLength: 512, onCut: () => {} });
      if (truncation === "only_first") expect(encode).toThrow(/at least \d+ tokens of the other text leave no room/);
      else expect(encode().ids.length).toBe(512);
    }
    expect(performance.now() - begin).toBeLessThan(1500);
  });

  it.each<[string, Parameters<typeof tokenizer.encode>, RegExp]>([
    [
      "a maxLength below the special tokens",
      ["a b", "c", { truncation: "longest_first", maxLength: 2 }],
      /maxLength 2 .* 3 special/,
    ],
    ["no maxLength anywhere", ["a", undefined, { truncation: "longest_first" }], /truncation needs maxLength/],
    [
      "only_second of one text",
      ["a b c", undefined, { truncation: "only_second", maxLength: 4 }],
      /"only_second" needs a pair/,
    ],
    [
      "only_first with a long second",
      ["a", "b c d", { truncation: "only_first", maxLength: 6 }],
      /the 3 tokens of the other text leave no room/,
    ],
    [
      "a stride as long as the room",
      ["a", undefined, { truncation: "longest_first", maxLength: 8, stride: 6 }],
      /stride 6 must be less than the 6 tokens/,
    ],
    [
      "windows that hold no token",
      ["a b", undefined, { truncation: "longest_first", maxLength: 2, returnOverflow: true }],
      /stride 0 must be less than the 0 tokens/,
    ],
    [
      "a stride longer than one text's windows",
      ["a b c d e", "a b c d e", { truncation: "longest_first", maxLength: 9, stride: 3, returnOverflow: true }],
      /stride 3 must be less than the 3 tokens/,
    ],
    [
      "a strategy that is none",
      ["a", undefined, { truncation: "longest" as never }],
      /truncation is "longest"; it must be "longest_first"/,
    ],
    ["half a token", ["a", undefined, { truncation: "longest_first", maxLength: 4.5 }], /maxLength is 4.5/],
    ["a negative stride", ["a", undefined, { truncation: "longest_first", maxLength: 4, stride: -1 }], /stride is -1/],
  ])("refuses %s", (_, given, message) => {
    expect(() => tokenizer.encode(...given)).toThrow(message);
    expect(() => tokenizer.encode(...given)).toThrow(RangeError);
  });

  it("takes true for the default, as transformers does", () => {
    const options = { maxLength: 4, truncation: true, padding: true } as const;
    expect(tokenizer.encodeBatch(["a b c", ""], options).map(({ tokens }) => tokens.join(" "))).toEqual([
      "[CLS] a b [SEP]",
      "[CLS] [SEP] [PAD] [PAD]",
    ]);
  });

  it("leaves only special tokens where they fill maxLength", () => {
    expect(tokenizer.encode("a b", undefined, { truncation: "longest_first", maxLength: 2 }).tokens).toEqual([
      "[CLS]",
      "[SEP]",
    ]);
  });
});

it("refuses overflow windows without number, before they are made", () => {
  expect(() => cutsOf([6000, 6000], [18, 19], 1, true)).toThrow(
    /^117902 overflow windows of 4362374 tokens, at most 65536 of 4194304; lower stride/,
  );
  expect(() => cutsOf([65_537], [1], 0, true)).toThrow(/^65537 overflow windows/);
  expect(() => cutsOf([50_000], [200], 199, true)).toThrow(/^49801 overflow windows of 9960200 tokens,/);
  expect(cutsOf([65_536], [1], 0, true)).toHaveLength(65_536);
});

describe("padding", () => {
  it("to the longest of the batch, or to maxLength, or to a multiple", async () => {
    const theirs = rustTokenizer(JSON_TEXT);
    const batch = ["a b c", "abc", "", "a b c d e f g"];
    const cases: [EncodeOptions, Parameters<typeof theirs.setPadding>[0]][] = [
      [{ padding: "longest" }, {}],
      [{ padding: "longest", padToMultipleOf: 8 }, { padToMultipleOf: 8 }],
      [{ padding: "max_length", maxLength: 6 }, { maxLength: 6 }],
      [
        { padding: "max_length", maxLength: 6, padToMultipleOf: 4 },
        { maxLength: 6, padToMultipleOf: 4 },
      ],
    ];
    for (const [options, padding] of cases) {
      theirs.setPadding(padding);
      const want = await theirs.encodeBatch(batch);
      expect(tokenizer.encodeBatch(batch, options).map(withoutOverflow), JSON.stringify(options)).toEqual(
        want.map((encoding, i) => comparable(encoding, [batch[i]!])),
      );
    }
  });

  it("reaches the overflow windows", () => {
    const options: EncodeOptions = {
      truncation: "longest_first",
      maxLength: 5,
      returnOverflow: true,
      padding: "max_length",
    };
    const { overflow } = tokenizer.encode("a b c d", undefined, options);
    expect(overflow.map(({ tokens, attentionMask }) => [tokens.join(" "), attentionMask.join("")])).toEqual([
      ["[CLS] d [SEP] [PAD] [PAD]", "11100"],
    ]);
  });

  it("refuses what it cannot do", () => {
    expect(() => tokenizer.encode("a", undefined, { padding: "max_length" })).toThrow(
      /padding to max_length needs maxLength/,
    );
    expect(() => tokenizer.encode("a", undefined, { padding: "longest", padToMultipleOf: 0 })).toThrow(
      /padToMultipleOf is 0/,
    );
    const json = tokenizerJson({ vocabulary: ["[UNK]", "[CLS]", "[SEP]", "a"] });
    const padless = createTokenizer(parseTokenizerJson(json, "t.json", parseTokenizerConfig(undefined, "")));
    expect(() => padless.encode("a", undefined, { padding: "longest" })).toThrow(/needs a \[PAD\] token/);
  });
});

function zip<A, B>(a: readonly A[], b: readonly B[]): [A, B][] {
  expect(a.length).toBe(b.length);
  return a.map((x, i) => [x, b[i]!]);
}
