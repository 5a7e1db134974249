/** What .wgsl files share: which files an import brings, in which order, and what is refused. */
import { describe, expect, test } from "vitest";
import { joinFiles, resolveImports } from "../../src/kernels/imports.ts";

const FILES: Readonly<Record<string, string>> = {
  "rows/a.wgsl": '// A\n// #import "shared/b.wgsl"\n// #import "shared/c.wgsl"\nfn a() {}',
  "rows/d.wgsl": '// D\n// #import "rows/a.wgsl"\n// #import "shared/e.wgsl" instead of "shared/c.wgsl"\n',
  "rows/f.wgsl": '// F\n// #import "rows/d.wgsl"\n// #import "shared/g.wgsl" instead of "shared/c.wgsl"\n',
  "shared/b.wgsl": '// B\n// #import "shared/c.wgsl"\nfn b() {}',
  "shared/c.wgsl": "// C\nfn c() {}",
  "shared/e.wgsl": '// E\n// #import "shared/g.wgsl"\nfn c() {}',
  "shared/g.wgsl": "// G\nfn g() {}",
};
const resolve = (path: string, more: Readonly<Record<string, string>> = {}) =>
  resolveImports(path, (name) => ({ ...FILES, ...more })[name]);
const paths = (path: string, more?: Readonly<Record<string, string>>): string[] =>
  resolve(path, more).map((file) => file.path);

describe("imports", () => {
  test("bring each file once, after the one that asks for it", () => {
    expect(paths("shared/c.wgsl")).toEqual(["shared/c.wgsl"]);
    expect(paths("rows/a.wgsl")).toEqual(["rows/a.wgsl", "shared/b.wgsl", "shared/c.wgsl"]);
  });

  test("of a variant swap a file, wherever it is imported", () => {
    expect(paths("rows/d.wgsl")).toEqual([
      "rows/d.wgsl",
      "rows/a.wgsl",
      "shared/b.wgsl",
      "shared/e.wgsl",
      "shared/g.wgsl",
    ]);
  });

  test("are joined with the numbers of the first file's lines, and none is left to be joined again", () => {
    const text = joinFiles(resolve("rows/a.wgsl"));
    expect(text.split("\n").indexOf("fn a() {}")).toBe(3);
    expect(text.split("\n").filter((line) => line.startsWith("fn"))).toEqual(["fn a() {}", "fn b() {}", "fn c() {}"]);
    expect(resolveImports("mine.wgsl", (path) => (path === "mine.wgsl" ? text : undefined))).toHaveLength(1);
  });

  test.each([
    ["a file that there is not", '// #import "shared/x.wgsl"', "x.wgsl: there is no shared/x.wgsl to import"],
    ["a circle", '// #import "y.wgsl"', "x.wgsl imports y.wgsl imports x.wgsl: a circle"],
    ["itself", '// #import "x.wgsl"', "x.wgsl imports x.wgsl: a circle"],
    [
      "a swap of what nothing brings",
      '// #import "rows/a.wgsl"\n// #import "shared/e.wgsl" instead of "shared/g.wgsl"',
      "x.wgsl: nothing here imports shared/g.wgsl, which shared/e.wgsl is to stand for",
    ],
    ["a swap that another goes before", '// #import "rows/f.wgsl"', "rows/d.wgsl: nothing here imports shared/c.wgsl"],
    ["a line that nearly is one", "// #import shared/b.wgsl", "x.wgsl: // #import shared/b.wgsl: an import is"],
    ["one that is indented", '  //#import "shared/b.wgsl"', 'x.wgsl:   //#import "shared/b.wgsl": an import is'],
  ])("refuse %s", (_, text, message) => {
    expect(() => resolve("x.wgsl", { "x.wgsl": text, "y.wgsl": '// #import "x.wgsl"' })).toThrow(message);
  });
});
