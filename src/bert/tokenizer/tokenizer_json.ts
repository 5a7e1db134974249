/** tokenizer.json, the file of Hugging Face's tokenizers library, as far as it describes a BERT WordPiece tokenizer. */

import { bertSpec, isBertClass } from "./bert_tokenizer.ts";
import { childOf, childrenOf, countOf, type Fields, flagOf, has, parseFields, textOf, typeOf } from "./fields.ts";
import { normalizerSteps } from "./normalizer_steps.ts";
import { MOST_ID, templatesOf } from "./post_processor.ts";
import { kindOfPreTokenizer } from "./pre_tokenizer.ts";
import type { TokenizerSpec } from "./tokenizer.ts";
import {
  addedTo,
  addedTokenOf,
  listedTokens,
  namesOf,
  type TextFile,
  type TokenizerConfig,
} from "./tokenizer_config.ts";
import { createVocabulary, specialIds } from "./vocabulary.ts";

/** Characters that a word may have where a piece has more: to cut it takes time in the product of the two. */
const MOST_STEPS = 128;

/**
 * The tokenizer that the text of a tokenizer.json describes. Where the configuration names a class that is BERT's, that
 * class says what it is made of; else the file alone does. Its `truncation` and `padding`, leftovers of whoever saved it,
 * are not read: they are options of a call.
 * @param legacy added_tokens.json, where there is one
 * @throws TypeError when it is not a BERT WordPiece tokenizer, or a field is malformed
 * @throws RangeError when ids or sizes are absurd
 */
export function parseTokenizerJson(
  text: string,
  file: string,
  config: TokenizerConfig,
  legacy?: TextFile,
): TokenizerSpec {
  const root = parseFields(text, file);
  const model = childOf(root, "model");
  // Files from before the type was written are known by their fields.
  typeOf(model, ["WordPiece"], has(model, "continuing_subword_prefix") ? "WordPiece" : undefined);

  const { values } = childOf(model, "vocab");
  const pieces = new Map<string, number>();
  let longest = 0;
  // twice as fast as Object.entries
  for (const token of Object.keys(values)) {
    pieces.set(token, values[token] as number);
    longest = Math.max(longest, token.length);
  }
  const json = childrenOf(root, "added_tokens").map((token) => addedTokenOf(token, countOf(token, "id", 0, MOST_ID)));
  const listed = listedTokens(config, json, legacy);
  const { tokenizerClass = "", named } = config;
  // transformers rebuilds what a class builds itself; ConvBert's leaves that to BertTokenizer
  if (isBertClass(tokenizerClass) && !tokenizerClass.startsWith("Conv")) return bertSpec(pieces, listed, config, file);

  const nameOf = namesOf(named);
  const unk = textOf(model, "unk_token", "[UNK]");
  const more = addedTo(listed, named, config.extra);
  const vocabulary = createVocabulary(pieces, [...json, ...more.listed], more.named, file);
  const continuingPrefix = textOf(model, "continuing_subword_prefix", "##");
  return {
    ...config,
    vocabulary,
    special: specialIds((role) => (role === "unk" ? unk : nameOf(role)), vocabulary, file),
    normalizer: has(root, "normalizer") ? normalizerSteps(childOf(root, "normalizer")) : [],
    kindOf: kindOfPreTokenizer(childOf(root, "pre_tokenizer")),
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
  };
}

function decoderOf(root: Fields, continuingPrefix: string): TokenizerSpec["decoder"] {
  if (!has(root, "decoder")) return { prefix: continuingPrefix, cleanup: true };
  const fields = childOf(root, "decoder");
  typeOf(fields, ["WordPiece"]);
  return { prefix: textOf(fields, "prefix", "##"), cleanup: flagOf(fields, "cleanup", true) };
}
