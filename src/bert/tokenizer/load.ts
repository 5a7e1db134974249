/** A tokenizer from a model folder, which is untrusted: whatever is absurd in it is refused by name. */

import { type Folder, readText } from "../../files/bytes.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer.ts";
import { parseTokenizerConfig } from "./tokenizer_config.ts";
import { parseTokenizerJson } from "./tokenizer_json.ts";
import { parseVocabTxt } from "./vocab_txt.ts";

/**
 * Reads tokenizer.json or, without it, vocab.txt (and added_tokens.json), and tokenizer_config.json where there is one.
 * @throws TypeError, RangeError when a file is malformed or is not that of a BERT WordPiece tokenizer
 * @throws Error when the folder has no vocabulary
 */
export async function loadTokenizer(folder: Folder): Promise<Tokenizer> {
  const read = async (path: string): Promise<{ text: string | undefined; file: string }> => ({
    text: await readText(folder, path),
    file: `${folder.name}/${path}`,
  });
  const written = await read("tokenizer_config.json");
  const config = parseTokenizerConfig(written.text, written.file);

  const json = await read("tokenizer.json");
  if (json.text !== undefined) return createTokenizer(parseTokenizerJson(json.text, json.file, config));

  const vocab = await read("vocab.txt");
  if (vocab.text !== undefined) {
    const { text, file } = await read("added_tokens.json");
    const added = text === undefined ? undefined : { text, file };
    return createTokenizer(parseVocabTxt(vocab.text, vocab.file, config, added));
  }
  throw new Error(`${folder.name} has neither tokenizer.json nor vocab.txt: no vocabulary to tokenize with`);
}
