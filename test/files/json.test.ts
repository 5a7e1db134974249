import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type JsonScanner, scanJson } from "../../src/files/json.ts";

/** Builds what the scanner walks over; of equal keys the last one stays, as with JSON.parse. */
function build(json: JsonScanner): unknown {
  const kind = json.peek();
  if (kind === "string") return json.string();
  if (kind === "number") return Number(json.number());
  if (kind === "array") {
    const items: unknown[] = [];
    json.array(() => items.push(build(json)));
    return items;
  }
  if (kind === "object") {
    const members: [string, unknown][] = [];
    json.object((key) => members.push([key, build(json)]));
    return Object.fromEntries(members);
  }
  json.skip();
  return null; // true, false and null are told apart by nobody
}

function parse(text: string): unknown {
  const json = scanJson(text);
  const value = build(json);
  json.end();
  return value;
}

const wordless = (_: string, value: unknown): unknown => (typeof value === "boolean" ? null : value);

describe("the scanner", () => {
  test("reads what JSON.parse reads", () => {
    fc.assert(
      fc.property(fc.json(), fc.constantFrom(0, 2), (text, indent) => {
        const spaced = ` ${JSON.stringify(JSON.parse(text), undefined, indent)}\n`;
        expect(parse(spaced)).toEqual(JSON.parse(text, wordless));
        const json = scanJson(spaced);
        json.skip();
        json.end();
      }),
      { numRuns: 500 },
    );
  });

  test("refuses what JSON.parse refuses, always with a SyntaxError", () => {
    const pieces = fc.constantFrom(
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      '"',
      "\\",
      "u0041",
      "a",
      "1",
      "-",
      ".",
      "e",
      "null",
      " ",
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 8 }), (parts) => {
        const text = parts.join("");
        let expected: unknown;
        try {
          expected = JSON.parse(text, wordless);
        } catch {
          expect(() => parse(text)).toThrow(SyntaxError);
          return;
        }
        expect(parse(text)).toEqual(expected);
      }),
      { numRuns: 5000 },
    );
  });

  test("tells repeated keys, escaped or not, object by object", () => {
    const seen: [string, boolean][] = [];
    const json = scanJson('{"a":{"a":1},"b":1,"\\u0061":2,"\\\\":3,"\\"":4,"__proto__":5,"a":6}');
    json.object((key, repeated) => {
      seen.push([key, repeated]);
      json.skip();
    });
    expect(seen.filter(([, repeated]) => repeated).map(([key]) => key)).toEqual(["a", "a"]);
    expect(seen).toHaveLength(7);
  });

  test("gives numbers as written", () => {
    for (const literal of ["0", "-0", "1.0", "1E+2", "18446744073709551615"]) {
      expect(scanJson(` ${literal}`).number()).toBe(literal);
    }
    for (const wrong of ["01", "1.", ".5", "+1", "1e", "--1", "0x1", "NaN", "1e999", ""]) {
      expect(() => parse(wrong)).toThrow(SyntaxError);
    }
  });

  test("goes 127 levels deep, and no deeper", () => {
    const nest = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
    expect(() => scanJson(nest(127)).skip()).not.toThrow();
    expect(() => scanJson(nest(128)).skip()).toThrow("nested deeper than 127 at character 128");
  });

  test("refuses half a surrogate pair, and takes a whole one", () => {
    expect(scanJson('"\\ud83d\\ude00"').string()).toBe("😀");
    for (const half of ['"\\ud83d"', '"\\ude00\\ud83d"']) expect(() => scanJson(half).string()).toThrow(SyntaxError);
  });
});
