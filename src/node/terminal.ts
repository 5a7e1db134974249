/** Text of foreign files on its way to a terminal, or to whoever prints our JSON Lines to one. */

/** Control characters (C0, DEL, C1), what turns the direction of a line around, and separators of lines and paragraphs. */
const UNSAFE = /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu;

/** Text for a terminal, in one line: what could do more than be seen is spelt out. */
export function printable(text: string): string {
  return text.replace(UNSAFE, (char) => {
    const code = char.charCodeAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : escaped(char);
  });
}

/**
 * The same for lines that are put together already: their ends stay. What JSON.stringify leaves as it is (DEL, C1) becomes
 * an escape of JSON too, so that the line says what it said.
 */
export function harmless(lines: string): string {
  return lines.replace(UNSAFE, (char) => (char === "\n" ? char : escaped(char)));
}

const escaped = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
