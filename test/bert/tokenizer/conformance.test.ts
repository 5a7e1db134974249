/** The unit tests that came with BERT, transformers, tokenizers and transformers.js. */

import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { createNormalizer } from "../../../src/bert/tokenizer/normalizer.ts";
import { bertSteps } from "../../../src/bert/tokenizer/normalizer_steps.ts";
import { createTokenizer, type Tokenizer } from "../../../src/bert/tokenizer/tokenizer.ts";
import { parseTokenizerConfig } from "../../../src/bert/tokenizer/tokenizer_config.ts";
import { parseTokenizerJson } from "../../../src/bert/tokenizer/tokenizer_json.ts";
import { isControl, isPunctuation, isSpace } from "../../../src/bert/tokenizer/unicode.ts";
import { tokenizerJson } from "./oracle.ts";

const SHARED = new URL("../../../../shared/", import.meta.url);
const here = existsSync(new URL("conformance/tokenizer/", SHARED)) && existsSync(new URL("models/", SHARED));
const why = here ? "" : " (skipped: needs ../shared/conformance and ../shared/models)";

interface Classic {
  level: "full" | "basic" | "wordpiece" | "char_class" | "normalize" | "pre_tokenize";
  text: string;
  text_pair?: string;
  options: {
    lowercase?: boolean;
    strip_accents?: boolean | null;
    handle_chinese_chars?: boolean;
    clean_text?: boolean;
    vocab?: string[] | string;
    add_special_tokens?: boolean;
  };
  expected: {
    tokens?: string[];
    ids?: number[];
    offsets?: number[][];
    type_ids?: number[];
    normalized?: string;
    is_whitespace?: boolean;
    is_control?: boolean;
    is_punctuation?: boolean;
  };
}

function read(path: string): string {
  return readFileSync(new URL(path, SHARED), "utf8");
}

function lines<T>(path: string): T[] {
  return read(path)
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as T);
}

function parse(json: string, config?: string): Tokenizer {
  return createTokenizer(
    parseTokenizerJson(json, "tokenizer.json", parseTokenizerConfig(config, "tokenizer_config.json")),
  );
}

function tokenizerFor({ level, options, expected }: Classic): Tokenizer {
  const { lowercase = false, strip_accents = null, handle_chinese_chars = true, clean_text = true } = options;
  const normalizer = { lowercase, strip_accents, handle_chinese_chars, clean_text };
  const special = ["[UNK]", "[CLS]", "[SEP]"];
  let { vocab } = options;
  // A test of basic tokenisation has no vocabulary: its words are it.
  if (level === "basic" || level === "pre_tokenize") vocab = [...new Set([...special, ...expected.tokens!])];
  if (typeof vocab === "string") {
    const folder = `models/tokenizer-bert-base-${lowercase ? "uncased" : "cased"}/`;
    vocab = read(`${folder}vocab.txt`).trimEnd().split("\n");
  }
  return parse(tokenizerJson({ vocabulary: vocab!, normalizer }));
}

describe("conformance", () => {
  it.skipIf(!here)(`classic unit tests${why}`, () => {
    const records = lines<Classic>("conformance/tokenizer/classic_unit_tests.jsonl");
    expect(records.length).toBe(77);
    for (const record of records) {
      const { level, text, text_pair, options, expected } = record;
      const code = text.codePointAt(0)!;
      if (level === "char_class") {
        // BERT counts tab, newline and return as white space only.
        if (expected.is_whitespace !== undefined) expect(isSpace(code)).toBe(expected.is_whitespace);
        if (expected.is_control !== undefined) expect(isControl(code)).toBe(expected.is_control);
        if (expected.is_punctuation !== undefined) expect(isPunctuation(code)).toBe(expected.is_punctuation);
      } else if (level === "normalize") {
        const steps = bertSteps({
          cleanText: options.clean_text!,
          handleChineseChars: options.handle_chinese_chars!,
          stripAccents: options.strip_accents!,
          lowercase: options.lowercase!,
        });
        const normalize = createNormalizer(steps, () => 0);
        const { codes, length } = normalize(text, 0, text.length);
        expect(String.fromCodePoint(...codes.subarray(0, length))).toBe(expected.normalized);
      } else {
        const addSpecialTokens = level === "full" && options.add_special_tokens === true;
        const got = tokenizerFor(record).encode(text, text_pair, { addSpecialTokens });
        expect(got.tokens, text).toEqual(expected.tokens);
        if (expected.ids !== undefined) expect(got.ids, text).toEqual(expected.ids);
        if (expected.offsets !== undefined) expect(got.offsets, text).toEqual(expected.offsets);
        if (expected.type_ids !== undefined) expect(got.typeIds, text).toEqual(expected.type_ids);
      }
    }
  });

  it.skipIf(!here)(`transformers.js${why}`, () => {
    const folder = "models/tokenizer-bert-base-uncased/";
    const tokenizer = parse(read(`${folder}tokenizer.json`), read(`${folder}tokenizer_config.json`));
    const records = lines<{
      text: string;
      text_pair: string | null;
      expected: { tokens: string[]; ids: number[]; decoded: string };
      vocab_available?: string;
    }>("conformance/tokenizer/transformersjs.jsonl").filter((record) => record.vocab_available !== undefined);
    expect(records.length).toBe(42);
    for (const { text, text_pair, expected } of records) {
      const { ids } = tokenizer.encode(text, text_pair ?? undefined);
      expect(ids, text).toEqual(expected.ids);
      expect(tokenizer.encode(text, text_pair ?? undefined, { addSpecialTokens: false }).tokens, text).toEqual(
        expected.tokens,
      );
      expect(tokenizer.decode(ids, { cleanUpTokenizationSpaces: true }), text).toBe(expected.decoded);
    }
  });
});
