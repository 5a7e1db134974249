/** The bench's command line as it is built: what it refuses, by which exit code, and that it measures a file. */

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { parseRows } from "../../bench/report.ts";

const BENCH = new URL("../../dist/node/bench.js", import.meta.url).pathname;
const DOCS = new URL("../../docs/bench.md", import.meta.url).pathname;
const ADAPTER = process.env.BERT_WEBGPU_ADAPTER || "auto";

const folder = mkdtempSync(join(tmpdir(), "bench-command-"));
afterAll(() => rmSync(folder, { recursive: true }));

function bench(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [BENCH, ...args], { cwd: folder, encoding: "utf8" });
  return { status, stdout, error: stderr.split("\n").filter((line) => line.startsWith("error: ")) };
}

test.each([
  [["--frob"], "unknown option '--frob'"],
  [["kernels", "--frob"], "unknown option '--frob'"],
  [["--compare", "a.json"], "--compare takes two files, A.json and B.json; 1 given"],
  [
    ["kernels", "--compare", "a.json", "b.json"],
    '--compare reads results and measures nothing: give it without "kernels"',
  ],
  [["--report", "a.json"], "--report needs --html FILE"],
  [["--report", "a.json", "--html", "a.html"], "a.json: there is no such file or folder"],
  [["kernel", "none.wgsl"], "none.wgsl: there is no such file or folder"],
  [["peers", "--html", "a.html"], "give --json FILE too"],
])("refuses %j with exit code 2", (args, message) => {
  const { status, error } = bench(...args);
  expect(status).toBe(2);
  expect(error).toEqual([expect.stringContaining(message)]);
});

describe("the example of the documentation", () => {
  const [, example] = /```wgsl\n([\s\S]*?)```/.exec(readFileSync(DOCS, "utf8"))!;
  const measure = (text: string, ...args: string[]) => {
    writeFileSync(join(folder, "matmul_mine.wgsl"), text);
    const common = ["--adapter", ADAPTER, "--budget", "20", "--shape", "12x16x20"];
    return bench("kernel", "matmul_mine.wgsl", ...common, ...args);
  };

  test("is verified, timed, and written as JSON and as a page; the page can be made again", () => {
    const { status, stdout } = measure(example!, "--json", "a.json", "--html", "a.html");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^matmul_mine\.wgsl +12x16x20 +f32 .* all 192, error/m);
    const kernels = parseRows(readFileSync(join(folder, "a.json"), "utf8"), "a.json").flatMap((row) =>
      row.type === "kernel" ? [row.kernel] : [],
    );
    expect(kernels.at(-1)).toBe("matmul_mine.wgsl");
    expect(readFileSync(join(folder, "a.html"), "utf8")).toContain("matmul_mine.wgsl");
    expect(bench("--report", "a.json", "a.json", "--html", "b.html").status).toBe(0);
    expect(readFileSync(join(folder, "b.html"), "utf8")).toContain("matmul_mine.wgsl");
  });

  test("made wrong, is not timed, by exit code 1", () => {
    const { status, stdout } = measure(example!.replace("sum +=", "sum -="));
    expect(status).toBe(1);
    expect(stdout).toMatch(/^FAILED, not timed: matmul_mine\.wgsl 12x16x20 f32: .* the first out\[0\] is/m);
  });
});
