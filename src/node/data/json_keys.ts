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

/** As they are spelt, with their quotes. */
function topKeys(text: string): string[] {
  const keys: string[] = [];
  let depth = 0;
  for (const [token, string, colon] of text.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?|[{}[\]]/g)) {
    if (string === undefined) depth += token === "{" || token === "[" ? 1 : -1;
    else if (colon !== undefined && depth === 1) keys.push(string);
  }
  return keys;
}
