/** Hugging Face's Rust tokenizers, from npm, as the answer book. */

import { createRequire } from "node:module";
import type { Encoding } from "../../../src/bert/tokenizer/tokenizer.ts";

// The package is CommonJS and sets its exports when it runs, so named imports do not see them.
const rust = createRequire(import.meta.url)("tokenizers") as typeof import("tokenizers");

export { rust };

type RustEncoding = import("tokenizers").Encoding;
type RustTokenizer = import("tokenizers").Tokenizer;

/** What both sides tell of an encoding. */
export type Comparable = Omit<Encoding, "overflow">;

/** A tokenizer of the oracle, without the truncation and padding that its file may carry. */
export function rustTokenizer(json: string): RustTokenizer {
  const tokenizer = rust.Tokenizer.fromString(json);
  tokenizer.disableTruncation();
  tokenizer.disablePadding();
  return tokenizer;
}

/** The oracle's encoding with offsets in UTF-16 units of `texts`: it counts code points. */
export function comparable(encoding: RustEncoding, texts: readonly string[]): Comparable {
  const units = texts.map(unitsOf);
  const sequenceIds = encoding.getSequenceIds().map((id) => (id ?? null) as 0 | 1 | null);
  return {
    ids: encoding.getIds(),
    tokens: encoding.getTokens(),
    typeIds: encoding.getTypeIds(),
    attentionMask: encoding.getAttentionMask(),
    specialTokensMask: encoding.getSpecialTokensMask(),
    offsets: encoding.getOffsets().map(([start, end], i) => {
      const map = units[sequenceIds[i] ?? 0]!;
      return sequenceIds[i] === null ? [0, 0] : [map[start!]!, map[end!]!];
    }),
    wordIds: encoding.getWordIds().map((id) => id ?? null),
    sequenceIds,
  };
}

/** Ours, without the overflow. */
export function withoutOverflow({ overflow: _, ...rest }: Encoding): Comparable {
  return rest;
}

/** For each code point, and the end, its index in UTF-16 units. */
function unitsOf(text: string): number[] {
  const units = [0];
  for (const char of text) units.push(units.at(-1)! + char.length);
  return units;
}

export interface JsonOptions {
  readonly vocabulary: readonly string[];
  /** Of BertNormalizer, or with a `type` all of another. */
  readonly normalizer?: Readonly<Record<string, unknown>> | null;
  readonly preTokenizer?: Readonly<Record<string, unknown>>;
  readonly added?: readonly Readonly<Record<string, unknown>>[];
  readonly model?: Readonly<Record<string, unknown>>;
  readonly postProcessor?: unknown;
}

/** A tokenizer.json for both sides. The five special tokens are added when the vocabulary has them. */
export function tokenizerJson(options: JsonOptions): string {
  const {
    vocabulary,
    normalizer,
    preTokenizer = { type: "BertPreTokenizer" },
    added = [],
    model,
    postProcessor,
  } = options;
  const id = (token: string): number => vocabulary.lastIndexOf(token);
  const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  let next = vocabulary.length;
  const special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].filter((token) => vocabulary.includes(token));
  return JSON.stringify({
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [
      ...special.map((content) => ({ id: id(content), content, ...plain })),
      ...added.map((token) => {
        const known = id(token.content as string);
        return { ...plain, id: known < 0 ? next++ : known, ...token };
      }),
    ],
    normalizer:
      normalizer === null || normalizer?.type !== undefined
        ? normalizer
        : {
            type: "BertNormalizer",
            clean_text: true,
            handle_chinese_chars: true,
            strip_accents: null,
            lowercase: true,
            ...normalizer,
          },
    pre_tokenizer: preTokenizer,
    post_processor:
      postProcessor === undefined
        ? { type: "BertProcessing", sep: ["[SEP]", id("[SEP]")], cls: ["[CLS]", id("[CLS]")] }
        : postProcessor,
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: "[UNK]",
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(vocabulary.map((token, i) => [token, i])),
      ...model,
    },
  });
}

/**
 * A vocabulary that hides nothing: every character that the texts can become is a token and a piece, and so are some
 * longer pieces, so that a wrong normalisation shows in the tokens instead of drowning in [UNK].
 */
export function revealingVocabulary(texts: readonly string[]): string[] {
  const chars = new Set<string>();
  for (const text of texts) {
    for (const form of [text, text.toLowerCase(), text.normalize("NFD"), text.toLowerCase().normalize("NFD")]) {
      for (const char of form) if (!/[\ud800-\udfff]/u.test(char)) chars.add(char);
    }
  }
  const longer = [
    "the",
    "film",
    "##ing",
    "un",
    "##able",
    "er",
    "##er",
    "##in",
    "qu",
    "##ck",
    "##ick",
    "caf",
    "##fe",
    "москва",
  ];
  const tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ...longer, ...[...chars].flatMap((c) => [c, `##${c}`])];
  return [...new Set(tokens)];
}
