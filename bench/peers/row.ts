/** What `bench peers` reports: its origin, a row for each engine and batch, and what failed. In JSON as here. */

import type { FailureRow, OriginRow } from "../rows.ts";

export interface PeerRow {
  readonly type: "peer";
  /** `onnxruntime-node webgpu`; the engine of this repository is `bert-webgpu`. */
  readonly peer: string;
  /** What computes. A software adapter's rows are of kind `webgpu` too: it is asked through WebGPU. */
  readonly kind: "webgpu" | "cpu";
  /** `mini 4x256` */
  readonly model: string;
  /** `1 x 128` */
  readonly batch: string;
  /** The GPU's name; `cpu` where there is none in it. */
  readonly adapter: string;
  /** The largest difference of an element of the last hidden state from float64 (the first sequence) and from ours. */
  readonly check: { readonly error: number; readonly bound: number };
  /** From ids in memory to the last hidden state in memory, in milliseconds. */
  readonly timing: PeerTiming;
  /** Milliseconds from the start of a fresh process to its first result, no shader cached on disk. */
  readonly firstAnswerColdMs: number;
  /** Largest resident size of its process, in bytes. */
  readonly peakBytes: number;
  /** At the median. */
  readonly sequencesPerSecond: number;
}

export interface PeerTiming {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly n: number;
}

export type PeersRow = OriginRow | PeerRow | FailureRow;
