/** The Node entry: everything of `bert-webgpu`, with WebGPU from Dawn and files from disk. */

import type { MatmulTuning } from "../kernels/matmul/matmul_config.ts";
import { Engine } from "../runtime/engine.ts";
import { type DeviceOptions, requestDevice } from "./device.ts";
import { readTuning } from "./tuning.ts";

export * from "../index.ts";
export { bundledModel } from "./cli/package.ts";
export * from "./device.ts";
export * from "./folder.ts";
export { hubCacheDir } from "./hub/environment.ts";
export { HubCacheError } from "./hub/fault.ts";
export * from "./hub/resolve.ts";
export * from "./hub/scan.ts";
export type { HubProgress } from "./hub/snapshot.ts";
export { readTuning, removeTuning, storeTuning, tuningFile } from "./tuning.ts";

export interface EngineSettings extends DeviceOptions {
  /** Default: what `bert-webgpu tune` stored for the adapter, if it did; `false`: the built-in choices. */
  readonly tuning?: MatmulTuning | false | undefined;
}

/** An engine on the best adapter of this machine, or on the one asked for. @throws NoAdapterError */
export async function createEngine(options: EngineSettings = {}): Promise<Engine> {
  const engine = await Engine.create({ open: () => requestDevice(options) });
  const { tuning = await readTuning(engine.adapter, (message) => process.emitWarning(message)) } = options;
  engine.tuning = tuning || undefined;
  return engine;
}
