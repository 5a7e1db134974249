/**
 * transformers' BertTokenizer: of its files it takes the vocabulary, the added tokens and its own options, and builds the
 * rest itself, whatever tokenizer.json says of it. (Up to transformers 4 that held of lower case, accents and ideographs
 * alone.)
 */

import { quote } from "../../files/faults.ts";
import { bertSteps } from "./normalizer_steps.ts";
import { bertKind } from "./pre_tokenizer.ts";
import { bertTemplates, type TokenizerSpec } from "./tokenizer.ts";
import { addedTo, namesOf, plainToken, ROLES, type TokenizerConfig } from "./tokenizer_config.ts";
import { type AddedToken, createVocabulary, specialIds } from "./vocabulary.ts";

/** Classes of transformers whose tokens are those of BertTokenizer. */
export const BERT_CLASSES: string =
  "Bert, ConvBert, DistilBert, DPRContextEncoder, DPRQuestionEncoder, DPRReader, Electra, LayoutLM, Lxmert, MobileBert, SqueezeBert";

export function isBertClass(name: string): boolean {
  return BERT_CLASSES.split(", ").includes(name.replace(/Tokenizer(Fast)?$/, ""));
}

/**
 * @param listed added tokens, as `listedTokens` gives them
 * @throws RangeError when the vocabulary is absurd or lacks [UNK], [CLS] or [SEP], by whatever names
 */
export function bertSpec(
  pieces: ReadonlyMap<string, number>,
  listed: readonly AddedToken[],
  config: TokenizerConfig,
  file: string,
): TokenizerSpec {
  const named = new Map<string, AddedToken | null>(
    ROLES.map((key) => [key, /^[be]os/.test(key) ? null : plainToken(`[${key.slice(0, -6).toUpperCase()}]`)]),
  );
  for (const [key, token] of config.named) named.set(key, token);
  const nameOf = namesOf(named);
  const added = addedTo(listed, named, config.extra);
  const vocabulary = createVocabulary(pieces, added.listed, added.named, file);
  const special = specialIds(nameOf, vocabulary, file);
  const [cls, sep] = [nameOf("cls"), nameOf("sep")];
  for (const name of [cls, sep]) {
    if (!pieces.has(name) && !listed.some(({ content }) => content === name)) {
      throw new RangeError(`${file}: ${quote(name)} is not in the vocabulary`);
    }
  }
  return {
    ...config,
    vocabulary,
    special,
    normalizer: bertSteps(config.normalizer),
    kindOf: bertKind,
    continuingPrefix: "##",
    maxInputCharsPerWord: 100,
    templates: bertTemplates({ id: special.cls!, token: cls }, { id: special.sep!, token: sep }),
    decoder: { prefix: "##", cleanup: true },
  };
}
