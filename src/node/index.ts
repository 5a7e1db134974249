/** The Node entry: everything of `bert-webgpu`, with WebGPU from Dawn and files from disk. */

import { Engine } from "../runtime/engine.ts";
import { type DeviceOptions, requestDevice } from "./device.ts";

export * from "../index.ts";
export * from "./device.ts";
export * from "./folder.ts";
export { HubCacheError } from "./hub/cache.ts";
export { hubCacheDir } from "./hub/environment.ts";
export * from "./hub/resolve.ts";
export * from "./hub/scan.ts";
export type { HubProgress } from "./hub/snapshot.ts";

/** An engine on the best adapter of this machine, or on the one asked for. @throws NoAdapterError */
export async function createEngine(options: DeviceOptions = {}): Promise<Engine> {
  return Engine.create(await requestDevice(options));
}
