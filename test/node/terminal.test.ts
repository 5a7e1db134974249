/** What foreign files say, on its way to a terminal. */

import { expect, test, vi } from "vitest";
import { printRaw } from "../../src/node/cli/output.ts";
import { harmless, printable } from "../../src/node/terminal.ts";

test("control characters and what turns lines around are spelt out", () => {
  expect(printable("a\u001b[2J\r\n\u007f\u009b31m\u202e\u2066\u061c\u2028é 😀\u200d中")).toBe(
    "a\\x1b[2J\\x0d\\x0a\\x7f\\x9b31m\\u202e\\u2066\\u061c\\u2028é 😀\u200d中",
  );
});

test("a line of JSON says what it said, and the ends of lines stay", () => {
  const value = { "\u009b": "\u001b\u007f\u0085\u202e\u2029\n\t\\ é" };
  const line = harmless(JSON.stringify(value));
  expect(line).toMatch(/^[\x20-\x7eé]*$/);
  expect(JSON.parse(line)).toEqual(value);
  expect(harmless("one\ntwo\u001b")).toBe("one\ntwo\\u001b");
});

test("a file on standard output is what it is, but for a terminal", async () => {
  const { isTTY } = process.stdout;
  const written: unknown[] = [];
  const spy = vi.spyOn(process.stdout, "write").mockImplementation((bytes) => written.push(bytes) > 0);
  try {
    for (const tty of [false, true]) {
      process.stdout.isTTY = tty;
      await printRaw("1,\u001b[2J\n");
    }
  } finally {
    process.stdout.isTTY = isTTY;
    spy.mockRestore();
  }
  expect(written).toEqual(["1,\u001b[2J\n", "1,\\u001b[2J\n"]);
});
