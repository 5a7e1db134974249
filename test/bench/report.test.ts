/** The terminal's tables, on made-up rows. */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { engineTables } from "../../bench/engine_choice.ts";
import { typicalTasks } from "../../bench/kernel_cases.ts";
import type { OriginRow } from "../../bench/origin.ts";
import { openReport, parseRows, peersTable } from "../../bench/report.ts";
import { type CeilingRow, ceilingWarning, type KernelRow, type Row } from "../../bench/rows.ts";
import type { Timing } from "../../bench/timing.ts";
import { DEFAULT_LIMITS } from "../../src/kernels/kernel.ts";
import type { MatmulShape } from "../../src/kernels/matmul/matmul.ts";
import { variantOf } from "../../src/kernels/variant.ts";

const timing: Timing = { clock: "gpu", repeats: 9, min: 1, p50: 1.5, p90: 2, noise: 0.25, others: 0.04 };

const origin = (software: boolean): OriginRow => ({
  type: "origin",
  tool: "bert-webgpu bench",
  version: 1,
  date: "2026-01-31T00:00:00.000Z",
  commit: "abc",
  machine: { os: "linux", cpu: "CPU", cores: 2, memory: 8e9, node: "v20", load: 0 },
  adapter: { name: "GPU", description: "GPU", software, vendor: "", architecture: "" },
  driver: "driver",
});

const ceiling = (name: CeilingRow["name"], others: number | undefined, clock: Timing["clock"] = "gpu"): CeilingRow => {
  const { others: _, ...alone } = { ...timing, clock };
  return {
    type: "ceiling",
    name,
    how: "a loop",
    perSecond: 8e10,
    timing: { ...alone, ...(others !== undefined && { others }) },
  };
};

const kernel = (name: string, fields: Partial<KernelRow> = {}): KernelRow => ({
  type: "kernel",
  kernel: name,
  variant: "",
  shape: "8x8",
  dtype: "f32",
  check: { how: "all 64, exact", error: 0, bound: 1 },
  timing,
  flops: 1e9,
  bytes: 1e6,
  flopsPerSecond: 6e11,
  bytesPerSecond: 6e8,
  share: 0.5,
  boundBy: "arithmetic",
  ...fields,
});

function linesOf(...rows: Row[]): string[] {
  return linesIn(true, ...rows);
}

function linesIn(wide: boolean, ...rows: Row[]): string[] {
  const lines: string[] = [];
  const report = openReport(undefined, (line) => lines.push(line), wide);
  for (const row of rows) report.add(row);
  return lines;
}

describe("kernels", () => {
  test("the engine's own bears a star, which a line explains", () => {
    const lines = linesOf(
      origin(false),
      kernel("layernorm", { variant: "by thread", chosen: true }),
      kernel("softmax"),
    );
    expect(lines.slice(1)).toEqual([
      "",
      "* what the engine launches on this device",
      expect.stringMatching(/^kernel +shape .* share +of +verified$/),
      expect.stringMatching(/^layernorm by thread \* +8x8 .* 50% +arithmetic +all 64, exact$/),
      expect.stringMatching(/^softmax +8x8 /),
    ]);
  });

  test("columns stay below their headings, however long a name is", () => {
    const long = "the_kernel_of_an_author_who_likes_to_say_what_it_does.wgsl";
    const lines = linesOf(
      origin(false),
      kernel("a"),
      kernel(long),
      kernel("b", { shape: "123456x123456x12345678" }),
      kernel("c"),
    );
    const columns = lines.slice(3).filter((line) => line !== "");
    const heads = columns.filter((line) => line.startsWith("kernel"));
    expect(heads).toHaveLength(3); // at first, and again when one grew
    let head = "";
    for (const line of columns) {
      if (line.startsWith("kernel")) head = line;
      const at = (word: string): number => head.indexOf(word);
      if (line !== head) expect(line.slice(at("type"), at("type") + 3)).toBe("f32");
      if (line !== head) expect(line.slice(at("verified"))).toBe("all 64, exact");
    }
  });

  test("the project's own fit from the first", () => {
    const limits = {
      ...DEFAULT_LIMITS,
      maxComputeWorkgroupStorageSize: 49152,
      maxComputeInvocationsPerWorkgroup: 1024,
    };
    const unit = { componentType: "f16", resultType: "f32", M: 16, N: 16, K: 16 } as const;
    const traits = { limits, software: false, subgroupSize: 32, subgroupMaxSize: 32, matrixUnits: [unit] };
    const { matmul, matmulRungs } = engineTables(traits);
    const matmuls = [matmul, matmulRungs].flatMap((table) =>
      ([512, 511] as const).flatMap((k) => {
        const shape: MatmulShape = {
          m: 512,
          n: 512,
          k,
          bias: false,
          residual: false,
          activation: "none",
          dtype: "f16",
        };
        return table.kernels(shape).map(({ name, plan }) => kernel(name, { variant: variantOf(plan(shape, limits)) }));
      }),
    );
    const others = typicalTasks(traits).flatMap(({ kernels }) => kernels.filter((name) => !name.startsWith("matmul")));
    const rows = [...matmuls, ...others.map((name) => kernel(name, { variant: "by thread" }))].map((row) => ({
      ...row,
      chosen: true as const,
    }));
    expect(rows.map((row) => row.kernel)).toContain("matmul_subgroup");
    for (const wide of [true, false]) {
      expect(linesIn(wide, origin(false), ...rows).filter((line) => line.startsWith("kernel"))).toHaveLength(1);
    }
    const slow = { ...rows[0]!, shape: "1234567x12345x123456", timing: { ...timing, p50: 12345678 }, share: 0.999 };
    const narrow = linesIn(false, origin(false), ...rows, slow, { ...slow, boundBy: "memory", copyMs: 1e7 });
    expect(narrow.filter((line) => line.length > 100)).toEqual([]);
    expect(narrow.at(-1)).toMatch(/ 12345678 +0\.60 GB\/s +1\.23 +100%$/);
  });
});

test("tables of models and peers fit 100 characters, and have all columns where they are asked for", () => {
  const rows = ["lavapipe-model-minilm", "lavapipe-model-mini", "lavapipe-peers", "swiftshader-peers-base"].flatMap(
    (name) =>
      parseRows(readFileSync(new URL(`../../bench/results/2026-11-24-${name}.json`, import.meta.url), "utf8"), name),
  );
  const models = rows.filter((row) => row.type === "model");
  const peers = rows.filter((row) => row.type === "peer");
  expect(Math.min(models.length, peers.length)).toBeGreaterThan(3);
  const tables = (wide: boolean): string[] => [...linesIn(wide, ...models), ...peersTable(peers, wide)];
  expect(tables(false).filter((line) => line.length > 100)).toEqual([]);
  const heads = (wide: boolean): string[] => tables(wide).filter((line) => /^(model|engine) /.test(line));
  expect(heads(false).join()).not.toMatch(/noise|runs|error/);
  expect(heads(true)).toEqual([expect.stringMatching(/noise.* runs /), expect.stringMatching(/ runs .*error$/)]);
});

describe("ceilings", () => {
  test("tell noise and what others took", () => {
    const [, arithmetic, memory] = linesOf(origin(true), ceiling("arithmetic", 0.04), ceiling("memory", undefined));
    expect(arithmetic).toBe("arithmetic ceiling 80.0 GFLOP/s, by a loop, gpu clock, noise 25%, others 4.0%");
    expect(memory).toBe("memory ceiling 80.0 GB/s, by a loop, gpu clock, noise 25%");
  });

  test("measured under load are warned of once, before what is held against them", () => {
    const loaded = [origin(true), ceiling("arithmetic", 0.3), ceiling("memory", 0.2)];
    const lines = linesOf(...loaded, kernel("a"), kernel("b"));
    const warnings = lines.filter((line) => line.startsWith("warning: "));
    expect(warnings).toEqual([
      "warning: other programs took 30% of the machine while the ceilings were measured: shares of them are not comparable with other runs",
    ]);
    expect(lines.indexOf(warnings[0]!)).toBe(3);
    expect(linesOf(origin(true), ceiling("memory", 0.1), kernel("a")).join()).not.toContain("warning");
  });

  test("of a GPU's own clock do not mind a busy CPU", () => {
    expect(ceilingWarning([ceiling("memory", 0.5)], false)).toBeUndefined();
    expect(ceilingWarning([ceiling("memory", 0.5)], true)).toMatch(/^other programs took 50%/);
    expect(ceilingWarning([ceiling("memory", 0.5, "wall")], false)).toMatch(/^other programs took 50%/);
    expect(ceilingWarning([ceiling("memory", undefined)], true)).toBeUndefined();
  });
});
