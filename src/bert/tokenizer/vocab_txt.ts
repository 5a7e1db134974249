/** vocab.txt, one token a line, which every BERT has had since 2018. Mirrors WordPiece::read_file of tokenizers. */

import { quote } from "../../files/faults.ts";
import { BERT_CLASSES, bertSpec, isBertClass } from "./bert_tokenizer.ts";
import type { TokenizerSpec } from "./tokenizer.ts";
import { listedTokens, type TextFile, type TokenizerConfig } from "./tokenizer_config.ts";
import { isSpace } from "./unicode.ts";
import { MOST_TOKENS } from "./vocabulary.ts";

/**
 * The tokenizer of a folder without tokenizer.json.
 * @param text of vocab.txt
 * @param added added_tokens.json, `{ token: id }`, where there is one
 * @throws TypeError when tokenizer_config.json names a class that is not BERT's
 * @throws RangeError when the vocabulary is absurd or lacks [UNK], [CLS] or [SEP]
 */
export function parseVocabTxt(text: string, file: string, config: TokenizerConfig, added?: TextFile): TokenizerSpec {
  const { tokenizerClass: name = "BertTokenizer" } = config;
  if (!isBertClass(name)) {
    throw new TypeError(
      `${file}: tokenizer_config.json says tokenizer_class ${quote(name)}, and a vocab.txt alone is enough only for ` +
        `${BERT_CLASSES}; save it again with its tokenizer.json`,
    );
  }
  // A line given twice counts twice: the later id is the one that texts get.
  const pieces = new Map(linesOf(text, file).map((token, id) => [token, id]));
  return bertSpec(pieces, listedTokens(config, [], added), config, file);
}

function linesOf(text: string, file: string): string[] {
  const lines = text.split("\n", MOST_TOKENS + 2);
  if (lines.at(-1) === "") lines.pop();
  if (lines.length > MOST_TOKENS) throw new RangeError(`${file}: at most ${MOST_TOKENS} tokens are read`);
  return lines.map((line) => {
    let end = line.length;
    while (end > 0 && isSpace(line.charCodeAt(end - 1))) end--;
    return line.slice(0, end);
  });
}
