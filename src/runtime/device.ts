/** What to ask of an adapter, how to name it, and the device of a browser; that of Node is made by src/node. */

import { requireKnown } from "../files/options.ts";
import type { DeviceTraits, MatrixUnit, Scalar } from "../kernels/kernel.ts";
import { NoWebGpuError } from "./errors.ts";

/** What an engine runs on, for people and for reports. */
export interface AdapterSummary {
  /** The GPU's own name where it is told; browsers often withhold it. */
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  /** The driver and its version, in the driver's words. */
  readonly description: string;
  /** Computed by the CPU: correct, and slow. */
  readonly software: boolean;
  /** What its matrix units multiply; absent where there are none, or none are shown (`matrixUnitsOf`). */
  readonly matrixUnits?: readonly MatrixUnit[];
  /** Threads of its largest subgroup; absent where that is withheld. */
  readonly subgroupMaxSize?: number;
  /** Whether its shaders can number subgroups: WGSL's language feature `subgroup_id`. Absent where they cannot. */
  readonly subgroupIds?: boolean;
}

/** Told of a wait for the GPU when it begins; what it returns is called when the wait is over. */
export type IdleHook = () => () => void;

/** A device, and what an engine should know of it. */
export interface OpenedDevice {
  readonly device: GPUDevice;
  /** Described in reports; read from the device when it is not given. */
  readonly adapter?: AdapterSummary | undefined;
  /** Called when the engine begins to wait for the GPU; what it returns is called when the wait is over. */
  readonly idle?: IdleHook | undefined;
  /**
   * Goes before the built-in choice of attention: `attentionSubgroupFor` of `bert-webgpu/kernels`, which takes matrix units
   * where the device has them, as engines in Node do by themselves. In pages these units are an experiment, and its
   * kernel is not in every bundle.
   */
  readonly attention?: DeviceTraits["attention"];
  /** Called when the engine has no more use for the device. */
  readonly close?: (() => void) | undefined;
}

/** What a device must have beyond the engine's own wishes. */
export interface DeviceNeeds {
  /** Required: unlike the engine's own, these are asked for even of an adapter that lacks them. */
  readonly features?: readonly string[] | undefined;
  /** In place of the adapter's best, e.g. a smaller `maxBufferSize`. */
  readonly limits?: Readonly<Record<string, number>> | undefined;
}

const MATRIX_FEATURE = "chromium-experimental-subgroup-matrix";
const SIZE_FEATURE = "subgroup-size-control";

/**
 * Used when they are there; nothing depends on them. Matrix units are an experiment of Chromium's: a browser shows them
 * with chrome://flags/#enable-unsafe-webgpu, Dawn in Node with the toggle `allow_unsafe_apis`.
 */
const WANTED_FEATURES = ["shader-f16", "subgroups", SIZE_FEATURE, "timestamp-query", MATRIX_FEATURE] as const;

/** The limits that a BERT outgrows at their WebGPU defaults, or that a faster kernel makes use of. */
const RAISED_LIMITS = [
  "maxBufferSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupStorageSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
] as const;

/**
 * The descriptor of a device with everything the engine can use of `adapter`. For an app that makes its own device:
 * `adapter.requestDevice(deviceDescriptor(adapter))`.
 * @throws RangeError when `needs` asks for a feature the adapter lacks or a limit beyond its own, TypeError for an unknown option.
 */
export function deviceDescriptor(adapter: GPUAdapter, needs: DeviceNeeds = {}): GPUDeviceDescriptor {
  requireKnown("deviceDescriptor", needs, { features: 1, limits: 1 });
  const { features = [], limits = {} } = needs;
  const offered = adapter.limits as unknown as Readonly<Record<string, number | undefined>>;
  for (const [name, asked] of Object.entries(limits)) {
    const best = offered[name];
    // limits named min... are alignments: the smaller, the better
    if (best === undefined || (name.startsWith("min") ? asked < best : asked > best)) {
      throw new RangeError(
        `${name} ${asked} asked, the adapter ${best === undefined ? "has no such limit" : `offers ${best}`}`,
      );
    }
  }
  for (const feature of features) {
    if (!adapter.features.has(feature)) {
      throw new RangeError(`feature ${feature} asked, the adapter has ${[...adapter.features].sort().join(", ")}`);
    }
  }
  const { requiredFeatures, requiredLimits, ...own } = ownDescriptor(adapter);
  return {
    ...own,
    // experimental features have no place in the WebGPU types
    requiredFeatures: [...new Set([...requiredFeatures, ...(features as readonly GPUFeatureName[])])],
    requiredLimits: { ...requiredLimits, ...limits },
  };
}

/** What the engine wishes for by itself: all that a browser's is asked for. */
function ownDescriptor(adapter: GPUAdapter) {
  return {
    label: "bert-webgpu",
    requiredFeatures: WANTED_FEATURES.filter((feature) => adapter.features.has(feature)) as GPUFeatureName[],
    requiredLimits: Object.fromEntries(RAISED_LIMITS.map((name) => [name, adapter.limits[name]])),
  };
}

/** What a device says of its adapter; browsers before 2025 have nothing to say. */
export function infoOf(device: GPUDevice): Partial<GPUAdapterInfo> {
  return (device as { readonly adapterInfo?: GPUAdapterInfo }).adapterInfo ?? {};
}

/**
 * The adapter in words. Fields that the browser withholds are empty, but never `name`.
 * @param wgsl the language features of the implementation; default: the browser's, where there is one
 */
export function adapterSummary(
  info: Partial<GPUAdapterInfo>,
  wgsl: { has(feature: string): boolean } | undefined = browserGpu()?.wgslLanguageFeatures,
): AdapterSummary {
  const { vendor = "", architecture = "", description = "", subgroupMaxSize } = info;
  const matrixUnits = matrixUnitsOf(info);
  // Dawn turns every blank and bracket of a device's name into a hyphen, also the last
  const device = (info.device ?? "").replace(/^-+|-+$/g, "");
  return {
    name: device || description || [vendor, architecture].filter(Boolean).join(" ") || "unnamed adapter",
    vendor,
    architecture,
    description,
    // browsers before 2025 have no isFallbackAdapter here
    software:
      info.isFallbackAdapter === true ||
      /swiftshader|llvmpipe|basic render/i.test(`${architecture} ${device} ${description}`),
    ...(matrixUnits.length > 0 && { matrixUnits }),
    ...(subgroupMaxSize !== undefined && { subgroupMaxSize }),
    ...(wgsl?.has("subgroup_id") && { subgroupIds: true }),
  };
}

/** An entry of `info.subgroupMatrixConfigs` in Dawn and Chromium, which no WebGPU types know yet. */
interface SubgroupMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/**
 * What the matrix units of an adapter multiply, of floating-point numbers. Empty where the adapter does not show the
 * feature `chromium-experimental-subgroup-matrix`; a device must have it too before a kernel can use them.
 */
export function matrixUnitsOf(info: Partial<GPUAdapterInfo>): MatrixUnit[] {
  const { subgroupMatrixConfigs = [] } = info as { readonly subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig> };
  return [...subgroupMatrixConfigs].flatMap(({ componentType, resultComponentType: resultType, M, N, K }) =>
    isScalar(componentType) && isScalar(resultType) ? [{ componentType, resultType, M, N, K }] : [],
  );
}

function isScalar(type: string): type is Scalar {
  return type === "f32" || type === "f16";
}

/** Threads of every subgroup of this device, where they are all of one size and programs may use them. */
export function subgroupSizeOf(device: GPUDevice): number | undefined {
  const { subgroupMinSize, subgroupMaxSize } = infoOf(device);
  return device.features.has("subgroups") && subgroupMinSize === subgroupMaxSize ? subgroupMinSize : undefined;
}

/** What kernels are chosen by on this device. */
export function traitsOf(device: GPUDevice, adapter: AdapterSummary): DeviceTraits {
  const { matrixUnits, subgroupMaxSize, subgroupIds } = adapter;
  const subgroupSize = subgroupSizeOf(device);
  const multiplies = device.features.has(MATRIX_FEATURE) && matrixUnits && subgroupMaxSize;
  return {
    limits: device.limits,
    software: adapter.software,
    vendor: adapter.vendor.toLowerCase(),
    ...(subgroupSize !== undefined && { subgroupSize }),
    ...(subgroupIds && device.features.has("subgroups") && { subgroupIds }),
    ...(multiplies && { matrixUnits, subgroupMaxSize }),
    ...(device.features.has(SIZE_FEATURE) && { subgroupSizeControl: true }),
  };
}

function browserGpu(): GPU | undefined {
  return (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
}

/** The best device of a browser. @throws NoWebGpuError */
export async function openBrowserDevice(): Promise<OpenedDevice> {
  const gpu = browserGpu();
  if (!gpu) {
    throw new NoWebGpuError(
      "this environment has no WebGPU (navigator.gpu is missing): use a browser with WebGPU on a secure (https or localhost) page, or createEngine of bert-webgpu/node",
    );
  }
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) {
    throw new NoWebGpuError("WebGPU is there but offers no adapter: look at chrome://gpu, update the graphics driver");
  }
  const device = await adapter.requestDevice(ownDescriptor(adapter));
  return { device, adapter: adapterSummary(adapter.info), close: () => device.destroy() };
}
