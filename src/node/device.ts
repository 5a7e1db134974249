/** A GPU device in Node, through Dawn (the npm package `webgpu`). */

import { type Names, requireKnown } from "../files/options.ts";
import { attentionSubgroupFor } from "../kernels/attention/attention_subgroup.ts";
import {
  type AdapterSummary,
  adapterSummary,
  type DeviceNeeds,
  deviceDescriptor,
  type IdleHook,
} from "../runtime/device.ts";
import { type AdapterChoice, type Dawn, findAdapter, languageFeatures, NoAdapterError } from "./adapter.ts";
import { napWhileWaiting } from "./idle.ts";

export { type AdapterChoice, NoAdapterError } from "./adapter.ts";

export interface DeviceOptions extends DeviceNeeds {
  /** Default `auto`: hardware, else the system's software adapter, else the bundled SwiftShader. */
  readonly adapter?: AdapterChoice | undefined;
  /**
   * Dawn toggles to enable; publish figures without any. With `allow_unsafe_apis` an adapter shows its experimental
   * features, among them matrix units (tensor cores), which the device then gets.
   */
  readonly toggles?: readonly string[] | undefined;
  /** Timestamps in nanoseconds as the GPU counts them, not in WebGPU's steps of 65.5 microseconds. */
  readonly preciseTimestamps?: boolean | undefined;
}

export const DEVICE_OPTIONS: Names<DeviceOptions> = {
  adapter: 1,
  toggles: 1,
  preciseTimestamps: 1,
  features: 1,
  limits: 1,
};

export interface NodeDevice {
  readonly device: GPUDevice;
  readonly adapter: AdapterSummary;
  /** For the engine. Absent on hardware, which computes while Node polls. */
  readonly idle: IdleHook | undefined;
  /** For the engine: on matrix units, where the device has them. */
  readonly attention: typeof attentionSubgroupFor;
  /** Destroys the device. Safe to call twice. Not needed before the process ends. */
  close(): void;
}

/**
 * @throws NoAdapterError with what was tried and what to install.
 * @throws RangeError when `features` or `limits` ask for more than the adapter has, TypeError for an unknown option.
 */
export async function requestDevice(options: DeviceOptions = {}): Promise<NodeDevice> {
  requireKnown("requestDevice", options, DEVICE_OPTIONS);
  const { features, limits } = options;
  const adapter = await findAdapter(await loadDawn(options.adapter), options.adapter, dawnFlags(options));
  const device = await adapter.requestDevice(deviceDescriptor(adapter, { features, limits }));
  const summary = adapterSummary(adapter.info, languageFeatures());
  // In Dawn's binding a collected device is a destroyed one, whatever buffers of it are in use. A timer that is never
  // due holds it until it is closed and, unreferenced, lets the process end.
  const hold = setInterval(() => void device, 2 ** 31 - 1).unref();
  return {
    device,
    adapter: summary,
    attention: attentionSubgroupFor,
    idle: summary.software ? napWhileWaiting() : undefined,
    close() {
      device.destroy();
      clearInterval(hold);
    },
  };
}

/** Imported only now, so that importing this package loads no native code. */
async function loadDawn(choice: AdapterChoice = "auto"): Promise<Dawn> {
  try {
    return await import("webgpu");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new NoAdapterError(choice, [`the npm package webgpu, which does not load here: ${reason}`], error);
  }
}

function dawnFlags({ toggles = [], preciseTimestamps = false }: DeviceOptions): string[] {
  const flags: string[] = [];
  if (toggles.length > 0) flags.push(`enable-dawn-features=${toggles.join(",")}`);
  if (preciseTimestamps) flags.push("disable-dawn-features=timestamp_quantization");
  return flags;
}
