/** What transformers itself gave: encodings, strided windows and decoded texts of two trained vocabularies. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { loadTokenizer } from "../../../src/bert/tokenizer/load.ts";
import type { EncodeOptions, Tokenizer } from "../../../src/bert/tokenizer/tokenizer.ts";
import type { TruncationStrategy } from "../../../src/bert/tokenizer/truncation.ts";
import { memoryFolder } from "../../files/build.ts";

const TEXT = new URL("../../../../shared/fixtures/text/", import.meta.url);

interface Case {
  text: string;
  pair?: string | null;
  kwargs: {
    truncation?: true | TruncationStrategy;
    max_length?: number;
    stride?: number;
    return_overflowing_tokens?: boolean;
    padding?: "max_length";
    add_special_tokens?: boolean;
  };
  tokens: string[];
  input_ids: number[];
  token_type_ids: number[];
  attention_mask: number[];
  word_ids: (number | null)[];
  sequence_ids: (0 | 1 | null)[];
  offsets_utf16: [number, number][];
  windows_input_ids?: number[][];
  windows_offsets_codepoint?: [number, number][][];
}

interface Expected {
  cases: Case[];
  decode: { input_ids: number[]; skip_special_tokens: boolean; text: string }[];
}

/** The tokenizer of a folder of the fixtures, from `files` alone. */
function load(folder: URL, files: readonly string[]): Promise<Tokenizer> {
  const contents = files.map((file) => [file, readFileSync(new URL(file, folder), "utf8")] as const);
  return loadTokenizer(memoryFolder(Object.fromEntries(contents)));
}

function optionsOf(kwargs: Case["kwargs"]): EncodeOptions {
  return {
    truncation: kwargs.truncation === true ? "longest_first" : kwargs.truncation,
    maxLength: kwargs.max_length,
    stride: kwargs.stride,
    returnOverflow: kwargs.return_overflowing_tokens,
    padding: kwargs.padding,
    addSpecialTokens: kwargs.add_special_tokens,
  };
}

describe.each(["tokenizer-uncased", "tokenizer-cased"])("%s", (name) => {
  const folder = new URL(`${name}/`, TEXT);
  const here = existsSync(folder);
  const why = here ? "" : " (skipped: needs ../shared/fixtures)";

  it.skipIf(!here).each([["tokenizer.json"], ["vocab.txt"]])(`from %s${why}`, async (file) => {
    const tokenizer = await load(folder, [file, "tokenizer_config.json"]);
    const expected = JSON.parse(readFileSync(new URL("expected.json", folder), "utf8")) as Expected;
    expect(tokenizer.modelMaxLength).toBe(512);
    for (const { text, pair, kwargs, ...want } of expected.cases) {
      const got = tokenizer.encode(text, pair ?? undefined, optionsOf(kwargs));
      if (want.windows_input_ids !== undefined) {
        const windows = [got, ...got.overflow];
        expect(windows.map(({ ids }) => ids)).toEqual(want.windows_input_ids);
        expect(windows.map(({ offsets }) => offsets)).toEqual(want.windows_offsets_codepoint); // the text is ASCII
        continue;
      }
      expect(got.tokens).toEqual(want.tokens);
      expect(got.ids).toEqual(want.input_ids);
      expect(got.typeIds).toEqual(want.token_type_ids);
      expect(got.attentionMask).toEqual(want.attention_mask);
      expect(got.wordIds).toEqual(want.word_ids);
      expect(got.sequenceIds).toEqual(want.sequence_ids);
      expect(got.offsets).toEqual(want.offsets_utf16);
    }
    for (const { input_ids, skip_special_tokens, text } of expected.decode) {
      expect(tokenizer.decode(input_ids, { skipSpecialTokens: skip_special_tokens })).toBe(text);
    }
  });
});

describe("task fixtures", () => {
  const here = existsSync(TEXT);

  it.skipIf(!here)(`tokenised inputs of every task${here ? "" : " (skipped: needs ../shared/fixtures)"}`, async () => {
    let compared = 0;
    for (const name of readdirSync(TEXT)) {
      if (name.startsWith("tokenizer-")) continue;
      const folder = new URL(`${name}/`, TEXT);
      const tokenizer = await load(folder, ["tokenizer.json", "tokenizer_config.json"]);
      const { cases } = JSON.parse(readFileSync(new URL("expected.json", folder), "utf8")) as {
        cases: { inputs: unknown; kwargs?: { is_split_into_words?: boolean }; tokenised?: unknown }[];
      };
      for (const { inputs, kwargs, tokenised } of cases) {
        const list = Array.isArray(tokenised) ? tokenised : [tokenised];
        const texts = Array.isArray(inputs) && kwargs?.is_split_into_words !== true ? inputs : [inputs];
        for (const [i, text] of texts.entries()) {
          const ids = (list[i] as { input_ids?: number[] } | undefined)?.input_ids;
          if (ids === undefined || typeof text !== "string") continue;
          expect(tokenizer.encode(text, undefined, { truncation: "longest_first" }).ids, text).toEqual(ids);
          compared++;
        }
      }
    }
    expect(compared).toBeGreaterThan(20);
  });
});
