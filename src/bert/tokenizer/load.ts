/** A tokenizer from a model folder, which is untrusted: whatever is absurd in it is refused by name. */

import { type Folder, readText } from "../../files/bytes.ts";
import { parseFields } from "./fields.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer.ts";
import { parseTokenizerConfig, type TextFile } from "./tokenizer_config.ts";
import { parseTokenizerJson } from "./tokenizer_json.ts";
import { parseVocabTxt } from "./vocab_txt.ts";

/**
 * Reads tokenizer.json or, without it, vocab.txt; then tokenizer_config.json, special_tokens_map.json and
 * added_tokens.json where they are there. What each counts for depends on the tokenizer class, which
 * tokenizer_config.json names or config.json: BertTokenizer when neither does, as transformers 5 has it. A tokenizer.json
 * without both is taken as it is.
 * @throws TypeError, RangeError when a file is malformed or is not that of a BERT WordPiece tokenizer
 * @throws Error when the folder has no vocabulary
 */
export async function loadTokenizer(folder: Folder): Promise<Tokenizer> {
  const read = async (path: string): Promise<TextFile> => ({
    text: await readText(folder, path),
    file: `${folder.name}/${path}`,
  });
  const written = await read("tokenizer_config.json");
  let config = parseTokenizerConfig(written.text, written.file);
  let added: TextFile | undefined;
  if (config.addedTokens === undefined) {
    config = parseTokenizerConfig(written.text, written.file, await read("special_tokens_map.json"));
    added = await read("added_tokens.json");
  }
  const tokenizerClass = config.tokenizerClass ?? classIn(await read("config.json"), written.text);

  const { text, file } = await read("tokenizer.json");
  if (text !== undefined) return createTokenizer(parseTokenizerJson(text, file, { ...config, tokenizerClass }, added));

  const vocab = await read("vocab.txt");
  if (vocab.text === undefined) {
    throw new Error(`${folder.name} has neither tokenizer.json nor vocab.txt: no vocabulary to tokenize with`);
  }
  return createTokenizer(parseVocabTxt(vocab.text, vocab.file, { ...config, tokenizerClass }, added));
}

/** The class that config.json says or implies; undefined when there is nothing to go by. */
function classIn(model: TextFile, written: string | undefined): string | undefined {
  const { tokenizer_class } = parseFields(model.text ?? "{}", model.file).values;
  if (typeof tokenizer_class === "string") return tokenizer_class;
  return (model.text ?? written) === undefined ? undefined : "BertTokenizer";
}
