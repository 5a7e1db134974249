/** Plans and specialisation: arithmetic and text, no GPU. */
import { describe, expect, test } from "vitest";
import { attention, attentionKernelFor, attentionUnaligned } from "../../src/kernels/attention/attention.ts";
import { attentionProbs } from "../../src/kernels/attention/attention_probs.ts";
import {
  bindingsOf,
  DEFAULT_LIMITS,
  type DeviceTraits,
  foldWorkgroups,
  type Kernel,
  packParams,
  paramsOf,
  type Scalar,
  specialize,
} from "../../src/kernels/kernel.ts";
import {
  matmul,
  matmulKernelOf,
  matmulNaive,
  matmulSplitKBy,
  matmulUnaligned,
  matmulWorkgroupTiled,
} from "../../src/kernels/matmul/matmul.ts";
import { matmulBackwardKernelFor, matmulNaiveBackward } from "../../src/kernels/matmul/matmul_backward.ts";
import {
  matmulCandidates,
  matmulConfigFor,
  matmulFits,
  matmulKernelFor,
  shapeClass,
  subgroupTileFor,
} from "../../src/kernels/matmul/matmul_choice.ts";
import { describeConfig, type MatmulConfig } from "../../src/kernels/matmul/matmul_config.ts";
import { parseMatmulTuning } from "../../src/kernels/matmul/matmul_tuning.ts";
import { activation } from "../../src/kernels/rows/activation.ts";
import { l2Normalize } from "../../src/kernels/rows/l2_normalize.ts";
import { embedLayernorm, layernorm } from "../../src/kernels/rows/layernorm.ts";
import { nonFinite } from "../../src/kernels/rows/non_finite.ts";
import { softmax } from "../../src/kernels/rows/softmax.ts";
import { topK } from "../../src/kernels/rows/top_k.ts";
import { gatherRows } from "../../src/kernels/tokens/gather_rows.ts";
import { pool } from "../../src/kernels/tokens/pool.ts";
import * as tables from "../cases.ts";

/** A kernel, a shape that it takes, and the fields that must be whole numbers of at least 1. */
interface Subject {
  readonly name: string;
  readonly sizes: readonly string[];
  plan(changes: object): ReturnType<Kernel<never>["plan"]>;
}

function subject<Shape>(kernel: Kernel<Shape>, shape: Shape, ...sizes: (keyof Shape & string)[]): Subject {
  return { name: kernel.name, sizes, plan: (changes) => kernel.plan({ ...shape, ...changes }, DEFAULT_LIMITS) };
}

const dtype = "f32" as const;
const linear = { m: 8, n: 8, k: 8, dtype, bias: false, residual: false, activation: "none" as const };
const heads = { tokens: 8, sequences: 2, heads: 2, headDim: 8, dtype, mask: false };
const subjects: readonly Subject[] = [
  subject(matmul, linear, "m", "n", "k"),
  subject(matmulUnaligned, linear, "m", "n", "k"),
  subject(matmulNaive, linear, "m", "n", "k"),
  subject(matmulBackwardKernelFor({ ...linear, operands: "nn" }), { ...linear, operands: "nn" }, "m", "n", "k"),
  subject(matmulBackwardKernelFor({ ...linear, m: 6, operands: "tn" }), { ...linear, operands: "tn" }, "m", "n", "k"),
  subject(matmulNaiveBackward, { ...linear, operands: "tn" }, "m", "n", "k"),
  subject(softmax, { rows: 8, cols: 8, dtype }, "rows", "cols"),
  subject(layernorm, { rows: 8, cols: 8, eps: 1e-12, dtype, residual: false }, "rows", "cols"),
  subject(activation, { rows: 8, cols: 8, dtype, bias: false, activation: "gelu" }, "rows", "cols"),
  subject(embedLayernorm, { tokens: 8, hidden: 8, eps: 1e-12, dtype }, "tokens", "hidden"),
  subject(attention, heads, "tokens", "sequences", "heads", "headDim", "valueDim", "qStride", "kStride", "vStride"),
  subject(attentionUnaligned, heads, "tokens", "sequences", "heads", "headDim", "valueDim", "qStride"),
  subject(attentionProbs, heads, "tokens", "sequences", "heads", "headDim", "qStride", "kStride"),
  subject(gatherRows, { count: 8, cols: 8, tableRows: 8, dtype }, "count", "cols", "tableRows"),
  subject(pool, { sequences: 8, hidden: 8, dtype, mode: "mean", mask: false }, "sequences", "hidden"),
  subject(l2Normalize, { rows: 8, cols: 8, dtype }, "rows", "cols"),
  subject(nonFinite, { count: 8, dtype }, "count"),
  subject(topK, { rows: 8, cols: 8, k: 3, dtype }, "rows", "cols", "k"),
];

describe.each(subjects)("$name", ({ name, sizes, plan }) => {
  test.each(sizes)("refuses a bad %s by name and value", (field) => {
    for (const value of [0, -4, 2 ** 32]) {
      expect(() => plan({ [field]: value })).toThrow(RangeError);
      expect(() => plan({ [field]: value })).toThrow(`${name}: ${field} is ${value}`);
    }
    for (const value of [1.5, Number.NaN, Number.POSITIVE_INFINITY, "8", null]) {
      expect(() => plan({ [field]: value })).toThrow(TypeError);
      expect(() => plan({ [field]: value })).toThrow(`${name}: ${field} is ${value}`);
    }
  });
});

describe("the choice among matmuls", () => {
  const gpu = { limits: DEFAULT_LIMITS, software: false };
  const choose = (m: number, n: number, k: number, traits = gpu) => {
    const shape = { ...linear, m, n, k };
    const kernel = matmulKernelFor(shape, traits);
    const { constants, workgroups } = kernel.plan(shape, traits.limits);
    return { name: kernel.name, tile: constants.TILE_ROWS, workgroups: workgroups[0] * workgroups[1] };
  };

  test("is the register-tiled one on a software adapter, and where nothing is known", () => {
    expect(choose(4096, 4096, 4096, { ...gpu, software: true }).name).toBe("matmul");
    expect(choose(4096, 4096, 4095, { ...gpu, software: true }).name).toBe("matmul_unaligned");
  });

  test("is the largest tile that keeps a GPU busy, and the split of k for a few rows", () => {
    expect(choose(4096, 4096, 4096)).toEqual({ name: "matmul_workgroup", tile: 128, workgroups: 1024 });
    expect(choose(1024, 768, 768)).toEqual({ name: "matmul_workgroup", tile: 64, workgroups: 192 });
    expect(choose(128, 768, 768)).toEqual({ name: "matmul_workgroup", tile: 32, workgroups: 96 });
    expect(choose(1, 768, 768)).toEqual({ name: "matmul_split_k", tile: undefined, workgroups: 48 });
    expect(choose(1024, 768, 101).name).toBe("matmul_workgroup_unaligned");
    const cramped = { ...gpu, limits: { ...DEFAULT_LIMITS, maxComputeWorkgroupStorageSize: 8192 } };
    expect(choose(4096, 4096, 4096, cramped).tile).toBe(64);
  });

  test.each([
    ["nn", 1024, 256, 1024, "matmul_nn", "matmul_nn_workgroup"],
    ["nn", 1024, 256, 1022, "matmul_nn_unaligned", "matmul_nn_workgroup_unaligned"],
    ["nn", 1024, 254, 1024, "matmul_nn_unaligned", "matmul_nn_workgroup_unaligned"],
    ["nn", 1023, 256, 1024, "matmul_nn", "matmul_nn_workgroup"],
    ["nn", 3, 256, 1024, "matmul_nn", "matmul_nn_split_k"],
    ["tn", 1024, 256, 1021, "matmul_tn", "matmul_tn_workgroup"],
    ["tn", 1022, 256, 1024, "matmul_tn_unaligned", "matmul_tn_workgroup_unaligned"],
    ["tn", 1024, 255, 1024, "matmul_tn_unaligned", "matmul_tn_workgroup_unaligned"],
    ["tn", 2, 256, 1024, "matmul_tn_unaligned", "matmul_tn_split_k_unaligned"],
  ] as const)("is made for the operands of gradients: %s %d x %d x %d", (operands, m, n, k, software, hardware) => {
    const shape = { ...linear, m, n, k, operands };
    expect(matmulBackwardKernelFor(shape).name).toBe(software);
    const broadcast = /unaligned/.test(software) || m <= 8 ? software : `${software}_broadcast`;
    const traits = { ...gpu, software: true, subgroupSize: 8 };
    expect(matmulBackwardKernelFor(shape, traits).name).toBe(broadcast);
    expect(matmulBackwardKernelFor(shape, traits).plan(shape, DEFAULT_LIMITS).workgroups[0]).toBeGreaterThan(0);
    expect(matmulBackwardKernelFor(shape, gpu).name).toBe(hardware);
    const tuning = { [`${shapeClass(linear)} ${operands}`]: { kind: "register" } };
    const few = { ...linear, operands };
    expect(shapeClass(few)).toBe(`${shapeClass(linear)} ${operands}`);
    expect(matmulBackwardKernelFor(few, { ...gpu, tuning }).name).toBe(`matmul_${operands}`);
    expect(matmulKernelFor(linear, { ...gpu, tuning }).name).toBe("matmul_split_k");
  });

  test("is of matrix units for gradients too", () => {
    const traits = { ...gpu, matrixUnits: [unit], subgroupMaxSize: 32, subgroupSize: 32 };
    const shape = { ...linear, m: 256, n: 256, k: 1021, dtype: "f16" as const, operands: "tn" as const };
    const kernel = matmulBackwardKernelFor(shape, traits);
    expect(kernel.name).toBe("matmul_tn_subgroup");
    expect(kernel.features).toEqual(["chromium-experimental-subgroup-matrix"]);
    const { constants } = kernel.plan({ ...shape, accumulate: true }, DEFAULT_LIMITS);
    expect(constants).toMatchObject({ Scalar: "f16", Out: "f32", ACCUMULATE: true, MATRIX_ROWS: 16 });
  });

  const config = (m: number, n: number, k: number, more: Partial<DeviceTraits>, dtype: "f32" | "f16" = "f32") =>
    describeConfig(matmulConfigFor({ ...linear, m, n, k, dtype }, { ...gpu, ...more }));

  const unit = { componentType: "f16", resultType: "f32", M: 16, N: 16, K: 16 } as const;
  const matrices = { matrixUnits: [unit], subgroupMaxSize: 32, subgroupSize: 32 };

  test.each([
    // vendor, 4096 rows, 1024 rows, 128 rows, one row
    ["nvidia", "workgroup 128x128x16 8x8", "workgroup 64x64x16 4x4", "workgroup 32x32x32 4x4", "split_k 32"],
    ["amd", "workgroup 128x128x16 8x8", "workgroup 64x64x16 4x4", "workgroup 32x32x32 4x4", "split_k 32"],
    ["apple", "workgroup 64x64x16 4x4", "workgroup 64x64x16 4x4", "workgroup 32x32x32 4x4", "split_k 32"],
    ["intel", "workgroup 64x64x16 4x4", "workgroup 64x64x16 4x4", "workgroup 32x32x32 4x4", "split_k 32"],
    ["", "workgroup 128x128x16 8x8", "workgroup 64x64x16 4x4", "workgroup 32x32x32 4x4", "split_k 32"],
  ])("by vendor: %j", (vendor, ...expected) => {
    expect([4096, 1024, 128, 1].map((m) => config(m, 768, 768, { vendor }))).toEqual(expected);
    expect(config(4096, 768, 768, { vendor, software: true })).toBe("register");
  });

  test("passes rows through subgroups where the CPU computes, all of them are of one size, and k is of vec4s", () => {
    const broadcast = { software: true, subgroupSize: 8 };
    expect(config(128, 768, 768, broadcast)).toBe("broadcast 8");
    expect(config(128, 768, 766, broadcast)).toBe("register");
    expect(config(8, 768, 768, broadcast)).toBe("register");
    expect(config(128, 768, 768, { ...broadcast, subgroupSize: 64 })).toBe("register");
    expect(config(128, 768, 768, { subgroupSize: 8 })).toMatch(/^workgroup/);
  });

  test("is the matrix units' where they multiply this dtype and sum in f32", () => {
    expect(config(128, 768, 768, matrices, "f16")).toMatch(/^subgroup .* 16x16x16$/);
    expect(config(128, 768, 768, matrices)).toMatch(/^workgroup/); // of f16 only
    expect(config(128, 768, 766, matrices, "f16")).toMatch(/^workgroup/);
    expect(config(8, 768, 768, matrices, "f16")).toBe("split_k 32");
    expect(config(128, 768, 768, { ...matrices, software: true }, "f16")).toBe("register");
    const rough = { ...matrices, matrixUnits: [{ ...unit, resultType: "f16" as const }] };
    expect(config(128, 768, 768, rough, "f16")).toMatch(/^workgroup/);
  });

  test("asks for the largest subgroups where they vary, and is not the matrix units' where it cannot", () => {
    const varying = { matrixUnits: [unit], subgroupMaxSize: 32 };
    expect(config(128, 768, 768, varying, "f16")).toMatch(/^workgroup/);
    expect(config(128, 768, 768, { ...varying, subgroupSizeControl: true }, "f16")).toMatch(/^subgroup/);
    const half = { ...linear, m: 128, n: 768, k: 768, dtype: "f16" as const };
    const tileOn = (more: Partial<DeviceTraits>) => subgroupTileFor(half, { ...gpu, ...more })!;
    expect(tileOn(varying).sized).toBeUndefined();
    expect(tileOn({ ...matrices, subgroupSizeControl: true }).sized).toBeUndefined(); // all are of that size there
    const tile = tileOn({ ...varying, subgroupSizeControl: true });
    const kernel = matmulKernelOf({ kind: "subgroup", tile }, true);
    expect(kernel.features).toContain("subgroup-size-control");
    const { constants } = kernel.plan(half, DEFAULT_LIMITS);
    expect(constants).toMatchObject({ SUBGROUP: 32, "@subgroup_size": 32 });
    expect(matmulFits({ kind: "subgroup", tile }, half, { ...gpu, ...varying })).toBe(false);
    expect(parseMatmulTuning({ a: { kind: "subgroup", tile } }).a).toEqual({ kind: "subgroup", tile });
  });

  test("is what was tuned for the class, where it fits the device", () => {
    const shape = { ...linear, m: 100, n: 768, k: 768 };
    const tuned = (config: MatmulConfig) => ({ tuning: { [shapeClass(shape)]: config } });
    const split = tuned({ kind: "split_k", split: 4 });
    expect(config(128, 768, 768, split)).toBe("split_k 4");
    expect(config(128, 768, 768, { ...split, software: true })).toBe("split_k 4");
    expect(config(129, 768, 768, split)).toMatch(/^workgroup/);
    expect(config(128, 768, 768, split, "f16")).toMatch(/^workgroup/);
    const huge = { rows: 256, cols: 256, depth: 64, rowFours: 4, colFours: 4 }; // 128 KB
    expect(config(128, 768, 768, tuned({ kind: "workgroup", tile: huge }))).toBe("workgroup 32x32x32 4x4");

    const half = { ...shape, dtype: "f16" as const };
    const tile = subgroupTileFor(half, { ...gpu, ...matrices })!;
    const subgroup = { tuning: { [shapeClass(half)]: { kind: "subgroup", tile } as const } };
    expect(config(128, 768, 768, { ...subgroup, ...matrices }, "f16")).toMatch(/^subgroup/);
    expect(config(128, 768, 768, subgroup, "f16")).toMatch(/^workgroup/); // without the feature
    expect(config(128, 768, 768, { ...subgroup, ...matrices, subgroupMaxSize: 64 }, "f16")).toMatch(/32x32|64x64|128/);
    expect(matmulFits({ kind: "subgroup", tile }, half, { ...gpu, ...matrices, subgroupMaxSize: 64 })).toBe(false);
    expect(matmulKernelOf({ kind: "subgroup", tile }, false)).toBe(matmulUnaligned);
  });

  test("tries at most 8, the built-in one first, each once and each with room", () => {
    for (const more of [{}, { software: true }, { software: true, subgroupSize: 8 }, { vendor: "apple" }, matrices]) {
      for (const m of [1, 32, 128, 4096]) {
        for (const dtype of ["f32", "f16"] as const) {
          const [shape, traits] = [
            { ...linear, m, n: 768, k: 768, dtype },
            { ...gpu, ...more },
          ];
          const candidates = matmulCandidates(shape, traits);
          expect(candidates[0]).toEqual(matmulConfigFor(shape, traits));
          expect(candidates.length).toBeGreaterThan(1);
          expect(candidates.length).toBeLessThanOrEqual(8);
          expect(new Set(candidates.map(describeConfig)).size).toBe(candidates.length);
          expect(candidates.every((config) => matmulFits(config, shape, traits))).toBe(true);
          expect(parseMatmulTuning(JSON.parse(JSON.stringify({ ...candidates })))).toEqual({ ...candidates });
        }
      }
    }
  });

  test("never makes a tile that the device has no room for", () => {
    const tile = { rows: 256, cols: 128, depth: 16, rowFours: 1, colFours: 1 };
    const plan = () => matmulWorkgroupTiled(tile, true).plan({ ...linear, k: 8 }, DEFAULT_LIMITS);
    expect(plan).toThrow("matmul_workgroup: 2048 threads in a workgroup, the device has 256");
    const deep = () =>
      matmulWorkgroupTiled({ ...tile, rowFours: 4, colFours: 4 }, true).plan({ ...linear, k: 8 }, DEFAULT_LIMITS);
    expect(deep).toThrow("24576 bytes of workgroup memory, the device has 16384");
    expect(() => matmulSplitKBy(3, true).plan({ ...linear, k: 8 }, DEFAULT_LIMITS)).toThrow(
      "split is 3, it must divide 64",
    );
  });
});

describe("parseMatmulTuning", () => {
  const tile = { rows: 64, cols: 64, depth: 16, rowFours: 1, colFours: 1 };
  const unit = { componentType: "f16", resultType: "f32", M: 16, N: 16, K: 16 };
  const subgroup = {
    ...{ unit, subgroup: 32, depth: 32 },
    ...{ subgroupsDown: 2, subgroupsAcross: 2, matricesDown: 2, matricesAcross: 2 },
  };

  test("gives what it knows, and nothing else", () => {
    const read = parseMatmulTuning({ a: { kind: "workgroup", tile: { ...tile, more: 1 }, evil: "x" } });
    expect(read).toEqual({ a: { kind: "workgroup", tile } });
    expect(parseMatmulTuning({ a: { kind: "subgroup", tile: subgroup } }).a).toEqual({
      kind: "subgroup",
      tile: subgroup,
    });
  });

  test.each([
    [null, "a tuning is null, it must be an object"],
    [[], "a tuning is [], it must be an object"],
    [{ a: 3 }, '"a": a config is 3, it must be an object'],
    [{ a: {} }, '"a": kind is missing, it must be register, workgroup, split_k, broadcast or subgroup'],
    [{ a: { kind: "magic" } }, 'kind is "magic"'],
    [{ a: { kind: "split_k", split: 3 } }, "split is 3, it must divide 64"],
    [{ a: { kind: "split_k", split: "8" } }, 'split is "8", it must be a whole number from 1 to 64'],
    [{ a: { kind: "workgroup" } }, "tile is missing, it must be an object"],
    [{ a: { kind: "workgroup", tile: { ...tile, rows: 1e9 } } }, "tile.rows is 1000000000"],
    [{ a: { kind: "workgroup", tile: { ...tile, cols: 65 } } }, "tile.cols is 65, it must be a multiple of 4"],
    [{ a: { kind: "workgroup", tile: { ...tile, depth: 0 } } }, "tile.depth is 0"],
    [{ a: { kind: "subgroup", tile: { ...subgroup, depth: 20 } } }, "tile.depth is 20, it must be a multiple of 16"],
    [
      { a: { kind: "subgroup", tile: { ...subgroup, unit: { ...unit, componentType: "f32;" } } } },
      'tile.unit.componentType is "f32;", it must be f32 or f16',
    ],
  ])("refuses %j", (value, message) => {
    expect(() => parseMatmulTuning(value)).toThrow(TypeError);
    expect(() => parseMatmulTuning(value)).toThrow(message);
  });
});

describe("what else plans refuse", () => {
  const limits = DEFAULT_LIMITS;

  test("a tensor that u32 cannot index", () => {
    expect(() => matmulNaive.plan({ ...linear, m: 2 ** 20, k: 2 ** 13 }, limits)).toThrow(
      /matmul_naive: x has 8589934592/,
    );
  });

  test("an output row longer than its stride", () => {
    expect(() => matmul.plan({ ...linear, outStride: 7 }, limits)).toThrow(/outStride is 7, shorter than a row of 8/);
    expect(() => matmul.plan({ ...linear, outOffset: -1 }, limits)).toThrow(/outOffset is -1/);
  });

  test("vec4 loads of what does not lie on vec4s, with the kernel that can", () => {
    expect(() => matmul.plan({ ...linear, k: 6 }, limits)).toThrow(/k is 6.*matmul_unaligned/);
    expect(() => attention.plan({ ...heads, headDim: 6 }, limits)).toThrow(/headDim is 6.*attention_unaligned/);
    expect(() => attention.plan({ ...heads, kOffset: 2 }, limits)).toThrow(/kOffset is 2/);
    expect(matmulKernelFor({ ...linear, k: 6 })).toBe(matmulUnaligned);
    expect(matmulKernelFor(linear)).toBe(matmul);
    expect(attentionKernelFor({ ...heads, vStride: 18 })).toBe(attentionUnaligned);
    expect(attentionKernelFor(heads)).toBe(attention);
  });

  test("operands and options of other matmuls", () => {
    const [nn, tn] = [
      { ...linear, operands: "nn" as const },
      { ...linear, operands: "tn" as const },
    ];
    const kernel = matmulBackwardKernelFor(nn);
    expect(() => matmul.plan(tn, limits)).toThrow(/matmul: use matmulBackwardKernelFor/);
    expect(() => matmul.plan({ ...linear, accumulate: true }, limits)).toThrow(/matmulBackwardKernelFor/);
    expect(() => matmulBackwardKernelFor(linear)).toThrow(/operands are nt, not nn or tn; use matmulKernelFor/);
    expect(() => kernel.plan(tn, limits)).toThrow(/matmul_nn: operands are tn, not nn/);
    expect(() => kernel.plan(linear, limits)).toThrow(/matmul_nn: operands are nt, not nn/);
    expect(() => matmulNaiveBackward.plan(linear, limits)).toThrow(/operands are nt, not nn or tn/);
    expect(() => kernel.plan({ ...nn, bias: true }, limits)).toThrow(/matmul_nn: .*no bias/);
    expect(() => kernel.plan({ ...nn, activation: "gelu" }, limits)).toThrow(/no activation/);
    expect(() => kernel.plan({ ...nn, accumulate: true, residual: true }, limits)).toThrow(/not both/);
    expect(() => kernel.plan({ ...nn, n: 6 }, limits)).toThrow(/n is 6, not a multiple of 4; matmul_nn_unaligned/);
    expect(() => kernel.plan({ ...nn, outStride: 7 }, limits)).toThrow(/matmul_nn: outStride is 7/);
    expect(() => matmulBackwardKernelFor(tn).plan({ ...tn, m: 6 }, limits)).toThrow(/m is 6, not a multiple of 4/);
    expect(matmulBackwardKernelFor(tn).plan({ ...tn, k: 7 }, limits).label).toBe("8x8x7");
  });

  test("an eps or a scale that is not a number", () => {
    const rows = { rows: 8, cols: 8, dtype, residual: false };
    expect(() => layernorm.plan({ ...rows, eps: -1 }, limits)).toThrow(/layernorm: eps is -1/);
    expect(() => layernorm.plan({ ...rows, eps: Number.NaN }, limits)).toThrow(/eps is NaN/);
    expect(() => attention.plan({ ...heads, scale: Number.POSITIVE_INFINITY }, limits)).toThrow(/scale is Infinity/);
  });

  test("more than a row has", () => {
    expect(() => topK.plan({ rows: 1, cols: 4, k: 5, dtype }, limits)).toThrow(/k is 5, a row has only 4/);
  });
});

describe("foldWorkgroups", () => {
  test.each([1, 65535, 65536, 131071, 1_000_003, 65535 ** 2])("covers %d", (count) => {
    const [x, y, z] = foldWorkgroups(count, DEFAULT_LIMITS);
    expect(x * y).toBeGreaterThanOrEqual(count);
    expect(x * y - count).toBeLessThan(y);
    expect(Math.max(x, y)).toBeLessThanOrEqual(65535);
    expect(z).toBe(1);
  });

  test("refuses what no grid covers", () => {
    expect(() => foldWorkgroups(65535 ** 2 + 1, DEFAULT_LIMITS)).toThrow(RangeError);
  });

  test("lets every kernel take more rows than one dimension dispatches", () => {
    const rows = 1_000_000;
    const plans = [
      softmax.plan({ rows, cols: 2, dtype }, DEFAULT_LIMITS),
      matmul.plan({ ...linear, m: 70_000_000 }, DEFAULT_LIMITS),
      attention.plan({ ...heads, tokens: rows, heads: 12 }, DEFAULT_LIMITS),
    ];
    for (const { workgroups } of plans) {
      expect(workgroups[1]).toBeGreaterThan(1);
      expect(Math.max(...workgroups)).toBeLessThanOrEqual(65535);
    }
  });
});

describe("specialize", () => {
  const source = "alias Scalar = f32;\nconst SIZE: u32 = 64; // threads\nconst FLAG = false;\nvar<private> x: Scalar;";

  test("re-values constants and aliases", () => {
    const result = specialize(source, { Scalar: "f32", SIZE: 32, FLAG: true });
    expect(result).toBe(source.replace("= 64", "= 32").replace("false", "true"));
  });

  test("enables f16 where a type is f16", () => {
    expect(specialize(source, { Scalar: "f16" })).toBe(`enable f16;\n${source.replace("f32", "f16")}`);
    expect(specialize(source, { Scalar: "vec4<f16>" })).toMatch(/^enable f16;/);
    const sized = specialize("@compute @workgroup_size(64)\nfn main() {}", { "@subgroup_size": 32 });
    expect(sized).toBe("enable subgroup_size_control;\n@compute @subgroup_size(32) @workgroup_size(64)\nfn main() {}");
  });

  test("refuses a name that the source does not declare", () => {
    expect(() => specialize(source, { SIZES: 1 })).toThrow(/declares no const SIZES/);
    expect(() => specialize(source, { SIZE: "f16" })).toThrow(/declares no alias SIZE/);
    expect(() => specialize(source, { x: 1 })).toThrow(/declares no const x/);
  });
});

describe("sources agree with their plans", () => {
  agrees("matmul", tables.matmulCases);
  agrees("softmax", tables.softmaxCases);
  agrees("layernorm", tables.layernormCases);
  agrees("activation", tables.activationCases);
  agrees("embed_layernorm", tables.embedLayernormCases);
  agrees("attention", tables.attentionCases);
  agrees("attention_probs", tables.attentionProbsCases);
  agrees("gather_rows", tables.gatherRowsCases);
  agrees("pool", tables.poolCases);
  agrees("l2_normalize", tables.l2NormalizeCases);
  agrees("top_k", tables.topKCases);
  agrees("non_finite", tables.nonFiniteCases);

  function agrees<Shape extends { readonly dtype: Scalar }>(name: string, table: tables.CaseTable<Shape>): void {
    test.each(["f32", "f16"] as const)(`${name} %s`, (type) => {
      for (const of of [...table.cases, ...table.typical]) {
        const shape = { ...of.shape, dtype: type } as Shape;
        for (const { source, plan } of table.kernels(shape)) {
          const { constants, params } = plan(shape, DEFAULT_LIMITS);
          expect(() => specialize(source, constants)).not.toThrow();
          expect(packParams(paramsOf(source), params).byteLength % 16).toBe(0);
          expect(Object.keys(params).sort()).toEqual(
            paramsOf(source)
              .map((field) => field.name)
              .sort(),
          );
          const bound = bindingsOf(source).map((binding) => binding.name);
          expect(bound).toEqual(expect.arrayContaining(Object.keys(of.outputs)));
          expect(bound.at(-1)).toBe("params");
        }
      }
    });
  }
});
