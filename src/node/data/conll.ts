/** Tagged words in CoNLL's layout: a word per line, its tag in the last column, an empty line after each sentence. */

import { readLines } from "./lines.ts";
import type { DataTable, Row } from "./rows.ts";
import { inputName } from "./source.ts";

export interface TaggedSentence {
  readonly words: readonly string[];
  readonly tags: readonly string[];
  /** How much of the input lies up to its end, 0 to 1. */
  readonly share: number;
}

/** A sentence per row: the words in one column, their tags in the other. */
export function conllTable(path: string, words: string, tags: string): DataTable {
  const sentences = readConll(path);
  return {
    name: inputName(path),
    columns: [words, tags],
    async *rows(): AsyncGenerator<Row> {
      let number = 0;
      for await (const { share, ...sentence } of sentences) {
        yield { number: ++number, share, values: { [words]: sentence.words, [tags]: sentence.tags } };
      }
    },
    async close() {
      await sentences.return(undefined);
    },
  };
}

/**
 * Columns are parted by tabs, or by spaces in a line without tabs. Documents' `-DOCSTART-` lines are passed over.
 * @throws Error naming the line that has no tag or is not UTF-8
 */
export async function* readConll(path: string): AsyncGenerator<TaggedSentence> {
  let words: string[] = [];
  let tags: string[] = [];
  for await (const lines of readLines(path)) {
    for (const { number, text: line, share } of lines) {
      const where = `${inputName(path)}: line ${number}`;
      if (line === undefined) throw new Error(`${where}: it is not UTF-8`);
      if (line.trim() === "" || line.startsWith("-DOCSTART-")) {
        if (words.length > 0) yield { words, tags, share };
        words = [];
        tags = [];
        continue;
      }
      const cells = line.includes("\t") ? line.split("\t") : line.split(/ +/);
      const tag = cells.at(-1)!.trim();
      if (cells.length < 2 || cells[0] === "" || tag === "") {
        throw new Error(`${where}: a word and its tag expected, found ${JSON.stringify(line)}`);
      }
      words.push(cells[0]!);
      tags.push(tag);
    }
  }
  if (words.length > 0) yield { words, tags, share: 1 };
}
