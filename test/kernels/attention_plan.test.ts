/** Plans of attention: its grid, and where matrix units compute it. */
import { describe, expect, test } from "vitest";
import { type AttentionShape, attention, attentionKernelFor } from "../../src/kernels/attention/attention.ts";
import { attentionSubgroup, attentionSubgroupFor } from "../../src/kernels/attention/attention_subgroup.ts";
import { DEFAULT_LIMITS, type DeviceTraits, type MatrixUnit } from "../../src/kernels/kernel.ts";
import * as tables from "../cases.ts";

const limits = DEFAULT_LIMITS;
const heads = { tokens: 8, sequences: 2, heads: 2, headDim: 8, dtype: "f32" as const, mask: false };

describe("on matrix units", () => {
  test("is refused on units that do not multiply its shape", () => {
    const unit: MatrixUnit = { componentType: "f16", resultType: "f32", M: 16, N: 16, K: 16 };
    const plan = (own: MatrixUnit, subgroup = 32, shape: AttentionShape = heads) =>
      attentionSubgroup(own, subgroup).plan(shape, limits);
    const f16 = { ...heads, dtype: "f16" as const };
    expect(() => plan(unit)).toThrow(/the unit multiplies f16, the shape is f32/);
    expect(() => plan({ ...unit, resultType: "f16" }, 32, f16)).toThrow(/the unit sums f16, not f32/);
    expect(() => plan({ ...unit, N: 12 }, 32, f16)).toThrow(
      /16 x 12 x 16: sides must be multiples of 4 that divide 32/,
    );
    expect(() => plan(unit, 6, f16)).toThrow(/subgroups have 6 threads, not a multiple of 4/);
    expect(() => plan(unit, 32, { ...f16, headDim: 1024 })).toThrow(
      /heads of 1024 and 1024 need more threads or workgr/,
    );
    expect(() => plan(unit, 32, { ...f16, headDim: 6 })).toThrow(
      /attention_subgroup: headDim is 6, not a multiple of 4/,
    );
  });

  test("is chosen where a device has them for its shape, and is told of the kernel", () => {
    const f16 = { ...heads, dtype: "f16" as const };
    const units: MatrixUnit[] = [8, 16].map((side) => ({
      ...{ componentType: "f16", resultType: "f32", M: side, N: side, K: side },
    }));
    const traits: DeviceTraits = { limits, software: false, matrixUnits: units, subgroupSize: 32, subgroupMaxSize: 32 };
    const roomy = { ...limits, maxComputeWorkgroupStorageSize: 32768 };
    const own = attentionSubgroupFor(f16, { ...traits, limits: roomy })!;
    expect(own.plan(f16, roomy).constants).toMatchObject({ MATRIX_ROWS: 16, SUBGROUP: 32, SUBGROUPS: 4, HEAD_DIM: 8 });
    expect(attentionKernelFor(f16, { ...traits, attention: attentionSubgroupFor }).name).toBe("attention_subgroup");
    expect(attentionKernelFor(f16, traits)).toBe(attention);
    const others: Partial<DeviceTraits>[] = [
      { software: true },
      { matrixUnits: [] },
      { subgroupSize: undefined as never },
    ];
    for (const other of [...others, { subgroupMaxSize: 64 }]) {
      expect(attentionSubgroupFor(f16, { ...traits, ...other })).toBeUndefined();
    }
    const f32 = { ...units[0]!, componentType: "f32" as const };
    expect(attentionSubgroupFor(heads, { ...traits, matrixUnits: [f32] })).toBeUndefined();
    expect(attentionSubgroupFor({ ...f16, headDim: 6 }, traits)).toBeUndefined();
    // less memory, fewer subgroups that share it
    const wide = { ...f16, headDim: 64 };
    expect(attentionSubgroupFor(wide, traits)!.plan(wide, limits).constants).toMatchObject({ SUBGROUPS: 1 });
  });
});

describe("the grid of attention", () => {
  test("does not depend on how the tokens are divided, and has a tile for all of them", () => {
    const plan = attention.plan({ ...heads, tokens: 100, sequences: 7 }, limits);
    const tiles = plan.params.tiles!;
    for (const lengths of [
      [100, 0, 0, 0, 0, 0, 0],
      [0, 0, 0, 0, 0, 0, 100],
      [15, 1, 16, 17, 33, 0, 18],
    ]) {
      const starts = tables.cumulative(lengths);
      const firstTile = starts.map((start, sequence) => Math.floor(start / 16) + sequence);
      lengths.forEach((length, i) => {
        expect(firstTile[i + 1]! - firstTile[i]!).toBeGreaterThanOrEqual(Math.ceil(length / 16));
      });
      expect(firstTile.at(-1)).toBe(tiles);
    }
  });
});
