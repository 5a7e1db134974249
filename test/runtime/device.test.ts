import { describe, expect, test } from "vitest";
import {
  adapterSummary,
  deviceDescriptor,
  infoOf,
  matrixUnitsOf,
  subgroupSizeOf,
  traitsOf,
} from "../../src/runtime/device.ts";

const adapter = {
  features: new Set(["shader-f16", "timestamp-query", "bgra8unorm-storage"]),
  limits: {
    maxBufferSize: 1 << 30,
    maxComputeInvocationsPerWorkgroup: 1024,
    maxComputeWorkgroupSizeX: 1024,
    maxComputeWorkgroupStorageSize: 32768,
    maxStorageBufferBindingSize: 1 << 29,
    maxStorageBuffersPerShaderStage: 16,
    minStorageBufferOffsetAlignment: 32,
  },
} as unknown as GPUAdapter;

describe("deviceDescriptor", () => {
  test("asks for what the adapter has of what the engine can use", () => {
    const { requiredFeatures, requiredLimits } = deviceDescriptor(adapter);
    expect(requiredFeatures).toEqual(["shader-f16", "timestamp-query"]);
    expect(requiredLimits).toMatchObject({ maxStorageBufferBindingSize: 1 << 29, maxStorageBuffersPerShaderStage: 16 });
    expect(requiredLimits).not.toHaveProperty("minStorageBufferOffsetAlignment");
  });

  test("takes further features and other limits", () => {
    const limits = { maxBufferSize: 1 << 20, minStorageBufferOffsetAlignment: 64 };
    const asked = deviceDescriptor(adapter, { features: ["bgra8unorm-storage", "shader-f16"], limits });
    expect(asked.requiredFeatures).toEqual(["shader-f16", "timestamp-query", "bgra8unorm-storage"]);
    expect(asked.requiredLimits).toMatchObject(limits);
  });

  test("refuses what the adapter has not", () => {
    expect(() => deviceDescriptor(adapter, { features: ["subgroups"] })).toThrow(
      "feature subgroups asked, the adapter has bgra8unorm-storage, shader-f16, timestamp-query",
    );
    expect(() => deviceDescriptor(adapter, { limits: { maxBufferSize: 2 ** 31 } })).toThrow(
      "maxBufferSize 2147483648 asked, the adapter offers 1073741824",
    );
    expect(() => deviceDescriptor(adapter, { limits: { minStorageBufferOffsetAlignment: 16 } })).toThrow(RangeError);
    expect(() => deviceDescriptor(adapter, { limits: { maxBuffers: 1 } })).toThrow("the adapter has no such limit");
  });
});

describe("adapterSummary", () => {
  const info = (fields: Partial<GPUAdapterInfo>): GPUAdapterInfo =>
    ({
      vendor: "",
      architecture: "",
      device: "",
      description: "",
      isFallbackAdapter: false,
      ...fields,
    }) as GPUAdapterInfo;

  test.each([
    [{ device: "swiftshader-device-subzero-", vendor: "google" }, "swiftshader-device-subzero", true],
    [{ vendor: "nvidia", architecture: "hopper" }, "nvidia hopper", false],
    [{ vendor: "apple", description: "Apple M1 Max" }, "Apple M1 Max", false],
    [{ vendor: "amd", device: "0x1", isFallbackAdapter: true }, "0x1", true],
    [{}, "unnamed adapter", false],
  ])("%j is %j, in software: %j", (fields, name, software) => {
    expect(adapterSummary(info(fields))).toMatchObject({ name, software });
  });

  test("has the subgroups and matrix units that the adapter tells of, of floats", () => {
    expect(adapterSummary(info({}))).not.toHaveProperty("matrixUnits");
    expect(adapterSummary(info({}))).not.toHaveProperty("subgroupMaxSize");
    const subgroupMatrixConfigs = [
      { componentType: "f16", resultComponentType: "f32", M: 16, N: 8, K: 4 },
      { componentType: "u8", resultComponentType: "u32", M: 16, N: 16, K: 32 },
    ];
    const told = info({ subgroupMaxSize: 32, subgroupMatrixConfigs } as Partial<GPUAdapterInfo>);
    const matrixUnits = [{ componentType: "f16", resultType: "f32", M: 16, N: 8, K: 4 }];
    expect(matrixUnitsOf(told)).toEqual(matrixUnits);
    expect(adapterSummary(told)).toMatchObject({ matrixUnits, subgroupMaxSize: 32 });
  });

  test("numbers subgroups where WGSL can, which kernels may use on a device with subgroups", () => {
    const numbered = adapterSummary(info({}), new Set(["subgroup_id"]));
    expect(numbered).toMatchObject({ subgroupIds: true });
    expect(adapterSummary(info({}), new Set(["subgroup_uniformity"]))).not.toHaveProperty("subgroupIds");
    const device = (...features: string[]) => ({ features: new Set(features), limits: {} }) as unknown as GPUDevice;
    expect(traitsOf(device("subgroups"), numbered)).toMatchObject({ subgroupIds: true });
    expect(traitsOf(device(), numbered)).not.toHaveProperty("subgroupIds");
    expect(traitsOf(device("subgroups"), adapterSummary(info({})))).not.toHaveProperty("subgroupIds");
  });

  test("does without what older browsers do not tell", () => {
    const silent = { features: new Set(["subgroups"]) } as unknown as GPUDevice;
    expect(adapterSummary(infoOf(silent))).toMatchObject({ name: "unnamed adapter", vendor: "", software: false });
    expect(subgroupSizeOf(silent)).toBeUndefined();
  });
});
