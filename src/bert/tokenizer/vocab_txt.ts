/** vocab.txt, one token a line, which every BERT has had since 2018. Mirrors transformers' BertConverter. */

import { quote } from "../../files/faults.ts";
import { countOf, parseFields } from "./fields.ts";
import type { TokenizerSpec } from "./tokenizer.ts";
import { bertTemplates } from "./tokenizer.ts";
import { configured, type TokenizerConfig } from "./tokenizer_config.ts";
import { type AddedToken, createVocabulary, MOST_TOKENS, specialIds } from "./vocabulary.ts";

/** Classes of transformers whose tokens are those of BertTokenizer. */
const BERT_CLASSES: readonly string[] = [
  "Bert",
  "ConvBert",
  "DistilBert",
  "Electra",
  "LayoutLM",
  "Lxmert",
  "MobileBert",
  "RetriBert",
  "SqueezeBert",
];

/**
 * The tokenizer of a folder without tokenizer.json.
 * @param text of vocab.txt
 * @param added text of added_tokens.json, `{ token: id }`, where there is one
 * @throws TypeError when tokenizer_config.json names a class that is not BERT's
 * @throws RangeError when the vocabulary is absurd or lacks [UNK], [CLS] or [SEP]
 */
export function parseVocabTxt(
  text: string,
  file: string,
  config: TokenizerConfig,
  added?: { readonly text: string; readonly file: string },
): TokenizerSpec {
  const { tokenizerClass: name = "BertTokenizer", names } = config;
  if (!BERT_CLASSES.includes(name.replace(/Tokenizer(Fast)?$/, ""))) {
    throw new TypeError(
      `${file}: tokenizer_config.json says tokenizer_class ${quote(name)}, and a vocab.txt alone is enough only for ` +
        `${BERT_CLASSES.join(", ")}; save the tokenizer again with its tokenizer.json`,
    );
  }
  // A line given twice counts twice: the later id is the one that texts get.
  const pieces = new Map(linesOf(text, file).map((token, id) => [token, id]));
  const vocabulary = createVocabulary(pieces, withSpecial(config, pieces, file, added), added?.file ?? file);
  const special = specialIds(names, vocabulary, file);
  const { cls, sep } = special;
  if (cls === undefined || sep === undefined) {
    throw new RangeError(`${file}: ${quote(cls === undefined ? names.cls : names.sep)} is not in the vocabulary`);
  }
  return {
    vocabulary,
    special,
    normalizer: configured({ cleanText: true, handleChineseChars: true, stripAccents: null, lowercase: true }, config),
    continuingPrefix: "##",
    maxInputCharsPerWord: 100,
    templates: bertTemplates({ id: cls, token: names.cls }, { id: sep, token: names.sep }),
    decoder: { prefix: "##", cleanup: true },
    cleanUpTokenizationSpaces: config.cleanUpTokenizationSpaces,
    modelMaxLength: config.modelMaxLength,
  };
}

function linesOf(text: string, file: string): string[] {
  const lines = text.split(/\r?\n/, MOST_TOKENS + 2);
  if (lines.at(-1) === "") lines.pop();
  if (lines.length > MOST_TOKENS) throw new RangeError(`${file}: at most ${MOST_TOKENS} tokens are read`);
  return lines;
}

/** The added tokens: those of the two files, then the special ones that neither gave. */
function withSpecial(
  config: TokenizerConfig,
  pieces: ReadonlyMap<string, number>,
  file: string,
  added: { readonly text: string; readonly file: string } | undefined,
): AddedToken[] {
  const tokens = new Map(config.addedTokens.map((token) => [token.content, token]));
  const special = new Set([...Object.values(config.names), ...config.moreSpecial]);
  const fields = parseFields(added?.text ?? "{}", added?.file ?? "");
  const plain = { lstrip: false, rstrip: false, singleWord: false };
  const add = (content: string, id: number): void => {
    if (tokens.has(content)) return;
    const isSpecial = special.has(content);
    tokens.set(content, { id, content, special: isSpecial, normalized: !isSpecial, ...plain });
  };
  for (const content of Object.keys(fields.values)) add(content, countOf(fields, content, 0, 0x7fffffff));
  for (const content of special) {
    const id = pieces.get(content);
    if (id !== undefined) add(content, id);
    else if (!tokens.has(content) && config.moreSpecial.includes(content)) {
      throw new RangeError(
        `${file}: additional_special_tokens has ${quote(content)}, and no file gives its id; add it to added_tokens.json`,
      );
    }
  }
  return [...tokens.values()];
}
