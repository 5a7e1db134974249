/** What parts the cells of a CSV file, where nobody has said it. */

import { csvParser } from "./csv.ts";
import type { Line } from "./lines.ts";

const DELIMITERS = [",", ";", "\t", "|"] as const;

/** Rows that a guess without a known header is made from, where there are as many; and UTF-16 units at most. */
const ROWS = 20;
const MOST = 1 << 20;

/** A line that Excel reads and writes: `sep=;` before the header. */
export const SEPARATOR_LINE: RegExp = /^"?sep=([^\w\s"]|[\t ])"?$/i;

export interface DelimiterSearch {
  /** Takes the next line, `undefined` when there is none. @returns the delimiter once it is known */
  feed(line: Line | undefined): string | undefined;
}

/**
 * A header tells by itself, since the columns that are wanted are in it by one delimiter alone: what texts hold cannot
 * lead astray. Else it is the one by which all rows have as many cells as the first; a comma when none parts the first.
 * @param wanted names in the header; empty where there is none
 * @throws Error (from `feed`) when two part the rows alike
 */
export function delimiterSearch(file: string, wanted: readonly string[]): DelimiterSearch {
  const trials = DELIMITERS.map((delimiter) => {
    const parser = csvParser(delimiter);
    let first: readonly string[] | undefined;
    let [rows, same] = [0, 0];
    return {
      delimiter,
      parts: () => first !== undefined && first.length > 1,
      names: () => wanted.filter((name) => first?.includes(name)).length,
      rows: () => rows,
      share: () => same / rows,
      feed({ text = "", end }: Line): void {
        if (text === "" && !parser.open) return;
        let cells: string[] | undefined = [];
        try {
          cells = parser.feed(text, end);
        } catch {
          // a record that does not read so, of no cells
        }
        if (!cells) return;
        first ??= cells;
        rows++;
        if (cells.length === first.length) same++;
      },
    };
  });
  let read = 0;

  return {
    feed(line) {
      if (line) {
        read += 1 + (line.text?.length ?? 0);
        for (const trial of trials) trial.feed(line);
        if (trials.every(({ rows }) => rows() === 0) && read <= MOST) return undefined;
      }
      const named = trials.reduce((most, trial) => (trial.names() > most.names() ? trial : most));
      if (named.names() > 0) return named.delimiter;
      const [best, second] = trials.filter(({ parts }) => parts()).sort((a, b) => b.share() - a.share());
      if (!best || (best.delimiter === "," && !second)) return ",";
      if (line && best.rows() < ROWS && read <= MOST) return undefined;
      if (best.share() >= 0.9 && (!second || second.share() < best.share())) return best.delimiter;
      if (line && read <= MOST) return undefined;
      const quoted = [best.delimiter, second?.delimiter ?? ","].map((delimiter) => JSON.stringify(delimiter));
      throw new Error(`${file}: ${quoted.join(" or ")} may part its cells; say which with --delimiter`);
    },
  };
}
