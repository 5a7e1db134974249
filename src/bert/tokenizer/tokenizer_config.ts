/**
 * tokenizer_config.json and special_tokens_map.json: what transformers keeps beside the vocabulary. Mirrors
 * PreTrainedTokenizerBase._from_pretrained and TokenizersBackend.__init__ of transformers 5.
 */

import {
  at,
  childOf,
  countOf,
  type Fields,
  fieldsOf,
  flagOf,
  has,
  listOf,
  optional,
  parseFields,
  textOf,
  wrong,
} from "./fields.ts";
import type { NormalizerOptions } from "./normalizer_steps.ts";
import type { AddedToken, NameOf } from "./vocabulary.ts";

/** Special tokens by key (`mask_token`), null where a file says that there is none. */
export type NamedTokens = ReadonlyMap<string, AddedToken | null>;

export interface TokenizerConfig {
  /** What the file says of BERT's normaliser. */
  readonly normalizer: NormalizerOptions;
  /** Those that the files give, in the order in which they are added. */
  readonly named: NamedTokens;
  /** Special tokens without a key. */
  readonly extra: readonly AddedToken[];
  /** Whether added_tokens.json, which only gives ids, may list it as a special token. */
  readonly isSpecial: (content: string) => boolean;
  /** `added_tokens_decoder`. Without it, added_tokens.json and tokenizer.json say which tokens are added. */
  readonly addedTokens: readonly AddedToken[] | undefined;
  readonly cleanUpTokenizationSpaces: boolean;
  /** Whether special tokens in a text are words like others. */
  readonly splitSpecialTokens: boolean;
  /** Tokens; undefined for none, which transformers writes as 1e30. */
  readonly modelMaxLength: number | undefined;
  readonly tokenizerClass: string | undefined;
}

/** A file of the folder; `text` is undefined when it is not there. */
export interface TextFile {
  readonly text: string | undefined;
  readonly file: string;
}

/** In the order in which transformers adds them. */
export const ROLES: readonly string[] = [
  "bos_token",
  "eos_token",
  "unk_token",
  "sep_token",
  "pad_token",
  "cls_token",
  "mask_token",
];
const EXTRA = "extra_special_tokens";
const MORE = "additional_special_tokens";

/**
 * The configuration in `text`; that of a folder without the file when it is undefined. The special tokens of `map`
 * (special_tokens_map.json) win, unless there is an `added_tokens_decoder`: then it is a leftover.
 */
export function parseTokenizerConfig(text: string | undefined, file: string, map?: TextFile): TokenizerConfig {
  const fields = parseFields(text ?? "{}", file);
  const addedTokens = addedTokensOf(fields);
  const mapped = addedTokens ? parseFields("{}", "") : parseFields(map?.text ?? "{}", map?.file ?? "");

  const named = new Map<string, AddedToken | null>();
  const keys = [...Object.keys(fields.values), ...Object.keys(mapped.values)].filter((key) => key.endsWith("_token"));
  for (const key of new Set([...ROLES, ...keys])) {
    const from = Object.hasOwn(mapped.values, key) ? mapped : fields;
    const value = from.values[key];
    if (value === null) named.set(key, null);
    else if (typeof value === "string" || (value !== undefined && ROLES.includes(key))) {
      named.set(key, specialOf(value, at(from, key))); // add_bos_token and its like are no tokens
    }
  }
  const roles = [...named].filter(([key]) => ROLES.includes(key)).map(([, token]) => token);

  const listIn = (from: Fields, name: string): AddedToken[] | undefined =>
    has(from, name) && !isDict(from, name)
      ? listOf(from, name).map((token, i) => specialOf(token, `${at(from, name)}[${i}]`))
      : undefined;
  for (const from of [fields, mapped]) {
    for (const [key, token] of isDict(from, EXTRA) ? Object.entries(childOf(from, EXTRA).values) : []) {
      named.set(key, specialOf(token, `${at(from, EXTRA)}.${key}`));
    }
  }
  // Of the two keys the new one counts, then the old one; the map's old one only where the configuration has none.
  let extra = listIn(fields, EXTRA);
  if (!extra?.length && !isDict(fields, EXTRA)) extra = listIn(fields, MORE) ?? extra;
  const added = listIn(mapped, EXTRA);
  if (added) extra = [...(extra ?? []), ...added];
  const known = new Set([...roles, ...(extra ?? [])].map((token) => token?.content));
  return {
    normalizer: {
      lowercase: optional(fields, "do_lower_case", flagOf),
      stripAccents: optional(fields, "strip_accents", flagOf),
      handleChineseChars: optional(fields, "tokenize_chinese_chars", flagOf),
    },
    named,
    extra: extra ?? listIn(mapped, MORE) ?? listIn(fields, MORE) ?? [],
    isSpecial: (content) => known.has(content),
    addedTokens,
    cleanUpTokenizationSpaces: flagOf(fields, "clean_up_tokenization_spaces", false),
    splitSpecialTokens: flagOf(fields, "split_special_tokens", false),
    modelMaxLength: maxLengthOf(fields),
    tokenizerClass: optional(fields, "tokenizer_class", textOf),
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

/** A special token of which no file says more, or that it is special. */
export function plainToken(content: string, id: number = 0, special: boolean = true): AddedToken {
  return addedTokenOf({ where: "", values: { content, special } }, id);
}

/**
 * The added tokens that files list beside those of tokenizer.json, in the order of their ids.
 * @param json `added_tokens` of tokenizer.json
 * @param legacy added_tokens.json: `{ token: id }`
 */
export function listedTokens(config: TokenizerConfig, json: readonly AddedToken[], legacy?: TextFile): AddedToken[] {
  const byId = new Map<number, AddedToken>();
  if (config.addedTokens === undefined) {
    const fields = parseFields(legacy?.text ?? "{}", legacy?.file ?? "");
    for (const content of Object.keys(fields.values)) {
      const id = countOf(fields, content, 0, 0x7fffffff);
      byId.set(id, plainToken(content, id, config.isSpecial(content)));
    }
  }
  for (const token of config.addedTokens ?? json) byId.set(token.id, token);
  return [...byId.values()].sort((a, b) => a.id - b.id);
}

/** What the special token of a role (`mask`) is called; where no file says it, as in BERT. */
export function namesOf(named: NamedTokens): NameOf {
  return (role) => named.get(`${role}_token`)?.content ?? `[${role.toUpperCase()}]`;
}

/** The tokens to add, in order: those that are `listed`, named ones among them special; then the named, then the others. */
export function addedTo(
  listed: readonly AddedToken[],
  named: NamedTokens,
  extra: readonly AddedToken[],
): { readonly listed: AddedToken[]; readonly named: AddedToken[] } {
  const tokens = [...named.values()].filter((token) => token !== null);
  const names = new Set(tokens.map(({ content }) => content));
  return {
    listed: listed.map((token) => (names.has(token.content) ? { ...token, special: true } : token)),
    named: [...tokens, ...extra],
  };
}

function isDict(fields: Fields, name: string): boolean {
  return has(fields, name) && !Array.isArray(fields.values[name]);
}

function addedTokensOf(fields: Fields): AddedToken[] | undefined {
  if (!has(fields, "added_tokens_decoder")) return undefined;
  const where = at(fields, "added_tokens_decoder");
  return Object.entries(fieldsOf(fields.values.added_tokens_decoder, where).values).map(([key, value]) => {
    if (!/^\d{1,9}$/.test(key)) throw wrong(`${where}: the key`, key, "an id");
    return addedTokenOf(fieldsOf(value, `${where}[${key}]`), Number(key));
  });
}

/** A special token is written as a string or as an object with `content`. */
function specialOf(value: unknown, where: string): AddedToken {
  return typeof value === "string" ? plainToken(value) : { ...addedTokenOf(fieldsOf(value, where), 0), special: true };
}

function maxLengthOf(fields: Fields): number | undefined {
  const name = has(fields, "model_max_length") ? "model_max_length" : "max_len";
  const value = fields.values[name];
  if (!has(fields, name) || (typeof value === "number" && value > 0x7fffffff)) return undefined;
  return countOf(fields, name, 1, 0x7fffffff);
}
