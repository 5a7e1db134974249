/** Keys that an object in JSON has twice, of which JSON.parse keeps the last without a word. */

/**
 * @param text valid JSON of an object
 * @param names of the keys that matter
 * @returns the first of them that is there twice, unless it is spelt with escapes
 */
export function keyTwice(text: string, names: readonly string[]): string | undefined {
  return names.find((name) => {
    const quoted = JSON.stringify(name);
    const first = text.indexOf(quoted);
    // most often that is all that has to be looked at
    return text.indexOf(quoted, first + 1) > 0 && topKeys(text).filter((key) => key === quoted).length > 1;
  });
}

/** As they are spelt, with their quotes. Texts may be too long for a regular expression. */
function topKeys(text: string): string[] {
  const keys: string[] = [];
  const colon = /\s*:/y;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!;
    if (char === "{" || char === "[") depth++;
    else if (char === "}" || char === "]") depth--;
    else if (char === '"') {
      const begin = at++;
      for (; text[at] !== '"'; at++) if (text[at] === "\\") at++;
      colon.lastIndex = at + 1;
      if (depth === 1 && colon.test(text)) keys.push(text.slice(begin, at + 1));
    }
  }
  return keys;
}
