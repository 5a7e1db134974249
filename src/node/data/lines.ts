/** Lines of text from bytes, each checked to be UTF-8. */

import { isUtf8 } from "node:buffer";
import { inputName, readChunks } from "./source.ts";

export interface Line {
  /** From 1. */
  readonly number: number;
  /** Without its \n, with its \r; `undefined` where it is not UTF-8. */
  readonly text: string | undefined;
  /** How much of the input lies up to its end, 0 to 1. */
  readonly share: number;
}

/** Bytes; what is beyond this is no line of text, and would have to be held in memory. */
export const LONGEST_LINE: number = 16 << 20;

/** Lines as they arrive, many at once. A last one without an end counts. @throws Error for a line too long */
export async function* readLines(path: string): AsyncGenerator<Line[]> {
  let rest: Buffer[] = [];
  let held = 0;
  let count = 0;
  let before = 0;
  const linesOf = (bytes: Buffer, share: number): Line[] => {
    const texts = textsOf(bytes);
    const lines = texts.map((text, i) => ({
      number: count + i + 1,
      text,
      share: before + ((share - before) * (i + 1)) / texts.length,
    }));
    count += texts.length;
    before = share;
    return lines;
  };
  for await (const { bytes, share } of readChunks(path)) {
    const end = bytes.lastIndexOf(0x0a) + 1;
    if (end > 0) {
      yield linesOf(Buffer.concat([...rest, bytes.subarray(0, end - 1)]), share);
      rest = [];
      held = 0;
    }
    rest.push(bytes.subarray(end));
    held += bytes.length - end;
    if (held > LONGEST_LINE) {
      throw new Error(`${inputName(path)}: line ${count + 1} is longer than ${LONGEST_LINE} bytes; is it text?`);
    }
  }
  if (held > 0) yield linesOf(Buffer.concat(rest), 1);
}

/** Whole lines, joined by \n. Checked and decoded all at once where they are good, which is nearly always. */
function textsOf(bytes: Buffer): (string | undefined)[] {
  if (isUtf8(bytes)) return bytes.toString("utf8").split("\n");
  const texts: (string | undefined)[] = [];
  for (let begin = 0; begin <= bytes.length; ) {
    const found = bytes.indexOf(0x0a, begin);
    const end = found < 0 ? bytes.length : found;
    const line = bytes.subarray(begin, end);
    texts.push(isUtf8(line) ? line.toString("utf8") : undefined);
    begin = end + 1;
  }
  return texts;
}

export function withoutReturn(line: string): string {
  return line.endsWith("\r") ? line.slice(0, -1) : line;
}
