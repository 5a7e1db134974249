/** What this page computes on: the adapter, what the engine uses of it, and the memory it took. */

import type { Engine } from "bert-webgpu";
import { short } from "../../../bench/numbers.ts";
import type { Loaded } from "../app.ts";
import { element } from "../dom.ts";

/** Used where they are there; nothing depends on them. */
const FEATURES: Readonly<Record<string, string>> = {
  "shader-f16": "weights and activations in f16",
  subgroups: "threads that share registers",
  "timestamp-query": "the time of each kernel on the GPU",
  "chromium-experimental-subgroup-matrix": "matrix units",
};

const LIMITS: Readonly<Record<string, (value: number) => string>> = {
  maxBufferSize: bytesText,
  maxStorageBufferBindingSize: bytesText,
  maxStorageBuffersPerShaderStage: String,
  maxComputeWorkgroupStorageSize: bytesText,
  maxComputeInvocationsPerWorkgroup: String,
};

/** Facts as terms and what they are, anew whenever it is called: memory is taken and freed. */
export function factsOf({ adapter, device, memoryUse, traits }: Engine, loaded: Loaded | undefined): HTMLElement[] {
  const { name, vendor, architecture, description, software, matrixUnits } = adapter;
  const withheld = "withheld by the browser";
  const limits = device.limits as unknown as Readonly<Record<string, number>>;
  return [
    fact("adapter", name, { "data-adapter": name }),
    fact("kind", software ? "software: computed by the CPU" : "hardware", { "data-software": String(software) }),
    fact("vendor, architecture", [vendor, architecture].filter(Boolean).join(", ") || withheld),
    fact("driver", description || withheld),
    fact(
      "threads in a subgroup",
      traits.subgroupSize ? String(traits.subgroupSize) : "not used: they vary, or are withheld",
    ),
    ...(matrixUnits
      ? [
          fact(
            "matrix units",
            matrixUnits.map(({ componentType, M, N, K }) => `${componentType} ${M}x${N}x${K}`).join(", "),
          ),
        ]
      : []),
    fact(
      "memory of the engine",
      `${bytesText(memoryUse.bytes)} in ${memoryUse.buffers} buffers${loaded ? `, ${bytesText(loaded.bert.model.weightBytes)} of it weights` : ""}`,
      { "data-bytes": memoryUse.bytes },
    ),
    ...Object.entries(LIMITS).map(([limit, text]) => fact(limit, text(limits[limit]!))),
  ];
}

export function featuresOf({ device }: Engine): HTMLElement[] {
  return Object.entries(FEATURES).map(([name, use]) => {
    const has = device.features.has(name);
    return element(
      "li",
      { "data-feature": name, "data-has": String(has) },
      element("span", { "aria-hidden": "true" }, has ? "✓" : "–"),
      element("span", {}, element("code", {}, name), ` ${has ? use : `not on this device: no ${use}`}`),
    );
  });
}

export function fact(name: string, value: string, data: Readonly<Record<string, string | number>> = {}): HTMLElement {
  return element("div", {}, element("dt", {}, name), element("dd", data, value));
}

function bytesText(bytes: number): string {
  const powers = ["bytes", "KiB", "MiB", "GiB"];
  const power = Math.min(powers.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const value = bytes / 1024 ** power;
  return `${Number.isInteger(value) ? value : short(value)} ${powers[power]}`;
}
