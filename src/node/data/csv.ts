/**
 * CSV by RFC 4180, read line by line and written. No library does the reading: after one stray quote (`"c"d`) csv-parse
 * 7.0.3 lost 9,900 of 10,000 rows, or with relax_quotes took it for text without a word, and with each row's line and a
 * check of its UTF-8 it read a third to a half as many rows a second. test/node/data/csv.test.ts holds the two together.
 */

export interface CsvParser {
  /**
   * Takes the next line.
   * @param end of the line, which is part of a quoted cell that goes on
   * @returns the cells, once a record is complete; a quoted cell may go on for many lines
   * @throws SyntaxError for text after a closing quote; the next line is then read as a new record
   */
  feed(line: string, end: string): string[] | undefined;
  /** Whether a quoted cell is still open. */
  readonly open: boolean;
}

/**
 * A quote within an unquoted cell is an ordinary character.
 * @param delimiter one UTF-16 unit
 */
export function csvParser(delimiter: string): CsvParser {
  let cells: string[] = [];
  /** The quoted cell that is open, as far as it has been read. */
  let quoted: string[] | undefined;

  /** Reads on within quotes. @returns where the cell ends, or `undefined` when the line ends first */
  function readQuoted(line: string, from: number, parts: string[]): number | undefined {
    for (let at = from; ; ) {
      const quote = line.indexOf('"', at);
      if (quote < 0) {
        parts.push(line.slice(at));
        return undefined;
      }
      parts.push(line.slice(at, quote));
      if (line[quote + 1] !== '"') return quote + 1;
      parts.push('"');
      at = quote + 2;
    }
  }

  function take(): string[] {
    const record = cells;
    cells = [];
    quoted = undefined;
    return record;
  }

  return {
    get open() {
      return quoted !== undefined;
    },
    feed(line, lineEnd) {
      for (let at = 0; ; ) {
        if (quoted || line[at] === '"') {
          const begin = quoted ? at : at + 1;
          quoted ??= [];
          const end = readQuoted(line, begin, quoted);
          if (end === undefined) {
            quoted.push(lineEnd);
            return undefined;
          }
          cells.push(quoted.join(""));
          quoted = undefined;
          if (end === line.length) return take();
          if (line[end] !== delimiter) {
            const column = take().length;
            throw new SyntaxError(
              `column ${column}: ${JSON.stringify(delimiter)} is missing after the closing quote at character ${end}; a quote within quotes is written twice`,
            );
          }
          at = end + 1;
          continue;
        }
        const next = line.indexOf(delimiter, at);
        if (next < 0) {
          cells.push(line.slice(at));
          return take();
        }
        cells.push(line.slice(at, next));
        at = next + 1;
      }
    },
  };
}

/** One record with its line end. */
export function csvLine(cells: readonly string[]): string {
  return `${cells.map(csvCell).join(",")}\n`;
}

function csvCell(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
