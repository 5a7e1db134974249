/** Kinds of GPUs, to choose kernels as for one of them on whatever device there is. */

import { Option } from "commander";
import { createEngine, Engine, type OtherTraits, requestDevice } from "../src/node/index.ts";
import { traitsOf } from "../src/runtime/device.ts";
import { EXPERIMENTS } from "./device.ts";

/** Matrix units are claimed of none of these. */
export type NamedKind = "nvidia" | "apple" | "intel";

/** `gpu`: what the adapter itself is, were it no software, with the matrix units that it has. */
export type DeviceKind = NamedKind | "gpu";

export const DEVICE_KINDS: Readonly<Record<NamedKind, OtherTraits>> = {
  nvidia: { software: false, vendor: "nvidia", subgroupSize: 32, subgroupMaxSize: 32 },
  apple: { software: false, vendor: "apple", subgroupSize: 32, subgroupMaxSize: 32 },
  intel: { software: false, vendor: "intel", subgroupMaxSize: 32 }, // its subgroups have 8, 16 or 32 threads
};

/** `--as KIND` of a command. */
export function asOption(): Option {
  const kinds = [...Object.keys(DEVICE_KINDS), "gpu"];
  return new Option("--as <KIND>", "choose kernels as for such a GPU; gpu: as for the adapter's own like").choices(
    kinds,
  );
}

/** An engine on `adapter`; with a kind, one that chooses kernels by that alone: no tuning is read. */
export async function createEngineAs(kind: DeviceKind | undefined, adapter: string): Promise<Engine> {
  if (kind === undefined) return createEngine({ adapter });
  if (kind !== "gpu") {
    return Engine.create({ open: () => requestDevice({ adapter }), traits: DEVICE_KINDS[kind] });
  }
  const opened = await requestDevice({ adapter, toggles: EXPERIMENTS });
  const { limits: _, ...own } = traitsOf(opened.device, opened.adapter);
  return Engine.create({ ...opened, traits: { ...own, software: false } });
}
