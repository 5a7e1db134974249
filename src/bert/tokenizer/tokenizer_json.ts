/** tokenizer.json, the file of Hugging Face's tokenizers library, as far as it describes a BERT WordPiece tokenizer. */

import {
  at,
  childOf,
  childrenOf,
  countOf,
  type Fields,
  flagOf,
  has,
  listOf,
  parseFields,
  textOf,
  wrong,
} from "./fields.ts";
import type { NormalizerOptions } from "./normalizer.ts";
import type { TokenizerSpec } from "./tokenizer.ts";
import { bertTemplates, type Template, type TemplatePiece, type Templates } from "./tokenizer.ts";
import { addedTokenOf, configured, type TokenizerConfig } from "./tokenizer_config.ts";
import { createVocabulary, specialIds, type Vocabulary } from "./vocabulary.ts";

const MOST_ID = 0x7fffffff;

/** Characters that a word may have where a piece has more: to cut it takes time in the product of the two. */
const MOST_STEPS = 128;

/** Special tokens that a template adds. */
const MOST_SPECIAL = 100;

/**
 * The tokenizer that the text of a tokenizer.json describes. Its `truncation` and `padding`, leftovers of whoever saved
 * it, are not read: they are options of a call.
 * @throws TypeError when it is not a BERT WordPiece tokenizer, or a field is malformed
 * @throws RangeError when ids or sizes are absurd
 */
export function parseTokenizerJson(text: string, file: string, config: TokenizerConfig): TokenizerSpec {
  const root = parseFields(text, file);
  const model = childOf(root, "model");
  // Files from before the type was written are known by their fields.
  expectType(model, ["WordPiece"], has(model, "continuing_subword_prefix") ? "WordPiece" : undefined);
  expectType(childOf(root, "pre_tokenizer"), ["BertPreTokenizer"]);

  const { values } = childOf(model, "vocab");
  const pieces = new Map<string, number>();
  let longest = 0;
  // twice as fast as Object.entries
  for (const token of Object.keys(values)) {
    pieces.set(token, values[token] as number);
    longest = Math.max(longest, token.length);
  }
  const added = childrenOf(root, "added_tokens").map((token) => addedTokenOf(token, countOf(token, "id", 0, MOST_ID)));
  const vocabulary = createVocabulary(pieces, added, file);
  const continuingPrefix = textOf(model, "continuing_subword_prefix", "##");
  return {
    vocabulary,
    special: specialIds({ ...config.names, unk: textOf(model, "unk_token", "[UNK]") }, vocabulary, file),
    normalizer: normalizerOf(root, config),
    continuingPrefix,
    maxInputCharsPerWord: countOf(
      model,
      "max_input_chars_per_word",
      1,
      longest > MOST_STEPS ? MOST_STEPS : MOST_ID,
      100,
    ),
    templates: templatesOf(root, vocabulary),
    decoder: decoderOf(root, continuingPrefix),
    cleanUpTokenizationSpaces: config.cleanUpTokenizationSpaces,
    modelMaxLength: config.modelMaxLength,
  };
}

/** The `type` of a component, one of `types`. */
function expectType(fields: Fields, types: readonly string[], fallback?: string): string {
  const type = textOf(fields, "type", fallback);
  if (!types.includes(type)) {
    throw wrong(at(fields, "type"), type, `${types.join(" or ")}: only BERT's WordPiece tokenizers are run`);
  }
  return type;
}

function normalizerOf(root: Fields, config: TokenizerConfig): NormalizerOptions {
  if (!has(root, "normalizer")) {
    return { cleanText: false, handleChineseChars: false, stripAccents: false, lowercase: false };
  }
  const fields = childOf(root, "normalizer");
  expectType(fields, ["BertNormalizer"]);
  const written = {
    cleanText: flagOf(fields, "clean_text", true),
    handleChineseChars: flagOf(fields, "handle_chinese_chars", true),
    stripAccents: has(fields, "strip_accents") ? flagOf(fields, "strip_accents", false) : null,
    lowercase: flagOf(fields, "lowercase", true),
  };
  return configured(written, config);
}

function decoderOf(root: Fields, continuingPrefix: string): TokenizerSpec["decoder"] {
  if (!has(root, "decoder")) return { prefix: continuingPrefix, cleanup: true };
  const fields = childOf(root, "decoder");
  expectType(fields, ["WordPiece"]);
  return { prefix: textOf(fields, "prefix", "##"), cleanup: flagOf(fields, "cleanup", true) };
}

function templatesOf(root: Fields, vocabulary: Vocabulary): Templates {
  if (!has(root, "post_processor")) {
    return { single: [{ sequence: 0, typeId: 0 }], pair: [0, 1].map((i) => ({ sequence: i as 0 | 1, typeId: i })) };
  }
  const fields = childOf(root, "post_processor");
  if (expectType(fields, ["TemplateProcessing", "BertProcessing"]) === "TemplateProcessing") {
    return { single: templateOf(fields, "single", vocabulary), pair: templateOf(fields, "pair", vocabulary) };
  }
  const [cls, sep] = ["cls", "sep"].map((name) => {
    const [token, id] = listOf(fields, name);
    if (typeof token !== "string" || vocabulary.tokens[id as number] === undefined) {
      throw wrong(at(fields, name), fields.values[name], "a token and its id in the vocabulary");
    }
    return { id: id as number, token };
  });
  return bertTemplates(cls!, sep!);
}

/** One template of TemplateProcessing: pieces `{ SpecialToken: { id, type_id } }` and `{ Sequence: { id, type_id } }`. */
function templateOf(fields: Fields, name: "single" | "pair", vocabulary: Vocabulary): Template {
  let special = 0;
  const pieces = childrenOf(fields, name).map((piece): TemplatePiece => {
    if (has(piece, "Sequence")) {
      const text = childOf(piece, "Sequence");
      const id = textOf(text, "id");
      if (id !== "A" && id !== "B") throw wrong(at(text, "id"), id, '"A" or "B"');
      return { sequence: id === "A" ? 0 : 1, typeId: countOf(text, "type_id", 0, MOST_ID) };
    }
    const token = childOf(piece, "SpecialToken");
    const known = childOf(childOf(fields, "special_tokens"), textOf(token, "id"));
    const spelled = listOf(known, "tokens");
    const numbers = listOf(known, "ids");
    special += numbers.length;
    if (special > MOST_SPECIAL) throw wrong(at(known, "ids"), numbers, `at most ${MOST_SPECIAL}`);
    if (spelled.length !== numbers.length || !spelled.every((t) => typeof t === "string")) {
      throw wrong(at(known, "tokens"), spelled, `${numbers.length} strings, one for each of its ids`);
    }
    if (numbers.some((id) => vocabulary.tokens[id as number] === undefined)) {
      throw wrong(at(known, "ids"), numbers, "ids of the vocabulary");
    }
    return { ids: numbers as number[], tokens: spelled as string[], typeId: countOf(token, "type_id", 0, MOST_ID) };
  });
  const texts = pieces.flatMap((piece) => ("sequence" in piece ? [piece.sequence] : [])).sort();
  if (texts.join() !== (name === "single" ? "0" : "0,1")) {
    throw wrong(at(fields, name), fields.values[name], name === "single" ? "one A and no B" : "one A and one B");
  }
  return pieces;
}
