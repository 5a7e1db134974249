/** tokenizer_config.json: what transformers keeps beside the vocabulary. Mirrors PreTrainedTokenizerBase.__init__. */

import { at, countOf, type Fields, fieldsOf, flagOf, has, listOf, parseFields, textOf, wrong } from "./fields.ts";
import type { NormalizerOptions } from "./normalizer.ts";
import type { AddedToken, SpecialNames } from "./vocabulary.ts";

export interface TokenizerConfig {
  /** What the file says of the normaliser; a field that it lacks is undefined. */
  readonly lowercase: boolean | undefined;
  /** null: accents go with lower case. */
  readonly stripAccents: boolean | null | undefined;
  readonly handleChineseChars: boolean | undefined;
  readonly names: SpecialNames;
  /** `additional_special_tokens` */
  readonly moreSpecial: readonly string[];
  /** `added_tokens_decoder` */
  readonly addedTokens: readonly AddedToken[];
  readonly cleanUpTokenizationSpaces: boolean;
  /** Tokens; undefined for none, which transformers writes as 1e30. */
  readonly modelMaxLength: number | undefined;
  readonly tokenizerClass: string | undefined;
}

/** The configuration in `text`; that of a folder without the file when it is undefined. */
export function parseTokenizerConfig(text: string | undefined, file: string): TokenizerConfig {
  const fields = parseFields(text ?? "{}", file);
  const optional = (name: string): boolean | undefined => (has(fields, name) ? flagOf(fields, name, false) : undefined);
  const name = (role: string): string =>
    contentOf(fields.values[`${role}_token`] ?? `[${role.toUpperCase()}]`, at(fields, `${role}_token`));
  return {
    lowercase: optional("do_lower_case"),
    stripAccents: fields.values.strip_accents === null ? null : optional("strip_accents"),
    handleChineseChars: optional("tokenize_chinese_chars"),
    names: { unk: name("unk"), cls: name("cls"), sep: name("sep"), pad: name("pad"), mask: name("mask") },
    moreSpecial: listOf(fields, "additional_special_tokens").map((token, i) =>
      contentOf(token, at(fields, `additional_special_tokens[${i}]`)),
    ),
    addedTokens: addedTokensOf(fields),
    cleanUpTokenizationSpaces: flagOf(fields, "clean_up_tokenization_spaces", false),
    modelMaxLength: maxLengthOf(fields),
    tokenizerClass: has(fields, "tokenizer_class") ? textOf(fields, "tokenizer_class") : undefined,
  };
}

/** As a model folder writes it: stripAccents null follows lowercase. */
export type WrittenNormalizer = Omit<NormalizerOptions, "stripAccents"> & { readonly stripAccents: boolean | null };

/** The normaliser to use: as in transformers, a field that tokenizer_config.json gives wins over the one `written`. */
export function configured(written: WrittenNormalizer, config: TokenizerConfig): NormalizerOptions {
  const lowercase = config.lowercase ?? written.lowercase;
  const stripAccents = config.stripAccents === undefined ? written.stripAccents : config.stripAccents;
  return {
    cleanText: written.cleanText,
    handleChineseChars: config.handleChineseChars ?? written.handleChineseChars,
    stripAccents: stripAccents ?? lowercase,
    lowercase,
  };
}

/** An added token as both tokenizer.json and tokenizer_config.json write it. */
export function addedTokenOf(fields: Fields, id: number): AddedToken {
  const special = flagOf(fields, "special", false);
  return {
    id,
    content: textOf(fields, "content"),
    special,
    lstrip: flagOf(fields, "lstrip", false),
    rstrip: flagOf(fields, "rstrip", false),
    singleWord: flagOf(fields, "single_word", false),
    normalized: flagOf(fields, "normalized", !special),
  };
}

function addedTokensOf(fields: Fields): AddedToken[] {
  if (!has(fields, "added_tokens_decoder")) return [];
  const where = at(fields, "added_tokens_decoder");
  return Object.entries(fieldsOf(fields.values.added_tokens_decoder, where).values).map(([key, value]) => {
    if (!/^\d{1,9}$/.test(key)) throw wrong(`${where}: the key`, key, "an id");
    return addedTokenOf(fieldsOf(value, `${where}[${key}]`), Number(key));
  });
}

/** A special token is written as a string or as an object with `content`. */
function contentOf(value: unknown, where: string): string {
  return typeof value === "string" ? value : textOf(fieldsOf(value, where), "content");
}

function maxLengthOf(fields: Fields): number | undefined {
  const name = has(fields, "model_max_length") ? "model_max_length" : "max_len";
  const value = fields.values[name];
  if (!has(fields, name) || (typeof value === "number" && value > 0x7fffffff)) return undefined;
  return countOf(fields, name, 1, 0x7fffffff);
}
