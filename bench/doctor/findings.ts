/** What doctor finds: in JSON as here. */

import type { AdapterSummary } from "../../src/runtime/device.ts";
import type { FailureRow, MeasuredRow } from "../rows.ts";

/** In which storage, and whether on matrix units. */
export type Mode = "f32" | "f16" | "units f32" | "units f16";

/**
 * `wrong`: computed something else than it must; `failed`: did not compile or run; `lost`: the device was lost, `hung`: no
 * answer in time, `crashed`: the process ended; `skipped`: no time was left.
 */
export type Status = "right" | "wrong" | "failed" | "lost" | "hung" | "crashed" | "skipped";

export interface KernelFinding {
  readonly type: "kernel";
  /** `matmul_workgroup 128x128x16 f16`: with its tile and storage, as it stands on the list of those to avoid. */
  readonly name: string;
  readonly mode: Mode;
  readonly status: Status;
  /** Rows of the tests' tables that it was held against its CPU twin on, of how many there are. */
  readonly rows: number;
  readonly of: number;
  /** Of the element that came nearest to what is allowed of it, and that; the shape it was found on. */
  readonly worst?: { readonly error: number; readonly bound: number; readonly shape: string };
  /** What went wrong. */
  readonly message?: string;
  /** Whether the engine has another one for it. */
  readonly replaceable: boolean;
}

export interface ModelFinding {
  readonly type: "model";
  readonly name: string;
  readonly mode: Mode;
  readonly status: Status;
  readonly texts: number;
  /** Largest error of a probability. */
  readonly error?: number;
  readonly bound?: number;
  readonly message?: string;
}

export interface BenchFinding {
  readonly type: "bench";
  readonly name: string;
  readonly status: Status;
  readonly rows: readonly (MeasuredRow | FailureRow)[];
  readonly message?: string;
}

export type Finding = KernelFinding | ModelFinding | BenchFinding;

/** The adapter at hand, and its device as the engine opens it. */
export interface Subject {
  readonly adapter: AdapterSummary;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
}

export interface Findings {
  readonly tool: "bert-webgpu doctor";
  /** Of this format. */
  readonly version: 1;
  /** ISO 8601. */
  readonly date: string;
  readonly versions: Readonly<Record<"bert-webgpu" | "dawn" | "node" | "platform", string>>;
  readonly subject: Subject | undefined;
  /**
   * `well`: all was examined and is right; `incomplete`: nothing is wrong, and something was left out for lack of time;
   * `interrupted`: by Ctrl-C, with what there was by then.
   */
  readonly verdict: "well" | "incomplete" | "faulty" | "interrupted";
  readonly seconds: number;
  readonly kernels: readonly KernelFinding[];
  readonly models: readonly ModelFinding[];
  readonly bench: readonly BenchFinding[];
  /** What ended the whole, such as an adapter that gives no device. */
  readonly fault?: string;
  /** Kernels that the engine will not launch on this adapter, and the file that says so. */
  readonly avoided: { readonly kernels: readonly string[]; readonly file: string | undefined };
}

/** Neither right nor left out. */
export function isFault({ status }: Pick<Finding, "status">): boolean {
  return status !== "right" && status !== "skipped";
}
