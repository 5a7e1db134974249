/** What the page draws, as plain data: computed where the report is written, so that the page only draws. */

import { type ProfileRow, summarise } from "../../src/runtime/profiler.ts";
import { milliseconds, percent, short } from "../numbers.ts";
import { type CeilingRow, ceilingOf, type KernelRow, type ModelRow, nameOf } from "../rows.ts";
import type { Run } from "./runs.ts";

/** `title` is what the pointer shows, `group` what the colour means. */
interface Mark {
  readonly title: string;
  readonly group: string;
}

export interface Dot extends Mark {
  /** Its line in the table of kernels, from 1. */
  readonly number: number;
  readonly label: string;
  /** Operations for each byte. */
  readonly intensity: number;
  readonly gflops: number;
}

export interface Point extends Mark {
  readonly tokens: number;
  readonly ms: number;
  /** Whether a line goes through it: a ragged batch and its even twin stand beside the line. */
  readonly onLine: boolean;
}

export interface Part extends Mark {
  readonly bar: string;
  /** Of the bar, 0 to 1. */
  readonly share: number;
}

export interface Bar {
  /** `onnxruntime-node cpu (CPU)` */
  readonly label: string;
  readonly title: string;
  readonly ms: number;
  readonly min: number;
  readonly max: number;
  readonly mark: "ours" | "webgpu" | "cpu";
}

export interface Roofline {
  readonly kind: "roofline";
  /** GFLOP/s and GB/s, where the run measured them. */
  readonly arithmetic: number | undefined;
  readonly memory: number | undefined;
  readonly marks: readonly Dot[];
  /** The order of the colours, where other plots beside it have more groups. Default: those of the marks. */
  readonly groups?: readonly string[];
}

export type Figure =
  | Roofline
  | { readonly kind: "latency"; readonly marks: readonly Point[] }
  | { readonly kind: "shares"; readonly marks: readonly Part[] }
  | { readonly kind: "peers"; readonly marks: readonly Bar[] };

/** Kernels that compute, under the ceilings of their own run. Those that only move bytes have no place on it. */
export function roofline({ ceilings, kernels }: Run): Roofline {
  const marks = kernels.map((row, i) => dot(row, i + 1)).filter(({ gflops }) => gflops > 0);
  return { kind: "roofline", ...roof(ceilings), marks };
}

/** The ceilings in the units of the plot, where they were measured. */
export function roof(ceilings: readonly CeilingRow[]): Pick<Roofline, "arithmetic" | "memory"> {
  const ceiling = (name: CeilingRow["name"]): number | undefined => {
    const perSecond = ceilingOf(ceilings, name);
    return Number.isNaN(perSecond) ? undefined : perSecond / 1e9;
  };
  return { arithmetic: ceiling("arithmetic"), memory: ceiling("memory") };
}

function dot(row: KernelRow, number: number): Dot {
  const { kernel, variant, shape, flops, bytes, flopsPerSecond, timing, share, chosen } = row;
  const choice = chosen ? ", the engine's choice" : "";
  return {
    number,
    label: [kernel, variant || shape].join(" "),
    group: kernel,
    title: `${nameOf(row)}${choice}\n${short(flopsPerSecond / 1e9)} GFLOP/s, ${percent(share)} of what the ceilings allow\n${milliseconds(timing.p50)} ms at ${short(flops / bytes)} FLOP/byte`,
    intensity: flops / bytes,
    gflops: flopsPerSecond / 1e9,
  };
}

export function latency(runs: readonly Run[]): Figure {
  const marks = runs.flatMap(({ models, suffix }) =>
    models.map((row) => ({
      group: `${row.model} ${row.dtype}${suffix}`,
      title: `${nameOf(row)}${suffix}\n${milliseconds(row.timing.p50)} ms, ${short(row.sequencesPerSecond)} sequences/s`,
      tokens: row.tokens,
      ms: row.timing.p50,
      onLine: /^\d+ x \d+$/.test(row.batch),
    })),
  );
  return { kind: "latency", marks };
}

export function shares(runs: readonly Run[]): Figure {
  const marks = runs.flatMap(({ models, suffix }) =>
    models.flatMap((row) => byKernel(row).map((part) => ({ ...part, bar: `${nameOf(row)}${suffix}` }))),
  );
  return { kind: "shares", marks };
}

function byKernel({ gpu }: ModelRow): Omit<Part, "bar">[] {
  return profileByKernel(gpu?.kernels ?? []).map(({ label, calls, ms, share }) => ({
    group: label,
    title: `${label}\n${percent(share)}, ${milliseconds(ms)} ms in ${calls} ${calls === 1 ? "launch" : "launches"}`,
    share,
  }));
}

/** Sums a profile over the shapes of each kernel, longest first. */
export function profileByKernel(kernels: readonly ProfileRow[]): ProfileRow[] {
  const name = (label: string): string => label.split(" ", 1)[0]!;
  return summarise(kernels.map(({ label, ms }) => ({ label: name(label), ms }))).map((row) => {
    const own = kernels.filter(({ label }) => name(label) === row.label);
    return { ...row, calls: own.reduce((sum, { calls }) => sum + calls, 0) };
  });
}

/** The bars of one model and batch, fastest first. */
export function peers(runs: readonly Run[], task: string): Figure {
  const marks = runs.flatMap(({ peers, suffix }) =>
    peers
      .filter((row) => taskOf(row) === task)
      .map(({ peer, kind, adapter, timing, sequencesPerSecond }) => ({
        label: `${peer} ${kind === "cpu" ? "(CPU)" : `on ${adapter}`}${suffix}`,
        title: `${peer} on ${adapter}${suffix}\n${milliseconds(timing.median)} ms (${milliseconds(timing.min)} to ${milliseconds(timing.max)}, ${timing.n} runs)\n${short(sequencesPerSecond)} sequences/s`,
        ms: timing.median,
        min: timing.min,
        max: timing.max,
        mark: peer === "bert-webgpu" ? ("ours" as const) : kind,
      })),
  );
  return { kind: "peers", marks: marks.sort((a, b) => a.ms - b.ms) };
}

export function taskOf({ model, batch }: { readonly model: string; readonly batch: string }): string {
  return `${model}, ${batch}`;
}
