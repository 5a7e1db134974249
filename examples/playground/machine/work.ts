/** Launches in numbers: a line for each, or for all that are alike, and their dots under the roofline. */

import type { Column } from "../../../bench/columns.ts";
import { type Dot, type Roofline, roof } from "../../../bench/html/figures.ts";
import { milliseconds, percent, short } from "../../../bench/numbers.ts";
import type { CeilingRow } from "../../../bench/rows.ts";
import { table } from "../../../src/page/tables.ts";
import type { MeasuredForward, TimedLaunch } from "./forward.ts";

/** All launches of one label: the same kernel on the same shape. */
export interface Work extends TimedLaunch {
  readonly calls: number;
}

/** Longest first; as they come where there are no times. */
export function workOf(launches: readonly TimedLaunch[]): Work[] {
  const byLabel = new Map<string, Work>();
  for (const launch of launches) {
    const { label, flops, bytes, ms } = launch;
    const before = byLabel.get(label) ?? { ...launch, calls: 0, flops: 0, bytes: 0, ms: ms && 0 };
    byLabel.set(label, {
      ...before,
      calls: before.calls + 1,
      flops: before.flops + flops,
      bytes: before.bytes + bytes,
      ms: ms === undefined ? undefined : before.ms! + ms,
    });
  }
  return [...byLabel.values()].sort((a, b) => (b.ms ?? 0) - (a.ms ?? 0));
}

/** Names of kernels, that with the most time first: the order of the colours. */
export function kernelsOf(launches: readonly TimedLaunch[]): string[] {
  const times = new Map<string, number>();
  for (const { kernel, ms = 0 } of launches) times.set(kernel, (times.get(kernel) ?? 0) + ms);
  return [...times].sort(([, a], [, b]) => b - a).map(([kernel]) => kernel);
}

/** `0.123 ms`, or that it is less than the clock can tell. */
export function timeText(ms: number | undefined, step: number): string {
  if (ms === undefined) return "–";
  if (ms > 0) return milliseconds(ms);
  return step > 0 ? `< ${short(step)}` : "< clock";
}

function rateText(amount: number, ms: number | undefined): string {
  return ms && amount > 0 ? short(amount / ms / 1e6) : "–";
}

/** What a launch is and does, on one line. */
export function launchText({ label, ms, flops, bytes }: TimedLaunch, { gpu, step }: MeasuredForward): string {
  return [
    label,
    ...(ms === undefined ? [] : [ms > 0 ? `${milliseconds(ms)} ms` : "below the timer's step"]),
    ...(ms && gpu ? [`${percent(ms / gpu)} of the forward`] : []),
    ...(ms && flops > 0 ? [`${rateText(flops, ms)} GFLOP/s`] : []),
    ...(ms ? [`${rateText(bytes, ms)} GB/s`] : []),
    `${short(bytes / 1e6)} MB${step >= 0.01 && ms === 0 ? `, steps of ${short(step)} ms` : ""}`,
  ].join(" · ");
}

/** @returns HTML; of `Work` there is a column of calls */
export function workTable(rows: readonly (TimedLaunch | Work)[], { gpu, step }: MeasuredForward): string {
  const columns: Column<TimedLaunch | Work>[] = [
    { name: "#", cell: (_, index) => String(index + 1) },
    { name: "kernel and shape", text: true, cell: ({ label }) => label },
    { name: "launches", cell: (row) => ("calls" in row ? String(row.calls) : "1") },
    { name: "GPU ms", cell: ({ ms }) => timeText(ms, step) },
    { name: "share", cell: ({ ms }) => (ms && gpu ? percent(ms / gpu) : "–") },
    { name: "GFLOP/s", cell: ({ flops, ms }) => rateText(flops, ms) },
    { name: "GB/s ≤", cell: ({ bytes, ms }) => rateText(bytes, ms) },
    { name: "MFLOP", cell: ({ flops }) => (flops > 0 ? short(flops / 1e6) : "–") },
    { name: "MB bound", cell: ({ bytes }) => short(bytes / 1e6) },
  ];
  return table(rows, columns);
}

/** Those that compute. Each dot has the number of its line in the table. */
export function rooflineOf(
  work: readonly Work[],
  ceilings: readonly CeilingRow[],
  groups: readonly string[],
): Roofline {
  const marks = work.flatMap(({ label, kernel, flops, bytes, ms }, i): Dot[] => {
    if (flops === 0 || !ms) return [];
    const gflops = flops / ms / 1e6;
    const title = `${label}\n${short(gflops)} GFLOP/s at ${short(flops / bytes)} FLOP/byte\n${milliseconds(ms)} ms in a forward`;
    return [{ number: i + 1, label, group: kernel, title, intensity: flops / bytes, gflops }];
  });
  return { kind: "roofline", ...roof(ceilings), marks, groups };
}
