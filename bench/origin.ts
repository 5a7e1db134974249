/** Where and when figures were taken: without this they compare with nothing. */

import type { AdapterSummary } from "../src/runtime/device.ts";

/** Of a run in Node. */
export interface Origin {
  /** ISO 8601. */
  readonly date: string;
  /** Of the checkout, with "-modified" where files differ from it; the package's version where there is no checkout. */
  readonly commit: string;
  readonly machine: {
    readonly os: string;
    readonly cpu: string;
    readonly cores: number;
    /** Bytes. */
    readonly memory: number;
    readonly node: string;
    /** Processes that wanted a core over the minute before: what else the machine was doing. */
    readonly load: number;
  };
  readonly adapter: AdapterSummary;
  /** In the driver's words. */
  readonly driver: string;
  /**
   * Whether matmuls were chosen by what `bert-webgpu tune` had stored for the adapter; false: by the built-in choice.
   * Absent in a browser, and in results of before it was told.
   */
  readonly tuned?: boolean;
}

/** Of a run in a browser, which tells less. */
export interface BrowserOrigin extends Omit<Origin, "machine"> {
  /** The package's version, with "-browser". */
  readonly commit: string;
  readonly machine: {
    readonly os: string;
    /** As many as the browser admits to. */
    readonly cores: number;
    /** `Chromium 140.0.0.0` */
    readonly browser: string;
  };
}

/** The processor and the system in words. */
export function machineText({ machine, tuned }: Origin | BrowserOrigin): { processor: string; system: string[] } {
  const { os, cores } = machine;
  if ("browser" in machine) return { processor: `${cores} cores`, system: [os, machine.browser] };
  const { cpu, memory, load, node } = machine;
  return {
    processor: `${cpu}, ${cores} cores, ${Math.round(memory / 1e9)} GB, load ${load.toFixed(1)}`,
    system: [os, `Node ${node}`, ...(tuned ? ["matmuls as bert-webgpu tune stored them"] : [])],
  };
}
