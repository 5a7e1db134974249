import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const adapter = process.env.BERT_WEBGPU_ADAPTER || "auto";

function run(script: string, ...args: string[]) {
  const path = new URL(`../../dist/checks/${script}.js`, import.meta.url).pathname;
  const { status, stdout, stderr } = spawnSync(process.execPath, [path, ...args, "--adapter", adapter], {
    encoding: "utf8",
  });
  return { status, lines: stdout.trimEnd().split("\n"), stderr };
}

const tensor = (name: string, shape: number[], data: unknown[], dtype = "float32") => ({ name, shape, dtype, data });
const allclose = { type: "allclose", atol: 1e-5, rtol: 1e-4 };
const record = (
  id: string,
  op: string,
  inputs: unknown[],
  outputs: unknown[],
  attributes = {},
  tolerance: unknown = allclose,
) => JSON.stringify({ id, op, source: "made up", name: id, attributes, inputs, outputs, tolerance });

const A = tensor("A", [2, 3], [1, 2, 3, 4, 5, 6]);
const B = tensor("B", [3, 2], [1, 0, 0, 1, 1, 1]);
const good = [
  record("product", "matmul", [A, B], [tensor("Y", [2, 2], [4, 5, 10, 11])]),
  record(
    "softmax of -inf",
    "softmax",
    [tensor("X", [1, 3], [0, "-Infinity", 0])],
    [tensor("Y", [1, 3], [0.5, 0, 0.5])],
    { axis: -1 },
  ),
  record(
    "largest",
    "argmax",
    [tensor("X", [2, 2], [1, 3, 4, 2])],
    [tensor("Y", [2], [1, 0], "int64")],
    { axis: 1 },
    { type: "exact" },
  ),
  record(
    "columns",
    "gather",
    [{ ...A, name: "input" }, tensor("indices", [2], [-1, 0], "int64")],
    [tensor("Y", [2, 2], [3, 1, 6, 4])],
    { axis: 1 },
    { type: "exact" },
  ),
  record("unknown", "conv", [A], [A]),
  record("scaled", "matmul", [A, B], [tensor("Y", [2, 2], [8, 10, 20, 22])], { alpha: 2 }),
];

describe("conformance", () => {
  let dir: string;
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), "conformance-"));
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  it("counts what passes and what is skipped with its reason, in plain and gzipped files below a folder", () => {
    writeFileSync(join(dir, "good.jsonl.gz"), gzipSync(`${good.join("\n")}\n\n`));
    const { status, lines, stderr } = run("conformance", dir);
    expect(stderr.replace(/^Warning: max.*\n/gm, "")).toBe("");
    expect(lines.filter((line) => line.includes("FAILED"))).toEqual([]);
    expect(lines).toContain("good.jsonl.gz: 4 passed, 0 failed, 2 skipped");
    expect(lines).toContain("  1 skipped: op conv is not offered");
    expect(lines).toContain("  1 skipped: alpha 2 is not offered");
    expect(lines.at(-2)).toMatch(/^launched: 1 gather_rows, 1 matmul/);
    expect(lines.at(-1)).toBe("4 passed, 0 failed, 2 skipped");
    expect(status).toBe(0);
  });

  it("runs the kernels of another GPU where told to, and says which it launched", () => {
    const { status, lines } = run("conformance", dir, "--as", "nvidia");
    expect(lines[0]).toMatch(/, kernels as on nvidia$/);
    expect(lines.slice(-2)).toEqual([
      "launched: 1 gather_rows, 1 matmul_split_k_unaligned, 1 softmax_subgroup by workgroup, 1 top_k",
      "4 passed, 0 failed, 2 skipped",
    ]);
    expect(status).toBe(0);
    expect(run("conformance", dir, "--as", "abacus").stderr).toMatch(/nvidia, apple, intel/);
  });

  it("fails on a wrong value, on the wrong number of elements, and on NaN where a number is due", () => {
    const bad = [
      record("wrong", "matmul", [A, B], [tensor("Y", [2, 2], [4, 5, 10, 11.01])]),
      record("short", "matmul", [A, B], [tensor("Y", [1, 2], [4, 5])]),
      record("nan", "matmul", [tensor("A", [1, 3], ["NaN", 0, 0]), B], [tensor("Y", [1, 2], [0, 0])]),
    ];
    writeFileSync(join(dir, "bad.jsonl"), bad.join("\n"));
    const { status, lines } = run("conformance", dir);
    expect(lines).toContain(
      '  FAILED wrong: element 3 is 11, 11.010000228881836 expected ({"type":"allclose","atol":0.00001,"rtol":0.0001})',
    );
    expect(lines).toContain("  FAILED short: 4 elements, 2 expected");
    expect(lines.filter((line) => line.includes("FAILED nan: element"))).toHaveLength(1);
    expect(lines.at(-1)).toBe("4 passed, 3 failed, 2 skipped");
    expect(status).toBe(1);
  });

  it("says in one line what is wrong with its input", () => {
    writeFileSync(join(dir, "broken.jsonl"), `${good[0]}\n{"id": 1,`);
    const broken = run("conformance", dir);
    expect(broken.status).toBe(2);
    expect(broken.stderr).toMatch(/error: .*broken\.jsonl, line 2: /);
    expect(run("conformance", join(dir, "nowhere")).stderr).toMatch(/error: .*nowhere/);
    expect(run("conformance", join(dir, "nowhere")).status).toBe(2);
  });
});

describe("reference", () => {
  it("compares a checkpoint with the outputs beside it, and fails when they differ", () => {
    const dir = mkdtempSync(join(tmpdir(), "reference-"));
    const weights = new URL("../../weights/movie-bert", import.meta.url).pathname;
    const model = join(dir, "model");
    spawnSync("cp", ["-r", weights, model]);
    // From golden.json of the model: float64 probabilities, as the logits' difference.
    const fixture = (last: number) => ({
      architecture: "BertForSequenceClassification",
      cases: [
        {
          name: "one sentence",
          inputs: { input_ids: [[2, 41, 2426, 16, 2891, 16, 5159, 7678, 272, 18, 3]], labels: [1] },
          outputs: { loss: { shape: [], data: [last] } },
          noise: { loss: { torch_float32_max_abs_err: 1e-7, max_abs: 1 } },
          tolerance: { loss: 1e-6 },
        },
      ],
    });
    writeFileSync(join(model, "expected.json"), JSON.stringify(fixture(-Math.log(0.9990742338973461))));
    const good = run("reference", dir);
    expect(good.lines.at(-2)).toMatch(/^launched: \d+ attention/);
    expect(good.lines.at(-1)).toBe("1 passed, 0 failed, 0 skipped");
    expect(good.status).toBe(0);
    const other = run("reference", dir, "--as", "apple");
    expect(other.lines.at(-2)).toMatch(/ layernorm by workgroup, \d+ matmul_split_k, \d+ matmul_workgroup 32x32/);
    expect(other.lines.at(-1)).toBe("1 passed, 0 failed, 0 skipped");
    writeFileSync(join(model, "expected.json"), JSON.stringify(fixture(0.0009)));
    const bad = run("reference", dir);
    expect(bad.lines.at(-1)).toBe("0 passed, 1 failed, 0 skipped");
    expect(bad.status).toBe(1);
    rmSync(dir, { recursive: true });
  });
});
