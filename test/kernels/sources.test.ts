/** Every WGSL file by itself: that it compiles as it stands, and that it keeps the conventions. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import wgsl from "wgsl-files";
import * as kernels from "../../src/kernels/index.ts";
import { bindingsOf, type Kernel } from "../../src/kernels/kernel.ts";
import { requestDevice } from "../../src/node/device.ts";
import { kernelTexts } from "../../wgsl.ts";
import { testDevice } from "../device.ts";
import { compile, runKernel } from "./harness.ts";

const ROOT = join(import.meta.dirname, "../..");
const WORKGROUP_TILE = { rows: 64, cols: 64, depth: 16, rowFours: 1, colFours: 1 };
const SUBGROUP_TILE: kernels.SubgroupTile = {
  ...{ unit: { componentType: "f32", resultType: "f32", M: 8, N: 8, K: 8 }, subgroup: 32, depth: 16 },
  ...{ subgroupsDown: 2, subgroupsAcross: 2, matricesDown: 4, matricesAcross: 4 },
};
/** First those whose kernels are for any sizes too. */
const CONFIGS: readonly kernels.MatmulConfig[] = [
  { kind: "register" },
  { kind: "workgroup", tile: WORKGROUP_TILE },
  { kind: "split_k", split: 32 },
  { kind: "broadcast", subgroup: 8 },
  { kind: "subgroup", tile: SUBGROUP_TILE },
];
const all: readonly Kernel<never>[] = [
  ...Object.values(kernels).filter(
    (value): value is Kernel<never> => typeof value === "object" && "source" in value && "plan" in value,
  ),
  kernels.matmulSubgroup(SUBGROUP_TILE),
  kernels.attentionSubgroup(SUBGROUP_TILE.unit, 32),
  kernels.matmulWorkgroupTiled(WORKGROUP_TILE, false),
  kernels.matmulSplitKBy(32, false),
  kernels.softmaxBy("workgroup", "vec2"),
  ...[kernels.softmaxBy("subgroups"), kernels.softmaxBy("subgroups", "vec2"), kernels.l2NormalizeBy("subgroups")],
  ...[kernels.layernormBy("subgroups"), kernels.embedLayernormBy("subgroups")],
  ...[kernels.layernormBackwardBy("subgroups"), kernels.l2NormalizeBackwardBy("subgroups")],
  ...[4, 2, 1].map((cols) => kernels.crossEntropyBy("workgroup", cols)),
  ...(["nn", "tn"] as const).flatMap((operands) => [
    ...CONFIGS.map((config) => kernels.matmulBackwardKernelOf(config, operands, true)),
    ...CONFIGS.slice(0, 3).map((config) => kernels.matmulBackwardKernelOf(config, operands, false)),
  ]),
];

/** Directives of the kernels that ask for a feature; all others are plain WGSL. */
const DIRECTIVES: Readonly<Record<string, readonly string[]>> = {
  "attention/attention_backward_kv_broadcast.wgsl": ["enable subgroups;"],
  "attention/attention_backward_q_broadcast.wgsl": ["enable subgroups;"],
  "attention/attention_broadcast.wgsl": ["enable subgroups;"],
  "attention/attention_subgroup.wgsl": [
    "enable subgroups;",
    "enable chromium_experimental_subgroup_matrix;",
    "diagnostic(off, chromium.subgroup_matrix_uniformity);",
    "diagnostic(off, subgroup_uniformity);",
  ],
  "matmul/matmul_broadcast.wgsl": ["enable subgroups;"],
  ...Object.fromEntries(
    [
      ...["embed_layernorm", "l2_normalize", "l2_normalize_backward", "layernorm", "layernorm_backward"],
      ...["softmax", "softmax_pairs"],
    ].map((name) => [`rows/${name}_subgroup.wgsl`, ["enable subgroups;"]]),
  ),
  ...Object.fromEntries(
    ["nn_broadcast", "nn_subgroup", "tn_broadcast", "tn_subgroup"].map((name) => [
      `matmul/backward/matmul_${name}.wgsl`,
      [], // by what it imports
    ]),
  ),
  "matmul/matmul_subgroup.wgsl": [
    "enable chromium_experimental_subgroup_matrix;",
    "diagnostic(off, chromium.subgroup_matrix_uniformity);",
  ],
};

test("there is a kernel for each file with an entry point, named as it is, and of nothing but its text", () => {
  const texts = kernelTexts(ROOT);
  expect(all.map(({ name }) => name).sort()).toEqual([...texts.keys()].sort());
  for (const { name, source } of all) expect(source, name).toBe(texts.get(name));
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
    expect(features !== undefined).toBe(/^(enable|requires) /m.test(source)); // its own, or of what it is a variant of
  });

  test("brings no function that needs memory or LANES without calling it", () => {
    const bodies = new Map([...source.matchAll(/^fn (\w+)\([\s\S]*?^}/gm)].map(([body, fn]) => [fn!, body]));
    const called = new Set(["main"]);
    for (const fn of called) {
      for (const [name] of bodies.get(fn)!.matchAll(/\w+/g)) if (bodies.has(name)) called.add(name); // the loop comes to it
    }
    const shared = [...source.matchAll(/^var<workgroup> (\w+)/gm)].map(([, name]) => name!);
    const needy = new RegExp(`\\b(?:${["LANES", ...shared].join("|")})\\b`);
    expect([...bodies].filter(([fn, body]) => !called.has(fn) && needy.test(body)).map(([fn]) => fn)).toEqual([]);
  });

  test("binds at most 8 storage buffers, numbered from 0", () => {
    const bindings = bindingsOf(source);
    expect(bindings.map(({ binding }) => binding)).toEqual(bindings.map((_, i) => i));
    expect(bindings.filter(({ access }) => access !== "uniform").length).toBeLessThanOrEqual(8);
  });
});

describe.each(Object.entries(wgsl))("%s", (path, text) => {
  const lines = text.trimEnd().split("\n");

  test("opens with what it computes, and is short", () => {
    expect(lines[0]).toMatch(/^\/\/ /);
    expect(lines.length).toBeLessThanOrEqual(200);
    expect(lines.filter((line) => line.length > 120)).toEqual([]);
  });

  test("is plain WGSL", () => {
    expect(lines.filter((line) => /\$\{|^#|\boverride\b/.test(line))).toEqual([]);
    expect(lines.filter((line) => /^\s*(enable|requires|diagnostic)\b/.test(line))).toEqual(DIRECTIVES[path] ?? []);
  });

  test("says what it shares by its imports, and nowhere else", () => {
    const prose = lines.filter((line) => line.startsWith("//") && !line.startsWith("// #import"));
    expect(prose.filter((line) => /joined with|shared\/|\w\/\w+\.wgsl/i.test(line))).toEqual([]);
  });
});

test("src/kernels names no GPU object and does no input or output", () => {
  const impure = /\bGPU(?!SupportedLimits)[A-Z]\w+|navigator|node:|\bprocess\.|\bfetch\(/;
  const folder = join(ROOT, "src/kernels");
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
  expect(files.filter((file) => impure.test(readFileSync(join(folder, file), "utf8")))).toEqual([]);
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
