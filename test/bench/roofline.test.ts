/** What GPUs should take: the arithmetic, and that a measurement can be compared with it. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { comparisonText } from "../../bench/compare.ts";
import type { MainLoop } from "../../bench/isa/assembly.ts";
import { CARDS, type Card, launchSeconds, mathShare, predict, predictionLine } from "../../bench/isa/roofline.ts";
import type { IsaRow, IsaTable } from "../../bench/isa/rows.ts";
import { parseRows } from "../../bench/report.ts";
import type { Row } from "../../bench/rows.ts";

const RESULTS = join(import.meta.dirname, "../../bench/results");
const read = (name: string): string => readFileSync(join(RESULTS, name), "utf8");
const fileOf = ({ name }: Card): string => `prediction-${name.toLowerCase().replaceAll(" ", "-")}.json`;

const card: Card = { name: "a card", flops: 1e12, unitFlops: 8e12, bandwidth: 1e9, cores: 10, source: "nobody" };
const loop = (mix: Partial<MainLoop>): MainLoop => {
  const whole = { all: 100, math: 50, macs: 50, matrixProducts: 0, workgroupBytes: 0, globalLoads: 0, ...mix };
  return { ...whole, unknownTurns: 0, inner: { ...whole, all: 60 }, ...mix };
};
const row = (of: Partial<IsaRow>): IsaRow => ({
  ...{ family: "navi31", model: "base", pass: "forward", dtype: "f32", batch: 1, units: false },
  ...{ launch: "matmul_workgroup 128x768x768", kernel: "matmul_workgroup", count: 3 },
  ...{ flops: 1e9, bytes: 1e3, workgroups: 10, loop: loop({}) },
  ...{ vectorRegisters: 96, spilled: 0, workgroupMemory: 0, subgroupsPerSimd: 10, instructions: 1, subgroup: 64 },
  ...of,
});

test("a launch takes the longer of arithmetic and memory, and what launching costs", () => {
  expect(launchSeconds(row({}), card)).toBeCloseTo(1e9 / (1e12 * 0.5) + 3e-6, 12);
  expect(launchSeconds(row({ workgroups: 5 }), card)).toBeCloseTo(1e9 / (1e12 * 0.5 * 0.5) + 3e-6, 12);
  expect(launchSeconds(row({ workgroups: 11 }), card)).toBeCloseTo(1e9 / (1e12 * 0.5 * (11 / 20)) + 3e-6, 12);
  expect(launchSeconds(row({ bytes: 1e8 }), card)).toBeCloseTo(0.1 + 3e-6, 12);
});

test("the share of mathematics: of a turn, of the inner loop where turns cannot be read, of cycles on matrix units", () => {
  expect(mathShare(row({}))).toBe(0.5);
  expect(mathShare(row({ loop: loop({ unknownTurns: 1 }) }))).toBe(50 / 60);
  expect(mathShare(row({ loop: loop({ matrixProducts: 4 }) }))).toBe((4 * 32) / (4 * 32 + 96));
});

test("on matrix units matmuls of the same sizes take the place of others", () => {
  const rows = [
    row({ dtype: "f16" }),
    row({ dtype: "f16", units: true, kernel: "matmul_subgroup", launch: "matmul_subgroup 128x768x768" }),
    row({ dtype: "f16", kernel: "layernorm", launch: "layernorm 128x768", flops: 0, count: 2 }),
  ];
  const predicted = predict({ rows }, card);
  expect(predicted.map(({ model, batch, dtype }) => `${model}, ${batch}, ${dtype}`)).toEqual([
    "base 12x768, 1 x 128, f16",
    "base 12x768 on matrix units, 1 x 128, f16",
  ]);
  const [plain, units] = predicted.map(({ timing }) => timing.p50);
  expect(plain! - units!).toBeCloseTo(3 * 1e3 * (1e9 / (1e12 * 0.5) - 1e9 / (8e12 * 0.5)), 9);
  expect(predicted.every(({ launches }) => launches === 5)).toBe(true);
});

test.each(CARDS)("the prediction for $name is what its table gives, and bench --compare takes it", (of) => {
  const table = JSON.parse(read("isa.json")) as IsaTable;
  const text = read(fileOf(of));
  expect(JSON.parse(text)).toEqual({ card: of, rows: predict(table, of) });
  const rows = parseRows(text, fileOf(of));
  const measured = rows.map((row): Row => ({ ...(row as never as object), type: "model" }) as never);
  expect(comparisonText(rows, measured)).toMatch(/base 12x768, 32 x 128, f32 +\S+ +\S+ +1\.000/);
});

test("no kernel of the table spills, and docs/gpu.md has the predictions", () => {
  const table = JSON.parse(read("isa.json")) as IsaTable;
  expect(table.failures).toEqual([]);
  expect(table.rows.filter(({ spilled }) => spilled > 0)).toEqual([]);
  const docs = readFileSync(join(RESULTS, "../../docs/gpu.md"), "utf8");
  for (const of of CARDS) expect(docs).toContain(predictionLine(of, predict(table, of)));
});
