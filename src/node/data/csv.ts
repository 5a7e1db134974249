/** CSV by RFC 4180, read line by line and written. */

export interface CsvParser {
  /**
   * Takes the next line, without its \n.
   * @returns the cells, once a record is complete; a quoted cell may go on for many lines
   * @throws SyntaxError for text after a closing quote; the next line is then read as a new record
   */
  feed(line: string): string[] | undefined;
  /** Whether a quoted cell is still open. */
  readonly open: boolean;
}

/** A quote within an unquoted cell is an ordinary character. */
export function csvParser(): CsvParser {
  let cells: string[] = [];
  /** The quoted cell that is open, as far as it has been read. */
  let quoted: string[] | undefined;

  /** Reads on within quotes. @returns where the cell ends, or `undefined` when the line ends first */
  function readQuoted(line: string, from: number, parts: string[]): number | undefined {
    for (let at = from; ; ) {
      const quote = line.indexOf('"', at);
      if (quote < 0) {
        parts.push(line.slice(at), "\n");
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
    feed(line) {
      for (let at = 0; ; ) {
        if (quoted || line[at] === '"') {
          const begin = quoted ? at : at + 1;
          quoted ??= [];
          const end = readQuoted(line, begin, quoted);
          if (end === undefined) return undefined;
          cells.push(quoted.join(""));
          quoted = undefined;
          const next = line[end];
          if (next === undefined || (next === "\r" && end === line.length - 1)) return take();
          if (next !== ",") {
            take();
            throw new SyntaxError(`a comma is missing after the closing quote at character ${end}`);
          }
          at = end + 1;
          continue;
        }
        const comma = line.indexOf(",", at);
        if (comma < 0) {
          cells.push(line.endsWith("\r") ? line.slice(at, -1) : line.slice(at));
          return take();
        }
        cells.push(line.slice(at, comma));
        at = comma + 1;
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
