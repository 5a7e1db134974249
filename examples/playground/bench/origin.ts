/** Where figures come from that a browser took, as far as it tells. */

import type { AdapterSummary } from "bert-webgpu";
import type { OriginRow } from "../../../bench/origin.ts";
import { version } from "../../../package.json";

/** Chromium's client hints, which the DOM types do not know. */
interface ClientHints {
  readonly brands: readonly { readonly brand: string; readonly version: string }[];
  readonly platform: string;
}

export function browserOrigin(adapter: AdapterSummary): OriginRow {
  const hints = (navigator as { readonly userAgentData?: ClientHints }).userAgentData;
  return {
    type: "origin",
    tool: "bert-webgpu bench",
    version: 1,
    date: new Date().toISOString(),
    commit: `${version}-browser`,
    machine: {
      os: hints?.platform || systemIn(navigator.userAgent),
      cores: navigator.hardwareConcurrency,
      browser: browserIn(navigator.userAgent),
    },
    adapter,
    driver: adapter.description || "a driver that the browser does not name",
  };
}

/** `Firefox 141.0`: the most telling product that a user agent names, since all of them also name others. */
function browserIn(userAgent: string): string {
  const version = (product: string): string | undefined => new RegExp(`${product}/([\\d.]+)`).exec(userAgent)?.[1];
  for (const product of ["Edg", "OPR", "Firefox", "HeadlessChrome", "Chrome"]) {
    const found = version(product);
    if (found) return `${product === "Edg" ? "Edge" : product} ${found}`;
  }
  return version("Safari") ? `Safari ${version("Version")}` : userAgent;
}

/** `Macintosh; Intel Mac OS X 10_15_7`: what a user agent has in its first brackets. */
function systemIn(userAgent: string): string {
  return /\(([^)]*)\)/.exec(userAgent)?.[1] ?? "unknown";
}
