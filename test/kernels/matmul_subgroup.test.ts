/** Matmul on matrix units: compiled for them on Dawn's null backend, and computed with the units emulated. */
import { beforeAll, describe, expect, test } from "vitest";
import {
  DEFAULT_LIMITS,
  type DeviceTraits,
  type MatrixUnit,
  type Scalar,
  specialize,
} from "../../src/kernels/kernel.ts";
import { type MatmulShape, matmulSubgroup } from "../../src/kernels/matmul/matmul.ts";
import { matmulBackwardKernelOf } from "../../src/kernels/matmul/matmul_backward.ts";
import { subgroupTileFor } from "../../src/kernels/matmul/matmul_choice.ts";
import type { SubgroupTile } from "../../src/kernels/matmul/matmul_config.ts";
import { type NodeDevice, requestDevice } from "../../src/node/device.ts";
import { traitsOf } from "../../src/runtime/device.ts";
import { linear, matmulBackwardCases, matmulCases, product } from "../cases.ts";
import { hasF16, testDevice } from "../device.ts";
import { emulateSubgroupMatrices } from "./emulate_subgroup.ts";
import { check, compile, runKernel } from "./harness.ts";

const { device, adapter } = await testDevice();
const without = hasF16(device) ? "" : " (skipped: the adapter has no shader-f16)";

const full = { bias: true, residual: true, activation: "gelu" } as const;
const plain = { bias: false, residual: false, activation: "none" } as const;
const unit = (componentType: Scalar, M: number, N: number, K: number): MatrixUnit => ({
  ...{ componentType, resultType: "f32", M, N, K },
});
/** Down and across: subgroups of a workgroup, then matrices of a subgroup. */
const tile = (
  of: MatrixUnit,
  subgroup: number,
  subgroups: number[],
  matrices: number[],
  depth: number,
): SubgroupTile => {
  const [[subgroupsDown, subgroupsAcross], [matricesDown, matricesAcross]] = [subgroups, matrices] as [
    [number, number],
    [number, number],
  ];
  return { unit: of, subgroup, subgroupsDown, subgroupsAcross, matricesDown, matricesAcross, depth };
};

describe("on a device with the feature", () => {
  let nulls: NodeDevice;
  beforeAll(async () => {
    nulls = await requestDevice({
      adapter: "null",
      toggles: ["allow_unsafe_apis"],
      features: ["chromium-experimental-subgroup-matrix", "subgroup-size-control"],
    });
    return () => nulls.close();
  });

  // Subgroups have up to 128 threads there.
  const tiles: SubgroupTile[] = [
    tile(unit("f32", 8, 8, 8), 128, [1, 1], [2, 2], 8),
    tile(unit("f32", 8, 8, 8), 128, [2, 1], [2, 4], 16),
    tile(unit("f32", 16, 8, 4), 32, [2, 2], [1, 2], 20),
    tile(unit("f16", 8, 8, 8), 128, [1, 2], [4, 4], 16),
    tile(unit("f16", 16, 16, 16), 64, [2, 2], [1, 1], 32),
    tile(unit("f16", 16, 8, 16), 64, [2, 1], [2, 4], 32),
  ];
  test.each(tiles)("$unit.componentType $unit.M x $unit.N x $unit.K compiles", async (tile) => {
    const { device } = nulls;
    const kernel = matmulSubgroup(tile);
    const shape: MatmulShape = { m: 100, n: 70, k: 60, dtype: tile.unit.componentType, ...full };
    const { constants } = kernel.plan(shape, device.limits);
    await compile(device, kernel.name, specialize(kernel.source, constants));
  });

  test("asks for subgroups of its size where they vary, and only for what the device has", async () => {
    const { device } = nulls;
    const shape: MatmulShape = { m: 100, n: 72, k: 60, dtype: "f16", ...full };
    const pipelineOf = (subgroup: number, operands: "nt" | "nn" | "tn") => {
      const sized: SubgroupTile = { ...tile(unit("f16", 16, 16, 16), subgroup, [1, 1], [2, 2], 32), sized: true };
      const backward = operands !== "nt" && matmulBackwardKernelOf({ kind: "subgroup", tile: sized }, operands, true);
      const kernel = backward || matmulSubgroup(sized);
      const { constants } = kernel.plan(backward ? { ...shape, ...plain, operands } : shape, device.limits);
      return compile(device, kernel.name, specialize(kernel.source, constants));
    };
    for (const operands of ["nt", "nn", "tn"] as const) {
      await pipelineOf(128, operands);
      await expect(pipelineOf(96, operands)).rejects.toThrow(/subgroup_size/);
    }
  });

  test.each(tiles)("$unit.componentType $unit.M x $unit.N x $unit.K compiles for gradients", async (tile) => {
    const { device } = nulls;
    for (const operands of ["nn", "tn"] as const) {
      const shape = { m: 100, n: 72, k: 60, dtype: tile.unit.componentType, ...plain, operands };
      const kernel = matmulBackwardKernelOf({ kind: "subgroup", tile }, operands, true);
      expect(kernel.name).toBe(`matmul_${operands}_subgroup`);
      const { constants } = kernel.plan({ ...shape, accumulate: operands === "tn" }, device.limits);
      await compile(device, kernel.name, specialize(kernel.source, constants));
    }
  });
});

// More than one of everything, few threads, and small units: a software adapter unrolls them, for minutes if it must.
const emulated: Readonly<Record<Scalar, SubgroupTile[]>> = {
  f32: [tile(unit("f32", 4, 8, 4), 4, [2, 2], [1, 2], 16), tile(unit("f32", 8, 4, 4), 3, [1, 2], [3, 1], 12)],
  f16: [tile(unit("f16", 8, 4, 4), 4, [2, 2], [2, 1], 16), tile(unit("f16", 4, 4, 8), 8, [2, 1], [1, 2], 32)],
};
const cases = [
  linear(1, 5, 4),
  linear(16, 32, 32, full),
  linear(65, 31, 36, full),
  linear(33, 70, 100, full),
  linear(5, 6, 8, { ...full, outStride: 16, outOffset: 7 }),
  linear(31, 65, 768),
];

describe.each([
  { dtype: "f32", reason: "" },
  { dtype: "f16", reason: without },
] as const)("with the units emulated in $dtype$reason", ({ dtype, reason }) => {
  describe.each(emulated[dtype])("$unit.M x $unit.N x $unit.K, depth $depth", (tile) => {
    test.skipIf(reason !== "").each(cases)("$shape.m x $shape.n x $shape.k", async (of) => {
      await check(device, emulateSubgroupMatrices(matmulSubgroup(tile)), matmulCases, of, dtype);
    });
  });

  describe.each(emulated[dtype])("for gradients, $unit.M x $unit.N x $unit.K, depth $depth", (tile) => {
    test
      .skipIf(reason !== "")
      .each([
        product("nn", 33, 72, 100, { residual: true }),
        product("nn", 1, 4, 4, { residual: true }),
        product("tn", 68, 32, 35, { accumulate: true }),
        product("tn", 4, 8, 1, { accumulate: true, outStride: 16, outOffset: 7 }),
        product("tn", 32, 64, 769, { accumulate: true }),
      ])("$shape.operands $shape.m x $shape.n x $shape.k", async (of) => {
      const kernel = matmulBackwardKernelOf({ kind: "subgroup", tile }, of.shape.operands, true);
      expect(kernel.name).toBe(`matmul_${of.shape.operands}_subgroup`);
      await check(device, emulateSubgroupMatrices(kernel), matmulBackwardCases, of, dtype);
    });
  });

  test.skipIf(reason !== "")(
    "what lies past k is zero for both operands: an infinity of the next row stays there",
    async () => {
      const kernel = emulateSubgroupMatrices(matmulSubgroup(emulated[dtype][0]!));
      const ones = [1, 1, 1, 1];
      const last = ones.map(() => Number.POSITIVE_INFINITY);
      const shape = { m: 2, n: 2, k: 4, dtype, ...plain };
      const run = (x: number[], weight: number[]) => runKernel(device, kernel, shape, { x, weight }, { out: 4 });
      const [left, right] = [
        await run([...ones, ...last], [...ones, ...ones]),
        await run([...ones, ...ones], [...ones, ...last]),
      ];
      expect([...left.out!]).toEqual([4, 4, last[0], last[0]]);
      expect([...right.out!]).toEqual([4, last[0], 4, last[0]]);
    },
  );

  test.skipIf(reason !== "")("a folded dispatch covers every tile once", async () => {
    const limits = { ...DEFAULT_LIMITS, maxComputeWorkgroupsPerDimension: 5 };
    const kernel = emulateSubgroupMatrices(matmulSubgroup(emulated[dtype][0]!));
    const inputs = { x: new Float64Array(132).fill(1), weight: new Float64Array(280).fill(2) };
    const { out } = await runKernel(
      device,
      kernel,
      { m: 33, n: 70, k: 4, dtype, ...plain },
      inputs,
      { out: 2310 },
      limits,
    );
    expect(out!.every((value) => value === 8)).toBe(true);
  });
});

/** On the units of this very device: of its choice for many rows and for few, and tiles that are neither. */
const units = (dtype: Scalar): SubgroupTile[] => {
  const traits = traitsOf(device, adapter);
  const chosen = [4096, 512, 16].map((m) => subgroupTileFor({ m, n: 768, k: 768, dtype, ...plain }, traits));
  const [of] = chosen;
  if (of === undefined) return [];
  const odd = tile(of.unit, of.subgroup, [1, 2], [3, 1], 3 * of.unit.K);
  const deep = tile(of.unit, of.subgroup, [2, 1], [1, 3], 64);
  return [...new Map([...chosen, odd, deep].map((of) => [JSON.stringify(of), of!])).values()];
};

describe.each(["f32", "f16"] as const)("on the adapter's own units in %s", (dtype) => {
  const tiles = units(dtype);
  test.skipIf(tiles.length > 0)("there are none (skipped)", ({ skip }) => skip());

  describe.each(tiles)("$subgroupsDown x $subgroupsAcross of $matricesDown x $matricesAcross, depth $depth", (tile) => {
    const rows = matmulCases.cases.filter(({ shape }) => shape.k % 4 === 0);
    test.each(rows.map((of) => [JSON.stringify(of.shape), of] as const))("nt %s", async (_, of) => {
      await check(device, matmulSubgroup(tile), matmulCases, of, dtype);
    });

    const gradients = matmulBackwardCases.cases.filter(({ shape }) => {
      const { operands, m, n, k, xStride = 0, xOffset = 0 } = shape;
      return [operands === "nn" ? k : m, n, xStride, xOffset].every((size) => size % 4 === 0);
    });
    test.each(gradients.map((of) => [JSON.stringify(of.shape), of] as const))("%s", async (_, of) => {
      const kernel = matmulBackwardKernelOf({ kind: "subgroup", tile }, of.shape.operands, true);
      await check(device, kernel, matmulBackwardCases, of, dtype);
    });
  });
});

describe("the plan", () => {
  const f16 = unit("f16", 16, 16, 16);
  const shape: MatmulShape = { m: 130, n: 100, k: 64, dtype: "f16", ...plain };
  const good = tile(f16, 32, [2, 2], [2, 2], 32);
  const limits = { ...DEFAULT_LIMITS, maxComputeWorkgroupStorageSize: 32768 };

  test("has a workgroup for each tile and the unit's sizes", () => {
    const plan = matmulSubgroup(good).plan(shape, limits);
    expect(plan.workgroups).toEqual([3 * 2, 1, 1]);
    expect(plan.constants).toMatchObject({ Scalar: "f16", MATRIX_ROWS: 16, SUBGROUP: 32, DEPTH: 32, PAD: 8 });
  });

  test.each([
    [good, { k: 62 }, "k is 62, not a multiple of 4"],
    [good, { dtype: "f32" as const }, "the unit multiplies f16, the shape is f32"],
    [{ ...good, unit: { ...f16, resultType: "f16" as const } }, {}, "the unit sums f16, not f32"],
    [{ ...good, depth: 24 }, {}, "the unit is 16x16x16, not of multiples of 4 that divide a depth of 24"],
    [{ ...good, unit: { ...f16, N: 6 } }, {}, "the unit is 16x6x16, not of multiples of 4 that divide"],
    [{ ...good, subgroup: 128 }, {}, "512 threads in a workgroup, the device has 256"],
    // 2 x 128 rows of 72 f16, and 4 matrices of 16 x 16 sums
    [
      { ...good, matricesDown: 4, matricesAcross: 4, depth: 64 },
      {},
      "40960 bytes of workgroup memory, the device has 32768",
    ],
  ])("refuses what cannot be: %#", (tile, changes, message) => {
    const plan = () => matmulSubgroup(tile).plan({ ...shape, ...changes }, limits);
    expect(plan).toThrow(RangeError);
    expect(plan).toThrow(message);
  });
});

describe("subgroupTileFor", () => {
  const limits = { ...DEFAULT_LIMITS, maxComputeWorkgroupStorageSize: 49152 };
  const nvidia: DeviceTraits = {
    limits,
    software: false,
    vendor: "nvidia",
    subgroupMaxSize: 32,
    matrixUnits: [unit("f16", 16, 8, 16), { ...unit("f16", 16, 16, 32), resultType: "f16" }, unit("f16", 16, 16, 16)],
  };
  const apple: DeviceTraits = {
    limits: { ...limits, maxComputeWorkgroupStorageSize: 32768 },
    software: false,
    vendor: "apple",
    subgroupMaxSize: 32,
    matrixUnits: [unit("f32", 8, 8, 8), { ...unit("f16", 8, 8, 8), resultType: "f16" }],
  };
  const shape = (m: number, n: number, dtype: Scalar): MatmulShape => ({ m, n, k: 768, dtype, ...plain });
  const sides = (shape: MatmulShape, traits: DeviceTraits): number[] | undefined => {
    const tile = subgroupTileFor(shape, traits);
    if (tile === undefined) return undefined;
    const { unit, subgroupsDown, subgroupsAcross, matricesDown, matricesAcross } = tile;
    return [subgroupsDown * matricesDown * unit.M, subgroupsAcross * matricesAcross * unit.N];
  };

  test("takes the largest unit with f32 sums", () => {
    expect(subgroupTileFor(shape(4096, 768, "f16"), nvidia)?.unit).toEqual(unit("f16", 16, 16, 16));
    expect(subgroupTileFor(shape(4096, 768, "f16"), apple)).toBeUndefined();
    expect(subgroupTileFor(shape(4096, 768, "f32"), nvidia)).toBeUndefined();
  });

  test("takes large tiles where they still make enough workgroups, and what a device has room for", () => {
    expect(sides(shape(4096, 768, "f16"), nvidia)).toEqual([128, 128]);
    expect(sides(shape(512, 768, "f16"), nvidia)).toEqual([64, 64]);
    expect(sides(shape(128, 768, "f16"), nvidia)).toEqual([32, 32]);
    expect(sides(shape(4096, 768, "f32"), apple)).toEqual([64, 64]);
    expect(sides(shape(4096, 768, "f16"), { ...nvidia, limits: DEFAULT_LIMITS })).toEqual([64, 64]);
    expect(subgroupTileFor(shape(4096, 768, "f16"), { ...nvidia, subgroupMaxSize: 64 })).toMatchObject({
      subgroupsDown: 2,
      subgroupsAcross: 2,
    });
    expect(subgroupTileFor(shape(4096, 768, "f16"), { ...nvidia, subgroupMaxSize: 128 })).toMatchObject({
      subgroupsDown: 2,
      subgroupsAcross: 1,
    });
  });

  test("gives none without units, their subgroups, or whole vec4s", () => {
    const { matrixUnits: _, ...none } = nvidia;
    expect(subgroupTileFor(shape(4096, 768, "f16"), none)).toBeUndefined();
    const { subgroupMaxSize: __, ...sizeless } = nvidia;
    expect(subgroupTileFor(shape(4096, 768, "f16"), sizeless)).toBeUndefined();
    expect(subgroupTileFor({ ...shape(4096, 768, "f16"), k: 30 }, nvidia)).toBeUndefined();
  });
});
