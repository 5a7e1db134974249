/** The columns of each kind of result, in the terminal and on the page. */

import type { TableColumn } from "../src/page/tables.ts";
import { milliseconds, percent, short } from "./numbers.ts";
import type { KernelRow, ModelRow, PeerRow, TrainRow } from "./rows.ts";

export interface Column<T> extends TableColumn<T> {
  /** Where alone it stands: with `--wide` and on the page, or in tables of 100 characters; left out, in both. */
  readonly only?: "wide" | "narrow";
  /** Characters that it has at least in the terminal, where rows come one by one. */
  readonly width?: number;
}

/** Those of the page and of `--wide`, or those that fit a terminal of 100 characters. */
export function columnsOf<T>(columns: readonly Column<T>[], wide: boolean): readonly Column<T>[] {
  return columns.filter(({ only }) => only === undefined || (only === "wide") === wide);
}

export const LEGEND = "* what the engine launches on this device";

/** Names are as wide as the project's longest. A star says that the engine chooses it. */
export const KERNEL_COLUMNS: readonly Column<KernelRow>[] = [
  {
    name: "kernel",
    text: true,
    width: 39,
    cell: ({ kernel, variant, chosen }) => [kernel, variant, chosen ? "*" : ""].filter(Boolean).join(" "),
  },
  { name: "shape", text: true, width: 20, cell: ({ shape }) => shape },
  { name: "type", only: "wide", text: true, cell: ({ dtype }) => dtype },
  { name: "clock", only: "wide", text: true, cell: ({ timing }) => timing.clock },
  { name: "p50 ms", width: 8, cell: ({ timing }) => milliseconds(timing.p50) },
  { name: "min ms", only: "wide", width: 8, cell: ({ timing }) => milliseconds(timing.min) },
  { name: "noise", only: "wide", cell: ({ timing }) => percent(timing.noise) },
  { name: "others", only: "wide", cell: othersCell },
  {
    name: "GFLOP/s",
    only: "wide",
    cell: ({ flops, flopsPerSecond }) => (flops > 0 ? short(flopsPerSecond / 1e9) : "-"),
  },
  { name: "GB/s", only: "wide", width: 7, cell: ({ bytesPerSecond }) => short(bytesPerSecond / 1e9) },
  { name: "speed", only: "narrow", width: 11, cell: speedCell },
  {
    name: "copy ms",
    only: "wide",
    width: 8,
    cell: ({ copyMs }) => (copyMs === undefined ? "-" : milliseconds(copyMs)),
  },
  { name: "/ copy", cell: ({ copyMs, timing }) => (copyMs === undefined ? "-" : (timing.p50 / copyMs).toFixed(2)) },
  { name: "share", cell: ({ share }) => percent(share) },
  { name: "of", only: "wide", text: true, width: 10, cell: ({ boundBy }) => boundBy },
  { name: "verified", only: "wide", text: true, cell: ({ check }) => check.how },
];

export const MODEL_COLUMNS: readonly Column<ModelRow>[] = [
  { name: "model", text: true, width: 15, cell: ({ model }) => model },
  { name: "batch", text: true, width: 10, cell: ({ batch }) => batch },
  { name: "type", text: true, cell: ({ dtype }) => dtype },
  { name: "p50 ms", width: 8, cell: ({ timing }) => milliseconds(timing.p50) },
  { name: "p90 ms", width: 8, cell: ({ timing }) => milliseconds(timing.p90) },
  { name: "min ms", only: "wide", width: 8, cell: ({ timing }) => milliseconds(timing.min) },
  { name: "noise", only: "wide", cell: ({ timing }) => percent(timing.noise) },
  { name: "others", only: "wide", cell: othersCell },
  { name: "seq/s", width: 7, cell: ({ sequencesPerSecond }) => short(sequencesPerSecond) },
  { name: "GFLOP/s", cell: ({ flopsPerSecond }) => short(flopsPerSecond / 1e9) },
  { name: "share", cell: ({ share }) => percent(share) },
  { name: "runs", only: "wide", cell: ({ timing }) => String(timing.repeats) },
  { name: "GPU ms", width: 8, cell: ({ gpu }) => (gpu ? milliseconds(gpu.ms) : "-") },
  { name: "first ms", cell: ({ firstRun }) => milliseconds(firstRun) },
  { name: "GPU MB", only: "wide", width: 7, cell: ({ gpuBytes }) => short(gpuBytes / 1e6) },
];

export const TRAIN_COLUMNS: readonly Column<TrainRow>[] = [
  { name: "training", text: true, width: 15, cell: ({ model }) => model },
  { name: "batch", text: true, width: 10, cell: ({ batch }) => batch },
  { name: "type", only: "wide", text: true, cell: ({ dtype }) => dtype },
  { name: "p50 ms", width: 8, cell: ({ timing }) => milliseconds(timing.p50) },
  { name: "min ms", only: "wide", width: 8, cell: ({ timing }) => milliseconds(timing.min) },
  { name: "forward", width: 8, cell: ({ forward }) => milliseconds(forward.p50) },
  { name: "min", only: "wide", width: 8, cell: ({ forward }) => milliseconds(forward.min) },
  { name: "/ forward", cell: ({ ratio }) => ratio.toFixed(2) },
  { name: "of min", cell: ({ leastRatio }) => leastRatio.toFixed(2) },
  { name: "of CPU", cell: ({ cpu }) => cpu?.ratio.toFixed(2) ?? "-" },
  { name: "others", only: "wide", cell: othersCell },
  { name: "runs", only: "wide", cell: ({ timing }) => String(timing.repeats) },
  { name: "tokens/s", width: 8, cell: ({ tokensPerSecond }) => short(tokensPerSecond) },
  { name: "launches", only: "wide", cell: ({ dispatches }) => String(dispatches) },
  { name: "a layer", cell: ({ layerDispatches }) => String(layerDispatches) },
  { name: "GPU MB", only: "wide", width: 7, cell: ({ gpuBytes }) => short(gpuBytes / 1e6) },
];

/** @param ours the row that they are compared with, where there is a single one */
export function peerColumns(ours?: PeerRow): Column<PeerRow>[] {
  const ratio: Column<PeerRow>[] = ours
    ? [{ name: "x ours", cell: ({ timing }) => (timing.median / ours.timing.median).toFixed(2) }]
    : [];
  return [
    { name: "engine", text: true, cell: ({ peer }) => peer },
    { name: "computes on", text: true, cell: ({ adapter }) => adapter },
    { name: "p50 ms", cell: ({ timing }) => milliseconds(timing.median) },
    { name: "min", only: "wide", cell: ({ timing }) => milliseconds(timing.min) },
    { name: "max", only: "wide", cell: ({ timing }) => milliseconds(timing.max) },
    { name: "runs", only: "wide", cell: ({ timing }) => String(timing.n) },
    ...ratio,
    { name: "seq/s", cell: ({ sequencesPerSecond }) => short(sequencesPerSecond) },
    { name: "cold ms", cell: ({ firstAnswerColdMs }) => milliseconds(firstAnswerColdMs) },
    { name: "MB", cell: ({ peakBytes }) => short(peakBytes / 1e6) },
    { name: "error", only: "wide", cell: ({ check }) => check.error.toExponential(1) },
  ];
}

function othersCell({ timing: { others } }: KernelRow | ModelRow | TrainRow): string {
  return others === undefined ? "" : percent(others);
}

/** By what bounds the kernel. */
function speedCell({ boundBy, flopsPerSecond, bytesPerSecond }: KernelRow): string {
  return boundBy === "arithmetic" ? `${short(flopsPerSecond / 1e9)} GFLOP/s` : `${short(bytesPerSecond / 1e9)} GB/s`;
}
