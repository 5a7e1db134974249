/** `info`: the adapter, and what the engine has of it. */

import type { Command } from "commander";
import { requestDevice } from "../device.ts";
import { type CommonOptions, newCommand } from "./command.ts";
import { aligned, print } from "./output.ts";
import { dawnVersion, packageVersion } from "./package.ts";
import { quietTerminal } from "./quiet_terminal.ts";

export function infoCommand(): Command {
  return newCommand("info", "describe the GPU adapter, its features and limits").action(info);
}

async function info({ json, adapter: choice }: CommonOptions): Promise<void> {
  const { device, adapter, close } = await quietTerminal(() => requestDevice({ adapter: choice }));
  const features = [...device.features].sort();
  const limits = limitsOf(device.limits);
  close();
  const versions = {
    version: packageVersion(),
    dawn: dawnVersion(),
    node: process.versions.node,
    platform: `${process.platform} ${process.arch}`,
  };
  if (json) return print(JSON.stringify({ adapter, features, limits, ...versions }));
  const rows = [
    ["adapter", adapter.name],
    ["kind", adapter.software ? "software, computed by the CPU" : "hardware"],
    ["vendor", adapter.vendor],
    ["architecture", adapter.architecture],
    ["driver", adapter.description],
    ["features", features.join(", ")],
    ...Object.entries(limits).map(([name, value]) => [name, value.toLocaleString("en")]),
    ["bert-webgpu", versions.version],
    ["Dawn", `webgpu ${versions.dawn}`],
    ["Node", `${versions.node}, ${versions.platform}`],
  ];
  for (const line of aligned(rows)) await print(line);
}

/** Those that bound compute work; the others are of textures and vertices. */
function limitsOf(limits: object): Record<string, number> {
  const all = limits as Readonly<Record<string, unknown>>;
  const found: Record<string, number> = {};
  for (const name in all) {
    const value = all[name];
    if (typeof value === "number" && /compute|buffer|bind/i.test(name) && !/vertex|fragment/i.test(name)) {
      found[name] = value;
    }
  }
  return found;
}
