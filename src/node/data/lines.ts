/** Lines of text from bytes, each checked to be UTF-8. */

import { isUtf8 } from "node:buffer";
import { inputName, readChunks } from "./source.ts";

export interface Line {
  /** From 1. */
  readonly number: number;
  /** Without its end; `undefined` where it is not UTF-8. */
  readonly text: string | undefined;
  /** \n, \r\n or \r, which may be mixed; empty where the input ends instead. */
  readonly end: string;
  /** How much of the input lies up to its end, 0 to 1. */
  readonly share: number;
}

/** Bytes; what is beyond this is no line of text, and would have to be held in memory. */
export const LONGEST_LINE: number = 16 << 20;

/** What is wrong with a line that has no text. */
export const NOT_UTF8 = "it is not UTF-8";

const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** Lines as they arrive, many at once. A last one without an end counts. @throws Error for a line too long */
export async function* readLines(path: string): AsyncGenerator<Line[]> {
  let rest: Buffer[] = [];
  let held = 0;
  let count = 0;
  let before = 0;
  const linesOf = (bytes: Buffer, share: number): Line[] => {
    const lines = textsOf(bytes).map(([text, end], i, { length }) => ({
      number: count + i + 1,
      text,
      end,
      share: before + ((share - before) * (i + 1)) / length,
    }));
    count += lines.length;
    before = share;
    return lines;
  };
  for await (const { bytes, share } of readChunks(path)) {
    // a \r at the very end waits for the \n that may follow
    const end = Math.max(bytes.lastIndexOf(NEWLINE), bytes.subarray(0, -1).lastIndexOf(RETURN)) + 1;
    if (end > 0) {
      yield linesOf(Buffer.concat([...rest, bytes.subarray(0, end)]), share);
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

/** Lines with their ends. Checked and decoded all at once where they are good, which is nearly always. */
function textsOf(bytes: Buffer): (readonly [string | undefined, string])[] {
  if (isUtf8(bytes)) return splitLines(bytes.toString("utf8"));
  return splitLines(bytes.toString("latin1")).map(([text, end]) => {
    const line = Buffer.from(text, "latin1");
    return [isUtf8(line) ? line.toString("utf8") : undefined, end];
  });
}

function splitLines(text: string): [string, string][] {
  // most files have no \r, and such are split at twice the speed
  const parts = text.includes("\r") ? text.split(/(\r\n|\n|\r)/) : undefined;
  const lines = parts
    ? Array.from({ length: (parts.length + 1) / 2 }, (_, i): [string, string] => [
        parts[2 * i]!,
        parts[2 * i + 1] ?? "",
      ])
    : text.split("\n").map((line): [string, string] => [line, "\n"]);
  const last = lines.at(-1)!;
  last[1] = "";
  if (last[0] === "") lines.pop();
  return lines;
}
