/** The texts of a command: its arguments, where `-` stands for the lines of standard input. */

import { InputError } from "./failure.ts";

/** Texts handed to the model at once. Enough to fill a GPU, few enough that the first answers do not wait long. */
const MOST_IN_BATCH = 64;

/** UTF-16 units; a "line" beyond this is no text, and would have to be held in memory. */
const LONGEST_LINE = 1 << 20;

/** A \r that is the last character so far waits for the \n that may follow. */
const LINE_END = /\r\n|\n|\r(?!$)/;

/**
 * Batches in the order given. Lines are read ahead as far as they have arrived, never waited for: at a terminal each
 * line is a batch, from a file every batch is full.
 */
export async function* textBatches(texts: readonly string[]): AsyncGenerator<string[]> {
  if (texts.indexOf("-") !== texts.lastIndexOf("-"))
    throw new InputError("standard input can be read once, - is given twice");
  let batch: string[] = [];
  for (const text of texts) {
    if (text !== "-") {
      batch.push(text);
      if (batch.length < MOST_IN_BATCH) continue;
    }
    if (batch.length > 0) yield batch;
    batch = [];
    if (text === "-") yield* lineBatches(process.stdin);
  }
  if (batch.length > 0) yield batch;
}

/** Lines end with \n, \r\n or \r; a last one without an end counts, an empty one too. */
export async function* lineBatches(input: AsyncIterable<Uint8Array | string>): AsyncGenerator<string[]> {
  const decoder = new TextDecoder(); // drops a byte order mark; what is not UTF-8 becomes U+FFFD
  let rest = "";
  let count = 0;
  for await (const chunk of input) {
    const lines = (rest + (typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true }))).split(
      LINE_END,
    );
    rest = lines.pop()!;
    count += lines.length;
    if (rest.length > LONGEST_LINE) {
      throw new InputError(
        `line ${count + 1} of standard input is longer than ${LONGEST_LINE} characters; is it text?`,
      );
    }
    for (let begin = 0; begin < lines.length; begin += MOST_IN_BATCH) {
      yield lines.slice(begin, begin + MOST_IN_BATCH);
    }
  }
  rest += decoder.decode();
  if (rest !== "") yield [rest.replace(/\r$/, "")];
}
