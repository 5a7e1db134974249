/** Where and when figures were taken: without this they compare with nothing. */

import type { AdapterSummary } from "../src/runtime/device.ts";

export interface OriginRow {
  readonly type: "origin";
  readonly tool: "bert-webgpu bench";
  /** Of this format. */
  readonly version: 1;
  /** ISO 8601. */
  readonly date: string;
  /** Of the checkout, "-modified" where files differ from it; else the package's version, "-browser" from a browser. */
  readonly commit: string;
  readonly machine: NodeMachine | BrowserMachine;
  readonly adapter: AdapterSummary;
  /** In the driver's words. */
  readonly driver: string;
  /**
   * Whether matmuls were chosen by what `bert-webgpu tune` had stored for the adapter; false: by the built-in choice.
   * Absent in a browser, and in results of before it was told.
   */
  readonly tuned?: boolean;
}

export interface NodeMachine {
  readonly os: string;
  readonly cpu: string;
  readonly cores: number;
  /** Bytes. */
  readonly memory: number;
  readonly node: string;
  /** Processes that wanted a core over the minute before: what else the machine was doing. */
  readonly load: number;
}

export interface BrowserMachine {
  readonly os: string;
  /** As many as the browser admits to. */
  readonly cores: number;
  /** `Chromium 140.0.0.0` */
  readonly browser: string;
}

/** The processor and the system in words. */
export function machineText({ machine, tuned }: OriginRow): { processor: string; system: string[] } {
  const { os, cores } = machine;
  if ("browser" in machine) return { processor: `${cores} cores`, system: [os, machine.browser] };
  const { cpu, memory, load, node } = machine;
  return {
    processor: `${cpu}, ${cores} cores, ${Math.round(memory / 1e9)} GB, load ${load.toFixed(1)}`,
    system: [os, `Node ${node}`, ...(tuned ? ["matmuls as bert-webgpu tune stored them"] : [])],
  };
}

/** The adapter in words. */
export function adapterText({ adapter }: OriginRow): string {
  return `${adapter.name}${adapter.software ? " (software: computed by the CPU)" : ""}`;
}
