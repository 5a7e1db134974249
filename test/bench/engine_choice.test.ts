/** Which kernels the bench has for a device, and which of them it calls the engine's: told without any GPU. */

import { describe, expect, test } from "vitest";
import { engineTables } from "../../bench/engine_choice.ts";
import { ladderTask, SHAPE_FORMS, shapedTasks, typicalTasks } from "../../bench/kernel_cases.ts";
import type { BenchTable } from "../../bench/kernels.ts";
import { embedLayernormSized, gatherRowsSized, layernormSized, topKSized } from "../../bench/sized_cases.ts";
import { DEFAULT_LIMITS, type DeviceTraits, type Kernel, type Scalar, specialize } from "../../src/kernels/kernel.ts";
import type { MatmulShape } from "../../src/kernels/matmul/matmul.ts";
import { variantOf } from "../../src/kernels/variant.ts";
import { Checks } from "../../src/runtime/checks.ts";
import * as ops from "../../src/runtime/ops.ts";
import { Recorder, type Ref } from "../../src/runtime/recorder.ts";
import type { Table } from "../../src/runtime/table.ts";
import { Tensor, type TensorDevice } from "../../src/runtime/tensor.ts";
import { linear, matmulCases, poolCase } from "../cases.ts";

const unit = { componentType: "f16", resultType: "f32", M: 16, N: 16, K: 16 } as const;
const roomy = { ...DEFAULT_LIMITS, maxComputeWorkgroupStorageSize: 49152, maxComputeInvocationsPerWorkgroup: 1024 };
const DEVICES: Readonly<Record<string, DeviceTraits>> = {
  "software with subgroups": { limits: DEFAULT_LIMITS, software: true, subgroupSize: 8, subgroupMaxSize: 8 },
  "software without": { limits: DEFAULT_LIMITS, software: true },
  "a GPU": { limits: DEFAULT_LIMITS, software: false, vendor: "amd", subgroupMaxSize: 64 },
  "a GPU with matrix units": {
    limits: roomy,
    software: false,
    vendor: "nvidia",
    subgroupSize: 32,
    subgroupMaxSize: 32,
    matrixUnits: [unit],
  },
  "a tuned GPU": {
    limits: DEFAULT_LIMITS,
    software: false,
    tuning: { "m<=128 nk<=2^18 f32": { kind: "split_k", split: 16 } },
  },
};
const MATRICES = DEVICES["a GPU with matrix units"]!;

function programOf<S>(kernel: Kernel<S>, shape: S, { limits }: DeviceTraits): string {
  return specialize(kernel.source, kernel.plan(shape, limits).constants);
}

/** What the engine launches for an operation, as it is compiled. */
function launched(traits: DeviceTraits, record: (r: Recorder, x: Ref) => unknown, x: readonly number[]): string {
  const r = new Recorder(traits);
  record(r, r.input("x", x, "f32"));
  return r.finish().dispatches.at(-1)!.source;
}

const weight = (...shape: number[]): Tensor =>
  new Tensor("weight", shape, "f32", {} as GPUBuffer, {} as TensorDevice, new Checks({} as GPUDevice));
const tokens = (r: Recorder): ops.PackedTokens => ({
  tokens: r.input("tokens", [64, 4], "u32"),
  cuSeqlens: r.input("cu_seqlens", [2], "u32"),
  masked: true,
});

describe.each(Object.entries(DEVICES))("on %s", (_, traits) => {
  const tables = engineTables(traits);
  const norm = { gamma: weight(64), beta: weight(64) };
  const rows = { rows: 64, cols: 64, dtype: "f32" as const };
  const first = <S extends { readonly dtype: Scalar }>(table: BenchTable<S>, shape: S): string => {
    expect(table.engineFirst).toBe(true);
    return programOf(table.kernels(shape)[0]!, shape, traits);
  };

  test("the first kernel of a table is the one that the engine launches", () => {
    const eps = 1e-12;
    const heads = { heads: 2, headDim: 32, qStride: 192, kStride: 192, vStride: 192, kOffset: 64, vOffset: 128 };
    const attention = { tokens: 64, sequences: 1, mask: true, dtype: "f32" as const, ...heads };
    const probs = (r: Recorder, x: Ref): Ref =>
      ops.attentionProbabilities(r, x, tokens(r), 2, r.input("offsets", [1], "u32"), 64 * 64 * 2);
    const embed = (r: Recorder): Ref =>
      ops.embed(
        r,
        tokens(r),
        undefined,
        { word: table(99, 64), position: weight(64, 64), tokenType: weight(2, 64) },
        norm,
        eps,
        "f32",
      );
    const pairs: [bench: string, engine: string][] = [
      [
        first(tables.layernorm, { ...rows, eps, residual: false }),
        launched(traits, (r, x) => ops.layerNorm(r, x, norm, eps), [64, 64]),
      ],
      [first(tables.l2Normalize, rows), launched(traits, ops.l2Normalize, [64, 64])],
      [first(tables.softmax, rows), launched(traits, ops.softmax, [64, 64])],
      [first(tables.softmax, { ...rows, cols: 6 }), launched(traits, ops.softmax, [64, 6])],
      [first(tables.topK, { ...rows, k: 3 }), launched(traits, (r, x) => ops.topK(r, x, 3), [64, 64])],
      [
        first(tables.pool, { sequences: 1, hidden: 64, mode: "mean", mask: true, dtype: "f32" }),
        launched(traits, (r, x) => ops.pool(r, x, tokens(r), "mean"), [64, 64]),
      ],
      [first(tables.embedLayernorm, { tokens: 64, hidden: 64, eps, dtype: "f32" }), launched(traits, embed, [1])],
      [
        first(tables.attention, attention),
        launched(traits, (r, x) => ops.selfAttention(r, x, tokens(r), 2), [64, 192]),
      ],
      [first(tables.attentionProbs, attention), launched(traits, probs, [64, 192])],
    ];
    for (const [bench, engine] of pairs) expect(bench).toBe(engine);
    for (const [m, n, k] of [
      [64, 64, 64],
      [1, 64, 64],
      [64, 64, 30],
    ] as const) {
      const dense = launched(traits, (r, x) => ops.linear(r, x, { weight: table(n, k), bias: undefined }), [m, k]);
      const shape: MatmulShape = { ...linear(m, n, k).shape, outStride: n, dtype: "f32" };
      expect(first(tables.matmul, shape)).toBe(dense);
      expect(first(tables.matmulRungs, shape)).toBe(dense);
    }
  });

  test.each(["f32", "f16"] as const)("no two matmuls are the same in %s, or have one name in the tables", (dtype) => {
    for (const table of [tables.matmul, tables.matmulRungs]) {
      const shape: MatmulShape = { ...linear(128, 768, 768).shape, dtype };
      const kernels = table.kernels(shape);
      const programs = kernels.map((kernel) => programOf(kernel, shape, traits));
      const names = kernels.map((kernel) => `${kernel.name} ${variantOf(kernel.plan(shape, traits.limits))}`);
      expect(new Set(programs).size).toBe(kernels.length);
      expect(new Set(names).size).toBe(kernels.length);
    }
  });

  test("every size is taken by the kernels that the help says", () => {
    const names = (sizes: readonly number[]): string[] => shapedTasks(sizes, traits).map(({ kernels }) => kernels[0]!);
    const three = names([128, 4, 64]);
    const two = names([128, 64]);
    expect(three.map((name) => name.replace(/_(broadcast|workgroup|subgroup|split_k).*/, ""))).toEqual([
      "matmul",
      "matmul_q8",
      "attention",
      "attention_probs",
    ]);
    const others = "embed_layernorm layernorm activation pool l2_normalize gather_rows softmax top_k non_finite".split(
      " ",
    );
    expect(two).toEqual(others);
    expect(SHAPE_FORMS).toMatch(/matmul and matmul_q8 MxNxK.*attention TOKENSxHEADSxHEADDIM.*others ROWSxCOLS/);
    expect(names([128])).toEqual([]);
    // and there is no kernel that takes none
    const operation = (name: string): string =>
      name.replace(/_(broadcast|workgroup|subgroup|split_k|unaligned|naive|pairs).*/, "");
    const all = typicalTasks(traits).flatMap(({ kernels }) => kernels.map(operation));
    expect(new Set(all)).toEqual(new Set([...three, ...two].map(operation)));
  });
});

test("cases of a size have the bound of that size", () => {
  const [narrow, wide] = [layernormSized(5, 3), layernormSized(5, 768)].map(({ bound }) => bound("f32").absolute);
  expect(narrow).toBeGreaterThan(wide!);
  expect(embedLayernormSized(5, 3).bound("f32").absolute).toBe(narrow);
  const [long, short] = [512, 128].map((tokens) => poolCase([tokens], 8, "mean", true).bound("f32").absolute);
  expect(long).toBe(4 * short!);
  expect(gatherRowsSized(4, 768).shape.tableRows).toBe(30522);
  expect(gatherRowsSized(4, 2 * 768).shape.tableRows).toBe(15261);
  expect([topKSized(2, 3).shape.k, topKSized(2, 300).shape.k]).toEqual([3, 5]);
});

describe("matrix units", () => {
  const shape: MatmulShape = { ...linear(1024, 1024, 1024).shape, dtype: "f16" };

  test("are a rung in the type that they multiply, the engine's tile first and others beside it", () => {
    const kernels = engineTables(MATRICES).matmulRungs.kernels(shape);
    const variants = kernels
      .filter(({ name }) => name === "matmul_subgroup")
      .map((kernel) => variantOf(kernel.plan(shape, MATRICES.limits)));
    expect(kernels[0]!.name).toBe("matmul_subgroup");
    expect(variants.length).toBeGreaterThan(1);
    expect(variants[0]).toMatch(/^\d+x\d+x32 16x16x16$/);
    expect(engineTables(MATRICES).matmulRungs.kernels({ ...shape, dtype: "f32" })).toSatisfy(
      (others: readonly Kernel<MatmulShape>[]) => others.every(({ name }) => name !== "matmul_subgroup"),
    );
  });

  test("are found by name in every task of matmuls that is dense, though f32 has none", () => {
    const dense = [...typicalTasks(MATRICES).slice(0, matmulCases.typical.length - 1), ladderTask(512, MATRICES)];
    for (const { kernels } of dense) expect(kernels).toContain("matmul_subgroup");
    const software = typicalTasks(DEVICES["software without"]!);
    expect(software.flatMap(({ kernels }) => kernels)).not.toContain("matmul_subgroup");
  });
});

function table(rows: number, cols: number): Table {
  return { rows, cols, rowsPerPart: rows, parts: [weight(rows, cols)] };
}
