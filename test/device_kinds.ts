/** Kinds of GPUs, to choose kernels as for one of them on whatever device there is. Matrix units are claimed of none. */

import { Option } from "commander";
import { createEngine, Engine, type OtherTraits, requestDevice } from "../src/node/index.ts";

export type DeviceKind = "nvidia" | "apple" | "intel";

export const DEVICE_KINDS: Readonly<Record<DeviceKind, OtherTraits>> = {
  nvidia: { software: false, vendor: "nvidia", subgroupSize: 32, subgroupMaxSize: 32, subgroupIds: true },
  // as by an implementation whose WGSL numbers no subgroups yet
  apple: { software: false, vendor: "apple", subgroupSize: 32, subgroupMaxSize: 32 },
  intel: { software: false, vendor: "intel", subgroupMaxSize: 32, subgroupIds: true }, // its subgroups have 8, 16 or 32 threads
};

/** `--as KIND` of a command. */
export function asOption(): Option {
  return new Option("--as <KIND>", "choose kernels as for such a GPU").choices(Object.keys(DEVICE_KINDS));
}

/** An engine on `adapter`; with a kind, one that chooses kernels by that alone: no tuning is read. */
export async function createEngineAs(kind: DeviceKind | undefined, adapter: string): Promise<Engine> {
  if (kind === undefined) return createEngine({ adapter });
  return Engine.create({ open: () => requestDevice({ adapter }), traits: DEVICE_KINDS[kind] });
}
