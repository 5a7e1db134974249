/** The bench's command line as it is built: what it refuses, by which exit code, and that it measures a file. */

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, onTestFinished, test } from "vitest";
import { writeResults } from "../../bench/outputs.ts";
import { openReport, parseRows } from "../../bench/report.ts";
import { claimOutput } from "../../src/node/data/claim.ts";

const BENCH = new URL("../../dist/node/bench.js", import.meta.url).pathname;
const MAIN = new URL("../../dist/node/main.js", import.meta.url).pathname;
const DOCS = new URL("../../docs/bench.md", import.meta.url).pathname;
const ADAPTER = process.env.BERT_WEBGPU_ADAPTER || "auto";

const folder = mkdtempSync(join(tmpdir(), "bench-command-"));
afterAll(() => rmSync(folder, { recursive: true }));

function bench(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [BENCH, ...args], {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, HF_HUB_CACHE: join(folder, "hub") }, // beside which no tuning is stored
  });
  return { status, stdout, error: stderr.split("\n").filter((line) => line.startsWith("error: ")) };
}

test.each([
  [["--frob"], "unknown option '--frob'"],
  [["kernels", "--frob"], "unknown option '--frob'"],
  [["--compare", "a.json"], "--compare takes two files, A.json and B.json; 1 given"],
  [["kernels", "--compare", "a.json", "b.json"], "unknown option '--compare'"],
  [["--json", "a.json", "kernels"], '--json is of bench alone: give "kernels" options of its own behind it'],
  [["kernel", "none.wgsl", "--workgroups", "0x1"], "argument '0x1' is invalid. write it as 12, 12x2 or 12x2x1"],
  [["kernels", "--budget", "soon"], "argument 'soon' is invalid. it must be a whole number from 1"],
  [["--report", "a.json"], "--report needs --html FILE"],
  [["--report", "a.json", "--html", "a.html"], "a.json: there is no such file or folder"],
  [["kernel", "none.wgsl"], "none.wgsl: there is no such file or folder"],
  [["kernel", "."], ". is a folder: name a .wgsl file in it"],
  [["foo"], 'there is no command "foo"; there are kernels, kernel, model, train, peers'],
  [["kernels", "frob"], 'there is no kernel whose name begins with "frob" on '],
  [["kernels", "matmul", "--shape", "3x4"], 'begins with "matmul" for 3x4 on '],
  [["kernels", "--dtype", "q8"], "argument 'q8' is invalid. Allowed choices are f32, f16."],
  [["kernels", "--full"], "unknown option '--full'"],
  [["peers", "--full"], "unknown option '--full'"],
  [["peers", "--dtype", "f16"], "unknown option '--dtype'"],
  [["model", "--model", "a", "--shape", "base"], "--shape is of a random model, --model names another"],
  [["model", "--full", "--shape", "base"], "--full says which random models, --shape names one"],
  [["model", "--tokens", "600"], "--tokens 600: mini 4x256 has 512 positions; give --tokens 512 at most"],
  [["peers", "--tokens", "600"], "--tokens 600: mini 4x256 has 512 positions; give --tokens 512 at most"],
  [["--compare", "a.json", "b.json", "--json", "c.json"], "--compare reads results and measures nothing: leave --json"],
  [["--compare", "a.json", "b.json", "--html", "c.html"], "--compare reads results and measures nothing: leave --html"],
  [
    ["--report", "a.json", "--html", "a.html", "--json", "b"],
    "--report reads results and measures nothing: leave --js",
  ],
  [["--json", "none/a.json"], "--json none/a.json: there is no folder "],
  [["train", "--tokens", "600"], "--tokens 600: mini 4x256 has 512 positions; give --tokens 512 at most"],
  [["train", "--dtype", "f16"], "unknown option '--dtype'"],
  [["peers", "--python", "python3"], "--python is of --train alone: leave it out, or give --train"],
  [["peers", "--json", "none/a.json"], "--json none/a.json: there is no folder "],
  [["kernels", "--html", "-"], "--html - would come between the tables: name a file"],
  [["kernels", "--html", "."], "--html . is a folder: name a file in it"],
  [["kernels", "--tuned", "--adapter", ADAPTER], "--tuned: nothing is stored for "],
  [
    ["kernels", "matmul", "--shape", "60000x60000x60000", "--adapter", ADAPTER],
    "60000x60000x60000 f32: x takes 14400 MB, a storage binding of this device holds at most ",
  ],
])("refuses %j with exit code 2", (args, message) => {
  const { status, error } = bench(...args);
  expect(status).toBe(2);
  expect(error).toEqual([expect.stringContaining(message)]);
});

test("a command's help has the options that it makes something of", () => {
  const optionsOf = (command: string): string[] =>
    [...bench(command, "--help").stdout.matchAll(/^ {2}(?:-h, )?--(\w+)/gm)].map(([, option]) => option!);
  expect(optionsOf("peers")).toEqual(
    "adapter budget json html wide force tuned shape batch tokens peers install train python help".split(" "),
  );
  expect(optionsOf("kernels")).toEqual("adapter dtype budget json html wide force tuned shape help".split(" "));
  expect(optionsOf("train")).toEqual("adapter budget json html wide force tuned shape batch tokens help".split(" "));
  expect(optionsOf("model")).toEqual(
    "adapter dtype budget json html wide force tuned model shape batch tokens ragged full help".split(" "),
  );
});

test("results of peers are compared; with those of kernels they have nothing in common, which is exit code 2", () => {
  const results = (name: string): string => new URL(`../../bench/results/${name}`, import.meta.url).pathname;
  const peers = results("2026-11-24-lavapipe-peers.json");
  const same = bench("--compare", peers, peers);
  expect([same.status, same.stdout]).toEqual([
    0,
    expect.stringMatching(/^bert-webgpu, mini 4x256, 1 x 128 .* 1\.000 /m),
  ]);
  const evil = join(folder, "evil.json");
  writeFileSync(evil, readFileSync(peers, "utf8").replaceAll("bert-webgpu", "\\u001b]0;owned\\u0007"));
  const shown = bench("--compare", evil, evil).stdout;
  expect(shown).toContain("\\u001b]0;owned\\u0007");
  expect(shown).not.toMatch(/(?!\n)\p{Cc}/u);
  const { status, error } = bench("--compare", peers, results("2026-11-24-lavapipe-kernels.json"));
  expect([status, error]).toEqual([2, [expect.stringMatching(/no row in common: A has \d+ peer rows, B has 2 ceil/)]]);
});

test.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)("%s to the command ends the bench, which writes what there is", async (signal, code) => {
  const file = join(folder, `${signal}.json`);
  const args = ["bench", "kernels", "--budget", "600000", "--adapter", ADAPTER, "--json", file];
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ["ignore", "pipe", "ignore"], detached: true });
  const group = -child.pid!;
  onTestFinished(() => {
    try {
      process.kill(group, "SIGKILL");
    } catch {} // they have ended
  });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    if (!said.includes("commit") && (said + text).includes("commit")) {
      // the first row is there; of Ctrl-C a terminal tells both processes
      process.kill(signal === "SIGINT" ? group : child.pid!, signal);
    }
    said += text;
  });
  // closed, its standard output is held by none: the bench itself, a child of the command, has ended as well
  const [ended] = await once(child, "close");
  expect(ended).toBe(code);
  expect(parseRows(readFileSync(file, "utf8"), file)[0]).toMatchObject({ type: "origin" });
});

test("a JSON file that cannot be written is no reason to lose the page", async () => {
  const [data, page] = [join(folder, "lost.json"), join(folder, "kept.html")];
  const claims = await Promise.all([claimOutput(data), claimOutput(page)]);
  const report = openReport(claims[0], () => {});
  report.add({ type: "failure", name: "matmul", message: "is wrong" });
  mkdirSync(data); // it comes while the run goes on
  await expect(writeResults(report, claims[1])).rejects.toThrow(
    /^results are not written: .*lost.json: it has come since the run began; name another file$/,
  );
  expect(readFileSync(page, "utf8")).toContain("is wrong");
  for (const claim of claims) await claim.release();
});

describe("the example of the documentation", () => {
  const [, example] = /```wgsl\n([\s\S]*?)```/.exec(readFileSync(DOCS, "utf8"))!;
  const measure = (text: string, ...args: string[]) => {
    writeFileSync(join(folder, "matmul_mine.wgsl"), text);
    const common = ["--adapter", ADAPTER, "--budget", "20", "--shape", "12x16x20"];
    return bench("kernel", "matmul_mine.wgsl", ...common, ...args);
  };

  test("is verified, timed, and written as JSON and as a page; the page can be made again", () => {
    const { status, stdout } = measure(example!, "--json", "a.json", "--html", "a.html", "--wide");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^matmul_mine\.wgsl +12x16x20 +f32 .* all 192, error/m);
    expect(stdout).toMatch(/^kernel .* verified$/m);
    const rows = parseRows(readFileSync(join(folder, "a.json"), "utf8"), "a.json");
    expect(rows[0]).toMatchObject({ type: "origin", tuned: false });
    const kernels = rows.flatMap((row) => (row.type === "kernel" ? [row.kernel] : []));
    expect(kernels.at(-1)).toBe("matmul_mine.wgsl");
    expect(readFileSync(join(folder, "a.html"), "utf8")).toContain("matmul_mine.wgsl");
    expect(bench("--report", "a.json", "a.json", "--html", "b.html").status).toBe(0);
    const over = bench("--report", "a.json", "--html", "a.json", "--force");
    expect([over.status, over.error]).toEqual([2, [expect.stringMatching(/a\.json: it is the input a\.json/)]]);
    const there = bench("--report", "a.json", "--html", "b.html");
    expect([there.status, there.error]).toEqual([
      2,
      [expect.stringContaining("--html b.html exists; --force replaces it")],
    ]);
    expect(bench("--report", "a.json", "--html", "b.html", "--force").status).toBe(0);
    expect(bench("--report", "a.json", "--html", "-").stdout).toContain("matmul_mine.wgsl");
    expect(readdirSync(folder).filter((name) => /lock|tmp/.test(name))).toEqual([]);
    expect(readFileSync(join(folder, "b.html"), "utf8")).toContain("matmul_mine.wgsl");
  });

  test("with a slip of the pen is told by its line before anything is measured, by exit code 2", () => {
    const { status, stdout, error } = measure(example!.replace("var sum", "vary sum"), "--json", "slip.json");
    const line = example!.split("\n").findIndex((text) => text.includes("var sum")) + 1;
    expect([status, stdout, error]).toEqual([
      2,
      "",
      [expect.stringContaining(`matmul_mine.wgsl does not compile: line ${line}: `)],
    ]);
    expect(readdirSync(folder)).not.toContain("slip.json");
  });

  test("made wrong, is not timed, by exit code 1", () => {
    const { status, stdout } = measure(example!.replace("sum +=", "sum -="));
    expect(status).toBe(1);
    expect(stdout).toMatch(/^FAILED, not timed: matmul_mine\.wgsl 12x16x20 f32: .* the first out\[0\] is/m);
  });
});
