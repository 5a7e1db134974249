import { describe, expect, test } from "vitest";
import { compareRows, comparisonText } from "../../bench/compare.ts";
import { pageOf } from "../../bench/html/report.ts";
import { machineText, type OriginRow } from "../../bench/origin.ts";
import { openReport, parseRows } from "../../bench/report.ts";
import { fileOf, type KernelRow, type PeerRow, type Row } from "../../bench/rows.ts";

const origin = (commit: string, name: string, software = false): OriginRow => ({
  type: "origin",
  tool: "bert-webgpu bench",
  version: 1,
  date: "2026-01-01T00:00:00.000Z",
  commit,
  machine: { os: "linux", cpu: "cpu", cores: 2, memory: 1, node: "v20", load: 0 },
  adapter: { name, vendor: "", architecture: "", description: "driver 1", software },
  driver: "driver 1",
});

function kernel(name: string, p50: number, noise: number, others = 0): KernelRow {
  return {
    type: "kernel",
    kernel: name,
    variant: "",
    shape: "8x8",
    dtype: "f32",
    check: { how: "all 64, exact", error: 0, bound: 0 },
    timing: { clock: "gpu", repeats: 9, min: p50, p50, p90: p50, noise, others },
    flops: 1,
    bytes: 1,
    flopsPerSecond: 1,
    bytesPerSecond: 1,
    share: 0.5,
    boundBy: "memory",
  };
}

describe("a comparison", () => {
  const before: Row[] = [
    origin("aaa", "GPU"),
    kernel("matmul", 10, 0.01),
    kernel("softmax", 2, 0.3),
    kernel("pool", 1, 0),
  ];
  const after: Row[] = [
    origin("bbb", "GPU"),
    kernel("matmul", 5, 0.01),
    kernel("softmax", 2.4, 0.1),
    kernel("top_k", 1, 0),
  ];

  test("has the rows that both runs have, with ratio, noise and verdict", () => {
    const rows = compareRows(before, after);
    expect(rows.map(({ name, ratio, verdict }) => [name, ratio, verdict])).toEqual([
      ["matmul 8x8 f32", 0.5, "faster"],
      ["softmax 8x8 f32", 1.2, "same"],
    ]);
    expect(rows[1]!.noise).toBeCloseTo(Math.hypot(0.3, 0.1));
    expect(compareRows(after, before)[0]).toMatchObject({ ratio: 2, verdict: "slower" });
  });

  test("doubts what a software adapter computed while others had half of the machine", () => {
    const rows = (software: boolean): Row[][] => [
      [origin("aaa", "GPU", software), kernel("matmul", 10, 0.01, 0.5)],
      [origin("bbb", "GPU", software), kernel("matmul", 6, 0.01)],
    ];
    const [busy, idle] = rows(true);
    expect(compareRows(busy!, idle!)).toMatchObject([{ verdict: "same", noise: expect.closeTo(1, 2) }]);
    const [gpuBusy, gpuIdle] = rows(false);
    expect(compareRows(gpuBusy!, gpuIdle!)).toMatchObject([{ verdict: "faster" }]);
  });

  test("prints ratios, and what else differs than the code", () => {
    const text = comparisonText(before, [origin("bbb", "other GPU"), ...after.slice(1)]);
    expect(text).toContain("not the same adapter: GPU and other GPU");
    expect(text).toMatch(/matmul 8x8 f32 +10\.0 +5\.000 +0\.500 +\+-2\.0% +faster/);
    expect(text).toContain("A: commit aaa");
  });

  test("of Node with a browser, which knows less of its machine", () => {
    const { machine: _, ...rest } = origin("0.1.0-browser", "GPU");
    const machine = { os: "Linux", cores: 8, browser: "Chromium 140" };
    const browser: OriginRow = { ...rest, machine };
    const row = kernel("matmul", 5, 0.01);
    const { others: __, ...timing } = row.timing;
    const rows = parseRows(fileOf([browser, { ...row, timing }]), "x.json");
    const text = comparisonText(before, rows);
    expect(text).toContain(
      "not the same cpu: cpu x 2 and unknown x 8\nnot the same runtime: Node v20 and Chromium 140",
    );
    expect(text).toMatch(/matmul 8x8 f32 .* faster/);
    expect(pageOf(rows, "")).toContain("<dd>Linux, Chromium 140</dd>");
    const lines: string[] = [];
    const report = openReport(undefined, (line) => lines.push(line));
    for (const each of rows) report.add(each);
    expect(lines[0]).toContain("8 cores; Linux; Chromium 140\ncommit 0.1.0-browser");
    expect(lines.at(-1)).not.toMatch(/undefined|NaN/);
  });

  test("lists what only one run has, and what failed in it", () => {
    const failure: Row = { type: "failure", name: "gelu 8x8 f32", message: "out[3] is 1" };
    const lines = comparisonText(before, [...after, failure]).split("\n");
    expect(lines.slice(lines.indexOf("only in A:") - 1)).toEqual([
      "",
      "only in A:",
      "  pool 8x8 f32",
      "",
      "only in B:",
      "  top_k 8x8 f32",
      "",
      "failed in B:",
      "  gelu 8x8 f32: out[3] is 1",
    ]);
  });

  test("is told by whom matmuls were chosen, where that differs", () => {
    const [first, ...rest] = before;
    const as = (tuned: boolean): Row[] => [{ ...origin("aaa", "GPU"), tuned }, ...rest];
    expect(first!.type).toBe("origin");
    expect(comparisonText(as(false), as(true))).toContain(
      "not the same tuning: built-in and as stored by bert-webgpu tune",
    );
    expect(comparisonText(as(true), as(true))).not.toContain("tuning");
    expect(machineText({ ...origin("aaa", "GPU"), tuned: true }).system).toContain(
      "matmuls as bert-webgpu tune stored them",
    );
    expect(machineText({ ...origin("aaa", "GPU"), tuned: false }).system).toEqual(["linux", "Node v20"]);
  });

  test("of peers has their medians, and twice the way from the fastest run to it as noise", () => {
    const peer = (median: number, min: number): PeerRow => ({
      type: "peer",
      peer: "jax-js webgpu",
      kind: "webgpu",
      model: "mini 4x256",
      batch: "1 x 128",
      adapter: "GPU",
      check: { error: 0, bound: 1e-3 },
      timing: { median, min, max: 9 * median, n: 3 },
      firstAnswerColdMs: 1,
      peakBytes: 1,
      sequencesPerSecond: 1,
    });
    const [was, is] = [
      [origin("aaa", "GPU"), peer(10, 9.5)],
      [origin("bbb", "GPU"), peer(5, 5)],
    ];
    expect(compareRows(was, is)).toMatchObject([
      { name: "jax-js webgpu, mini 4x256, 1 x 128", before: 10, after: 5, ratio: 0.5, verdict: "faster" },
    ]);
    expect(compareRows(was, is)[0]!.noise).toBeCloseTo(0.1);
    expect(comparisonText(was, is)).toMatch(/^jax-js webgpu, mini 4x256, 1 x 128 +10\.0 +5\.000 +0\.500/m);
  });

  test("of runs with nothing in common is refused", () => {
    expect(() => comparisonText(before, [origin("bbb", "GPU")])).toThrow(
      new RangeError("the two files have no row in common: A has 3 kernel rows, B has none"),
    );
  });
});
