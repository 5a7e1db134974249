/**
 * A strict JSON scanner for headers that nobody vouches for. JSON.parse keeps the last of two equal keys without a word
 * and builds whatever it is fed; here the caller walks the text, sees every key, and builds only what it wants. What
 * passes is what serde_json, the parser of the safetensors crate, lets pass.
 */

export interface JsonScanner {
  /** What the next value is, by its first character. */
  peek(): "object" | "array" | "string" | "number" | "word";
  string(): string;
  /** The literal as written: `1`, `1.0` and 2^60 are different things to a format of integers. */
  number(): string;
  /** Calls `member` at each value, which it must consume. `repeated`: the object had this key before. */
  object(member: (key: string, repeated: boolean) => void): void;
  /** Calls `item` at each element, which it must consume. */
  array(item: (index: number) => void): void;
  /** Consumes one value of any kind. */
  skip(): void;
  /** Asserts that nothing but white space is left. */
  end(): void;
}

/** serde_json's limit. Below it no recursion, here or over what was parsed, exhausts the stack. */
const MAX_DEPTH = 127;

/** Values of a file that is parsed whole: the largest vocabulary in use has half a million, and more take seconds. */
const MOST_VALUES = 750_000;

/**
 * JSON.parse for a file that nobody vouches for. NaN and Infinity, which Python writes, are read as well: NaN as a string,
 * so that nothing takes it for a number.
 * @param odd told of each, with the string before it, which is its key
 * @throws SyntaxError also where it is too deep, or has too many values
 */
export function parseJson(text: string, odd?: (key: string) => unknown): unknown {
  let [depth, values, begin, end, done] = [0, 0, 0, 0, 0];
  let json = "";
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!;
    if (char === '"') {
      begin = at + 1;
      end = at = endOfString(text, at);
    } else if ("]}".includes(char)) depth--;
    else if (",[{".includes(char)) {
      if (char !== "," && ++depth > MAX_DEPTH) throw tooDeep(at);
      if (++values > MOST_VALUES) throw tooMany();
    } else if ("NI".includes(char)) {
      const word = /^[^\w.](NaN|Infinity)(?![\w.])/.exec(text.slice(at - 1, at + 9))?.[1];
      if (!word) continue;
      odd?.(text.slice(begin, end));
      json += text.slice(done, at) + (word === "NaN" ? '"NaN"' : "1e999"); // beyond all numbers, so read as Infinity
      done = at + word.length;
    }
  }
  return JSON.parse(json + text.slice(done));
}

/** The place of the quote that ends the string begun at `at`; beyond the text where there is none. */
function endOfString(text: string, at: number): number {
  while (++at < text.length && text[at] !== '"') if (text[at] === "\\") at++;
  return at;
}

const tooMany = (): SyntaxError => new SyntaxError(`more than ${MOST_VALUES} values`);
const tooDeep = (at: number): SyntaxError => new SyntaxError(`nested deeper than ${MAX_DEPTH} at character ${at}`);

/** Every method throws SyntaxError, with the position, where the text is not the JSON asked for. */
export function scanJson(text: string): JsonScanner {
  let at = 0;
  let depth = 0;
  let walked = 0;

  function fail(wanted: string): never {
    const found = at < text.length ? JSON.stringify(text[at]) : "the end";
    throw new SyntaxError(`${wanted} expected at character ${at}, found ${found}`);
  }

  function skipSpace(): void {
    while (at < text.length && " \n\r\t".includes(text[at]!)) at++;
  }

  function accept(character: string): boolean {
    skipSpace();
    if (text[at] !== character) return false;
    at++;
    return true;
  }

  function expect(character: string): void {
    if (!accept(character)) fail(`"${character}"`);
  }

  function peek(): ReturnType<JsonScanner["peek"]> {
    skipSpace();
    const character = text[at];
    if (character === "{") return "object";
    if (character === "[") return "array";
    if (character === '"') return "string";
    return character !== undefined && "-0123456789".includes(character) ? "number" : "word";
  }

  function string(): string {
    expect('"');
    const begin = at - 1;
    at = endOfString(text, begin) + 1;
    if (at > text.length) fail(`the end of the string from character ${begin}`);
    // The built-in parser knows the escapes, and gives a string that does not keep the whole text alive.
    const value = parseLiteral(begin) as string;
    if (/\p{Surrogate}/u.test(value)) throw new SyntaxError(`half a surrogate pair at character ${begin}`);
    return value;
  }

  function number(): string {
    if (peek() !== "number") fail("a number");
    const begin = at;
    while (at < text.length && "+-.0123456789eE".includes(text[at]!)) at++;
    if (!Number.isFinite(parseLiteral(begin))) throw new SyntaxError(`number out of range at character ${begin}`);
    return text.slice(begin, at);
  }

  function parseLiteral(begin: number): unknown {
    walked += 2; // it takes longer than JSON.parse, and no shard of any model has a tenth of these
    if (walked > MOST_VALUES) throw tooMany();
    try {
      return JSON.parse(text.slice(begin, at));
    } catch {
      at = begin;
      return fail("a string or number");
    }
  }

  function nested(close: string, element: () => void): void {
    if (++depth > MAX_DEPTH) throw tooDeep(at);
    if (!accept(close)) {
      do element();
      while (accept(","));
      expect(close);
    }
    depth--;
  }

  function object(member: (key: string, repeated: boolean) => void): void {
    expect("{");
    const keys = new Set<string>();
    nested("}", () => {
      const key = string();
      const repeated = keys.has(key);
      keys.add(key);
      expect(":");
      member(key, repeated);
    });
  }

  function array(item: (index: number) => void): void {
    expect("[");
    let index = 0;
    nested("]", () => item(index++));
  }

  function skip(): void {
    const kind = peek();
    if (kind === "object") object(skip);
    else if (kind === "array") array(skip);
    else if (kind === "string") string();
    else if (kind === "number") number();
    else {
      const word = ["true", "false", "null"].find((candidate) => text.startsWith(candidate, at));
      if (word === undefined) fail("a value");
      at += word.length;
    }
  }

  function end(): void {
    skipSpace();
    if (at < text.length) fail("the end");
  }

  return { peek, string, number, object, array, skip, end };
}
