/** Every WGSL file by itself: that it compiles as it stands, and that it keeps the conventions. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import * as kernels from "../../src/kernels/index.ts";
import { bindingsOf, type Kernel } from "../../src/kernels/kernel.ts";
import { requestDevice } from "../../src/node/device.ts";
import { testDevice } from "../device.ts";
import { compile, runKernel } from "./harness.ts";

const folder = new URL("../../src/kernels/", import.meta.url);
const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).sort();
const read = (file: string): string => readFileSync(new URL(file, folder), "utf8");
const all: readonly Kernel<never>[] = [
  ...Object.values(kernels).filter(
    (value): value is Kernel<never> => typeof value === "object" && "source" in value && "plan" in value,
  ),
  kernels.matmulSubgroup({
    ...{ unit: { componentType: "f32", resultType: "f32", M: 8, N: 8, K: 8 }, subgroup: 32, depth: 16 },
    ...{ subgroupsDown: 2, subgroupsAcross: 2, matricesDown: 4, matricesAcross: 4 },
  }),
];

/** Directives of the kernels that ask for a feature; all others are plain WGSL. */
const DIRECTIVES: Readonly<Record<string, readonly string[]>> = {
  "attention_broadcast.wgsl": ["enable subgroups;"],
  "matmul_broadcast.wgsl": ["enable subgroups;"],
  "matmul_subgroup.wgsl": [
    "enable chromium_experimental_subgroup_matrix;",
    "diagnostic(off, chromium.subgroup_matrix_uniformity);",
  ],
};

test("there is a kernel for each file", () => {
  const wgsl = files.filter((file) => file.endsWith(".wgsl") && !file.startsWith("shared"));
  const names = all.map(({ name }) => name).filter((name) => !name.endsWith("_unaligned"));
  expect(names.map((name) => `${name}.wgsl`).sort()).toEqual(wgsl);
});

describe.each(all)("$name", ({ name, source, features }) => {
  test("compiles with its default values", async () => {
    // Few adapters have such a feature; Dawn's null backend has.
    const { device } = features
      ? await requestDevice({ adapter: "null", toggles: ["allow_unsafe_apis"], features })
      : await testDevice();
    await compile(device, name, source);
  });

  test("has directives where it asks for features, and only there", () => {
    expect(features !== undefined).toBe(`${name}.wgsl` in DIRECTIVES);
  });

  test("binds at most 8 storage buffers, numbered from 0", () => {
    const bindings = bindingsOf(source);
    expect(bindings.map(({ binding }) => binding)).toEqual(bindings.map((_, i) => i));
    expect(bindings.filter(({ access }) => access !== "uniform").length).toBeLessThanOrEqual(8);
  });
});

describe.each(files.filter((file) => file.endsWith(".wgsl")))("%s", (file) => {
  const lines = read(file).trimEnd().split("\n");

  test("opens with what it computes, and is short", () => {
    expect(lines[0]).toMatch(/^\/\/ /);
    expect(lines.length).toBeLessThanOrEqual(200);
    expect(lines.filter((line) => line.length > 120)).toEqual([]);
  });

  test("is plain WGSL", () => {
    expect(lines.filter((line) => /\$\{|^#|\boverride\b/.test(line))).toEqual([]);
    expect(lines.filter((line) => /^\s*(enable|requires|diagnostic)\b/.test(line))).toEqual(DIRECTIVES[file] ?? []);
  });
});

test("src/kernels names no GPU object and does no input or output", () => {
  const impure = /\bGPU(?!SupportedLimits)[A-Z]\w+|navigator|node:|\bprocess\.|\bfetch\(/;
  expect(files.filter((file) => file.endsWith(".ts") && impure.test(read(file)))).toEqual([]);
});

describe("a compile error", () => {
  test("comes with the label, the compiler's line and the source line", async () => {
    const { device } = await testDevice();
    const source = "@compute @workgroup_size(1)\nfn main() {\n  let x: u32 = 1.5;\n}\n";
    await expect(compile(device, "broken", source)).rejects.toThrow(
      /broken does not compile: line 3.*\n\s*let x: u32 = 1.5;/s,
    );
  });
});

describe("a folded dispatch", () => {
  test("covers every row once", async () => {
    const { device } = await testDevice();
    // As if the device dispatched at most 5 workgroups per dimension.
    const limits = { ...kernels.DEFAULT_LIMITS, maxComputeWorkgroupsPerDimension: 5 };
    const [rows, cols] = [23, 3];
    const x = Float64Array.from({ length: rows * cols }, (_, i) => i);
    const shape = { rows, cols, dtype: "f32" as const, k: 1 };
    const { indices } = await runKernel(device, kernels.topK, shape, { x }, { values: rows, indices: rows }, limits);
    expect([...indices!]).toEqual(new Array(rows).fill(2));

    const linear = { m: 300, n: 70, k: 4, dtype: "f32", bias: false, residual: false, activation: "none" } as const;
    const inputs = { x: new Float64Array(1200).fill(1), weight: new Float64Array(280).fill(2) };
    for (const kernel of [kernels.matmul, kernels.matmulUnaligned]) {
      const { out } = await runKernel(device, kernel, linear, inputs, { out: 300 * 70 }, limits);
      expect(out!.every((value) => value === 8)).toBe(true);
    }
  });
});
