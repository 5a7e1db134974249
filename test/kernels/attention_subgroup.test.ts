/** Attention on matrix units: compiled for them on Dawn's null backend, and computed where the device has them. */
import { beforeAll, describe, expect, test } from "vitest";
import { isAligned } from "../../src/kernels/attention/attention.ts";
import { attentionSubgroup, attentionSubgroupFor } from "../../src/kernels/attention/attention_subgroup.ts";
import { type MatrixUnit, type Scalar, specialize } from "../../src/kernels/kernel.ts";
import { type NodeDevice, requestDevice } from "../../src/node/device.ts";
import { traitsOf } from "../../src/runtime/device.ts";
import { attentionCases } from "../cases.ts";
import { testDevice } from "../device.ts";
import { check, compile } from "./harness.ts";

const { device, adapter } = await testDevice();
const traits = { ...traitsOf(device, adapter), software: false };
const unit = (componentType: Scalar, M: number, N: number, K: number): MatrixUnit => ({
  ...{ componentType, resultType: "f32", M, N, K },
});
const aligned = attentionCases.cases.filter(({ shape }) => isAligned({ ...shape, dtype: "f32" }));

describe("on a device with the feature", () => {
  let nulls: NodeDevice;
  beforeAll(async () => {
    nulls = await requestDevice({
      adapter: "null",
      toggles: ["allow_unsafe_apis"],
      features: ["chromium-experimental-subgroup-matrix", "subgroups"],
    });
    return () => nulls.close();
  });

  // Subgroups have up to 128 threads there, and 16 KB of workgroup memory: no room for the wider heads in f32.
  test.each([
    unit("f32", 8, 8, 8),
    unit("f32", 16, 8, 4),
    unit("f16", 8, 8, 8),
    unit("f16", 16, 16, 16),
    unit("f16", 16, 8, 16),
  ])("$componentType $M x $N x $K compiles", async (unit) => {
    const dtype = unit.componentType;
    const kernel = attentionSubgroup(unit, 128);
    const most = dtype === "f16" ? 64 : 32;
    const narrow = aligned.filter(({ shape: { headDim, valueDim = headDim } }) => Math.max(headDim, valueDim) <= most);
    for (const { shape } of narrow) {
      const { constants } = kernel.plan({ ...shape, dtype }, nulls.device.limits);
      await compile(nulls.device, kernel.name, specialize(kernel.source, constants));
    }
  });
});

const own = attentionSubgroupFor({ ...attentionCases.typical[0]!.shape, dtype: "f16" }, traits);
describe.skipIf(own === undefined)(`on the adapter's own units${own ? "" : " (skipped: it has none for f16)"}`, () => {
  test.each(aligned.map((of) => [JSON.stringify(of.shape), of] as const))(
    "%s",
    async (_, of) => {
      const kernel = attentionSubgroupFor({ ...of.shape, dtype: "f16" }, traits);
      expect(kernel?.name).toBe("attention_subgroup");
      await check(device, kernel!, attentionCases, of, "f16");
    },
    600_000, // a software adapter unrolls the units of wide heads
  );
});
