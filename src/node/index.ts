/** The Node entry: everything of `bert-webgpu`, with WebGPU from Dawn and files from disk. */

import { requireKnown } from "../files/options.ts";
import type { MatmulTuning } from "../kernels/matmul/matmul_config.ts";
import { Engine, type EngineOptions } from "../runtime/engine.ts";
import { DEVICE_OPTIONS, type DeviceOptions, requestDevice } from "./device.ts";
import { readTuning } from "./tuning.ts";

export * from "../index.ts";
export { bundledModel } from "./cli/package.ts";
export { type AdapterChoice, type DeviceOptions, NoAdapterError, type NodeDevice, requestDevice } from "./device.ts";
export * from "./folder.ts";
export { hubCacheDir } from "./hub/environment.ts";
export { HubCacheError } from "./hub/fault.ts";
export { proxiedFetch } from "./hub/proxy.ts";
export * from "./hub/resolve.ts";
export * from "./hub/scan.ts";
export type { HubProgress } from "./hub/snapshot.ts";
export { readTuning, removeTuning, storeTuning, tuningFile } from "./tuning.ts";

export interface EngineSettings extends DeviceOptions, Pick<EngineOptions, "batchInvariant"> {
  /** Default: what `bert-webgpu tune` stored for the adapter, if it did; `false`: the built-in choices. */
  readonly tuning?: MatmulTuning | false | undefined;
}

/** An engine on the best adapter of this machine, or on the one asked for. @throws NoAdapterError, TypeError for an unknown option */
export async function createEngine(options: EngineSettings = {}): Promise<Engine> {
  requireKnown("createEngine", options, { ...DEVICE_OPTIONS, tuning: 1, batchInvariant: 1 });
  const { tuning: given, batchInvariant, ...device } = options;
  const engine = await Engine.create({ open: () => requestDevice(device), batchInvariant });
  const stored = () => readTuning(engine.adapter, (message) => process.emitWarning(message));
  engine.tuning = (given === undefined ? await stored() : given) || undefined;
  return engine;
}
