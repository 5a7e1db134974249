/** WGSL for bundles in which a byte counts: a third of the download less. */

/**
 * The same program without comments and spaces, and with names of one letter for what functions declare. What is declared
 * outside of them keeps its name, which other files know, and its line where `specialize` re-values it.
 */
export function bareWgsl(text: string): string {
  const lines = text.split("\n").map((line) =>
    line
      .replace(/\/\/.*/, "")
      .replace(/ *(->|[=+*%<>(){},;:&|^!?]) */g, "$1")
      // a minus or a slash keeps its spaces where what stands beside it could make another token of it
      .replace(/(?<!-) ?([-/]) ?(?=[\w(])/g, "$1")
      .trim(),
  );
  const joined = lines
    .filter(Boolean)
    .join("\n")
    .replace(/([;{},])\n(?!const|alias)/g, "$1");
  let bare = "";
  let end = 0; // of what is in `bare`
  for (const { index } of joined.matchAll(/\bfn /g)) {
    bare += joined.slice(end, index);
    end = closing(joined, joined.indexOf("{", index));
    bare += withShortNames(joined.slice(index, end));
  }
  return bare + joined.slice(end);
}

/** Past the brace that closes the one at `open`. */
function closing(text: string, open: number): number {
  let depth = 0;
  let at = open;
  do {
    if (text[at] === "{") depth++;
    if (text[at] === "}") depth--;
    at++;
  } while (depth > 0);
  return at;
}

/** A name, and neither a member, nor an attribute, nor the end of a number such as 0x7fu or 1e-3. */
const NAME = /(?<![.\w@])[A-Za-z_]\w*/g;

/** @param fn one function, without comments and spaces */
function withShortNames(fn: string): string {
  const body = fn.indexOf("{");
  const parameters = fn.slice(fn.indexOf("(") + 1, body).replace(/@\w+\(\w+\)/g, "");
  const declared = [
    ...[...parameters.matchAll(/(\w+):/g)].map(([, name]) => name!),
    ...[...fn.slice(body).matchAll(/\b(?:let|var|const) (\w+)/g)].map(([, name]) => name!),
  ];
  const taken = new Set(fn.match(NAME));
  const free = [..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"].filter((letter) => !taken.has(letter));
  const short = new Map<string, string>(); // a letter of the name: what is called alike in many functions packs well
  for (const name of new Set(declared)) {
    // a name that is called as well may be another's
    if (name.length === 1 || free.length === 0 || fn.includes(`${name}(`)) continue;
    const own = [...name].find((letter) => free.includes(letter)) ?? free[0]!;
    short.set(name, own);
    free.splice(free.indexOf(own), 1);
  }
  return fn.replace(/@builtin\(\w+\)|(?<![.\w@])[A-Za-z_]\w*/g, (name) => short.get(name) ?? name);
}
