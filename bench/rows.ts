/** What a run reports: its origin, then one row for each thing measured. In JSON as here. */

import type { ProfileRow } from "../src/runtime/profiler.ts";
import { percent, short } from "./numbers.ts";
import type { OriginRow } from "./origin.ts";
import type { Timing } from "./timing.ts";

/** A limit of the adapter, measured in the same run. */
export interface CeilingRow {
  readonly type: "ceiling";
  readonly name: "arithmetic" | "memory";
  readonly how: string;
  /** Operations or bytes, at the fastest. */
  readonly perSecond: number;
  readonly timing: Timing;
}

/** How an output was verified before it was timed. */
export interface Check {
  /** `all 98304, error 1.2e-6 of 1.3e-5 allowed` */
  readonly how: string;
  /** The largest error found, in the unit of the bound. */
  readonly error: number;
  readonly bound: number;
}

export interface KernelRow {
  readonly type: "kernel";
  readonly kernel: string;
  /** The sizes of its tile, of a kernel that comes with several: `64x64x16`. Empty for others. */
  readonly variant: string;
  /** The one that the engine launches for this shape on this device. Absent for others. */
  readonly chosen?: true;
  /** `128x768x768` */
  readonly shape: string;
  readonly dtype: "f32" | "f16";
  readonly check: Check;
  readonly timing: Timing;
  /** Floating-point operations of one launch that the mathematics asks for. 0 where moving bytes is all of it. */
  readonly flops: number;
  /** Bytes of one launch if each operand travels once. */
  readonly bytes: number;
  /** At the median time. */
  readonly flopsPerSecond: number;
  readonly bytesPerSecond: number;
  /** The least time that the ceilings allow, over the median time: over 1 where caches beat the copy. */
  readonly share: number;
  /** The ceiling that asks for the more time. */
  readonly boundBy: CeilingRow["name"];
  /** Median milliseconds of a plain copy of as many bytes, in the same run by the same clock. Not of matmuls. */
  readonly copyMs?: number;
}

export interface ModelRow {
  readonly type: "model";
  /** `minilm 6x384` */
  readonly model: string;
  /** `8 x 128` */
  readonly batch: string;
  readonly dtype: "f32" | "f16";
  readonly sequences: number;
  readonly tokens: number;
  readonly check: Check;
  /** From ids in memory to the last hidden state in memory, by the wall clock. */
  readonly timing: Timing;
  readonly sequencesPerSecond: number;
  readonly flops: number;
  readonly flopsPerSecond: number;
  /** Of the arithmetic ceiling. */
  readonly share: number;
  /** Milliseconds of the first run of this shape, compiling included. */
  readonly firstRun: number;
  /** Milliseconds to generate or read the weights and upload them. */
  readonly load: number;
  readonly dispatches: number;
  /** That the kernels of one run bind: an upper bound of the memory traffic. */
  readonly bytes: number;
  /** GPU memory of the weights, and of everything. */
  readonly weightBytes: number;
  readonly gpuBytes: number;
  /** Largest resident size of this process so far, in bytes. */
  readonly peakMemory: number;
  /** GPU time of one run, where the device has timestamps: the whole, and by kernel. */
  readonly gpu: { readonly ms: number; readonly kernels: readonly ProfileRow[] } | undefined;
  /** Of a ragged batch: its least time over that of equal lengths with the same number of sequences and tokens. */
  readonly overEven: number | undefined;
}

/** A training step of a sequence classifier on one batch: loss, gradients, clipping and AdamW, without dropout. */
export interface TrainRow {
  readonly type: "train";
  /** `minilm 6x384` */
  readonly model: string;
  /** `8 x 128` */
  readonly batch: string;
  readonly dtype: "f32";
  readonly sequences: number;
  readonly tokens: number;
  readonly check: Check;
  /** From ids and labels in memory to the loss in memory, by the wall clock. */
  readonly timing: Timing;
  /** Of the inference forward pass of the same batch, in turn with the steps: from ids to logits in memory. */
  readonly forward: Timing;
  /** Median of the step over that of the forward pass, and least over least. */
  readonly ratio: number;
  readonly leastRatio: number;
  /** Median milliseconds of this process's processor time, where the adapter computes on it: other programs do not add to it. */
  readonly cpu?: { readonly step: number; readonly forward: number; readonly ratio: number };
  /** Milliseconds of the first step, compiling included. */
  readonly firstRun: number;
  readonly tokensPerSecond: number;
  /** Of a step, and those that each layer adds, forward and backward together. */
  readonly dispatches: number;
  readonly layerDispatches: number;
  /** GPU memory of everything: also of the model that the forward pass runs. */
  readonly gpuBytes: number;
  /** GPU time of one step, where the device has timestamps. */
  readonly gpu: ModelRow["gpu"];
}

/** An engine in `bench peers`, on one batch. */
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

/** What a forward pass should take on a GPU that was not there: docs/gpu.md. */
export interface PredictionRow {
  readonly type: "prediction";
  /** As in a model's row, which it is compared with. */
  readonly model: string;
  readonly batch: string;
  readonly dtype: "f32" | "f16";
  readonly timing: Timing;
  readonly flops: number;
  readonly launches: number;
  /** What part of the published peak that is. */
  readonly how: string;
}

/** What could not be measured, because it failed or computed wrongly. */
export interface FailureRow {
  readonly type: "failure";
  readonly name: string;
  readonly message: string;
}

export type MeasuredRow = CeilingRow | KernelRow | ModelRow | TrainRow | PeerRow | PredictionRow;
export type Row = OriginRow | MeasuredRow | FailureRow;

/** Its speed, and by which clock, how steady and beside what else it was measured. */
export function ceilingFacts({ name, perSecond, timing: { clock, noise, others } }: CeilingRow): string[] {
  const speed = `${short(perSecond / 1e9)} ${name === "arithmetic" ? "GFLOP/s" : "GB/s"}`;
  const meanwhile = others === undefined ? [] : [`others ${percent(others)}`];
  return [speed, `${clock} clock`, `noise ${percent(noise)}`, ...meanwhile];
}

/** Of the machine: what others may take while a ceiling is measured. */
const MOST_OTHERS = 0.1;

/**
 * That shares of these ceilings say little, where other programs kept a CPU busy that held the clock or computed.
 * @param software whether the adapter is computed by the CPU
 */
export function ceilingWarning(ceilings: readonly CeilingRow[], software: boolean): string | undefined {
  const disturbed = ceilings.filter(({ timing }) => software || timing.clock === "wall");
  const others = Math.max(0, ...disturbed.map(({ timing }) => timing.others ?? 0));
  if (others <= MOST_OTHERS) return undefined;
  return `other programs took ${percent(others)} of the machine while the ceilings were measured: shares of them are not comparable with other runs`;
}

/** Operations or bytes per second, at the fastest; NaN where it was not measured. */
export function ceilingOf(ceilings: readonly CeilingRow[], name: CeilingRow["name"]): number {
  return ceilings.find((ceiling) => ceiling.name === name)?.perSecond ?? Number.NaN;
}

/** The file of a run, as `parseRows` reads it. */
export function fileOf(rows: readonly Row[]): string {
  return `${JSON.stringify({ rows }, null, 1)}\n`;
}

export function isMeasured(row: Row): row is MeasuredRow {
  return row.type !== "origin" && row.type !== "failure";
}

/** What it is that a row measures: equal in two runs that can be compared. */
export function nameOf(row: MeasuredRow): string {
  switch (row.type) {
    case "ceiling":
      return `ceiling ${row.name}`;
    case "kernel":
      return [row.kernel, row.variant, row.shape, row.dtype].filter(Boolean).join(" ");
    case "model":
    case "prediction":
      return `${row.model}, ${row.batch}, ${row.dtype}`;
    case "train":
      return `training ${row.model}, ${row.batch}, ${row.dtype}`;
    case "peer":
      return `${row.peer}, ${row.model}, ${row.batch}`;
  }
}
