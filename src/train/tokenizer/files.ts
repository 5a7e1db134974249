/** The files of a tokenizer, as transformers' BertTokenizer has them. */

import { PREFIX } from "./merges.ts";

/** Special tokens that a BERT has, in the order of their ids where nothing else is said. */
export const SPECIAL: readonly string[] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/** Characters of a word that is cut, as in every BERT. */
const LONGEST_CUT = 100;

export interface TokenizerSettings {
  /** All of `SPECIAL`, and others. */
  readonly specialTokens: readonly string[];
  readonly lowercase: boolean;
  /** Undefined: as `lowercase`. */
  readonly stripAccents: boolean | undefined;
  /** Tokens that a model takes. */
  readonly maxLength: number;
}

/**
 * By name: vocab.txt, tokenizer.json, tokenizer_config.json.
 * @param vocabulary by id, special tokens included
 */
export function tokenizerFiles(
  vocabulary: readonly string[],
  settings: TokenizerSettings,
): Readonly<Record<string, string>> {
  return {
    "vocab.txt": `${vocabulary.join("\n")}\n`,
    "tokenizer.json": jsonOf(tokenizerJson(vocabulary, settings)),
    "tokenizer_config.json": jsonOf(configJson(settings)),
  };
}

const jsonOf = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

function configJson({ specialTokens, lowercase, stripAccents, maxLength }: TokenizerSettings): unknown {
  const more = specialTokens.filter((token) => !SPECIAL.includes(token));
  return {
    backend: "tokenizers",
    ...Object.fromEntries(SPECIAL.map((token) => [`${token.slice(1, -1).toLowerCase()}_token`, token])),
    ...(more.length > 0 && { extra_special_tokens: more }),
    do_lower_case: lowercase,
    strip_accents: stripAccents ?? null,
    tokenize_chinese_chars: true,
    model_max_length: maxLength,
    tokenizer_class: "BertTokenizer",
  };
}

function tokenizerJson(vocabulary: readonly string[], settings: TokenizerSettings): unknown {
  const { specialTokens, lowercase, stripAccents } = settings;
  const text = (id: "A" | "B", type_id: number): unknown => ({ Sequence: { id, type_id } });
  const special = (id: string, type_id: number): unknown => ({ SpecialToken: { id, type_id } });
  const single = [special("[CLS]", 0), text("A", 0), special("[SEP]", 0)];
  const numbered = (token: string): unknown => ({ id: token, ids: [vocabulary.indexOf(token)], tokens: [token] });
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content) => ({
      id: vocabulary.indexOf(content),
      content,
      ...{ single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
    })),
    normalizer: {
      type: "BertNormalizer",
      ...{ clean_text: true, handle_chinese_chars: true },
      strip_accents: stripAccents ?? null,
      lowercase,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: {
      type: "TemplateProcessing",
      single,
      pair: [...single, text("B", 1), special("[SEP]", 1)],
      special_tokens: { "[CLS]": numbered("[CLS]"), "[SEP]": numbered("[SEP]") },
    },
    decoder: { type: "WordPiece", prefix: PREFIX, cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: "[UNK]",
      continuing_subword_prefix: PREFIX,
      max_input_chars_per_word: LONGEST_CUT,
      vocab: Object.fromEntries(vocabulary.map((piece, id) => [piece, id])),
    },
  };
}
