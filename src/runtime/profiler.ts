/** GPU time per kernel, from timestamp queries around one compute pass per launch. */

import type { Checks } from "./checks.ts";
import { Arena, type Memory, USAGE } from "./memory.ts";

/** Time of one launch. */
export interface KernelTime {
  /** `matmul 128x768x768` */
  readonly label: string;
  /** Milliseconds on the GPU. */
  readonly ms: number;
}

export interface TimedPasses {
  passOf(dispatch: number): GPUComputePassDescriptor;
  resolve(encoder: GPUCommandEncoder): void;
  read(): Promise<KernelTime[]>;
  /** Frees the buffers. Safe to call twice. */
  dispose(): void;
}

/**
 * The passes, copies and read-back that time these launches, of which there may be 2,048: a query set has 4,096 stamps.
 * @throws TypeError where the device was made without timestamps, GpuError where there is not the memory
 */
export async function timedPasses(
  { device, memory }: { readonly device: GPUDevice; readonly memory: Memory },
  checks: Checks,
  launches: readonly { readonly label: string }[],
): Promise<TimedPasses> {
  if (!device.features.has("timestamp-query")) {
    throw new TypeError("profiling needs the feature timestamp-query, which this device was made without");
  }
  const [count, staging] = [launches.length * 2, "timestamps read-back"];
  const queries = checks.within("timestamps", () => device.createQuerySet({ type: "timestamp", count }));
  const arena = new Arena(memory);
  const dispose = (): void => {
    arena.clear();
    queries.destroy();
  };
  try {
    const bytes = count * 8;
    await arena.grow([
      { label: "timestamps", bytes, usage: USAGE.queries },
      { label: staging, bytes, usage: USAGE.readBack },
    ]);
    await checks.done();
  } catch (error) {
    dispose();
    throw error;
  }
  return {
    passOf: (i) => ({
      label: launches[i]!.label,
      timestampWrites: { querySet: queries, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 },
    }),
    resolve(encoder) {
      encoder.resolveQuerySet(queries, 0, count, arena.buffer("timestamps"), 0);
      encoder.copyBufferToBuffer(arena.buffer("timestamps"), 0, arena.buffer(staging), 0, count * 8);
    },
    async read() {
      await checks.within("timestamps", () => arena.buffer(staging).mapAsync(1)); // GPUMapMode.READ
      const stamps = new BigUint64Array(arena.buffer(staging).getMappedRange());
      // Two stamps may come out of order by a tick of the timer: never report a negative time.
      return launches.map(({ label }, i) => ({
        label,
        ms: Math.max(0, Number(stamps[2 * i + 1]! - stamps[2 * i]!) / 1e6),
      }));
    },
    dispose,
  };
}

export interface ProfileRow {
  readonly label: string;
  readonly calls: number;
  readonly ms: number;
  /** Part of the whole, 0 to 1. */
  readonly share: number;
}

/** Sums the times of equal labels, longest first. */
export function summarise(times: readonly KernelTime[]): ProfileRow[] {
  const rows = new Map<string, { calls: number; ms: number }>();
  for (const { label, ms } of times) {
    const row = rows.get(label) ?? { calls: 0, ms: 0 };
    row.calls++;
    row.ms += ms;
    rows.set(label, row);
  }
  const total = times.reduce((sum, { ms }) => sum + ms, 0) || 1;
  return [...rows]
    .map(([label, { calls, ms }]) => ({ label, calls, ms, share: ms / total }))
    .sort((a, b) => b.ms - a.ms);
}

/** The profile as a table for people. */
export function profileTable(times: readonly KernelTime[]): string {
  const rows = summarise(times);
  const width = Math.max(6, ...rows.map(({ label }) => label.length));
  const lines = rows.map(
    ({ label, calls, ms, share }) =>
      `${label.padEnd(width)}  ${String(calls).padStart(5)}  ${ms.toFixed(3).padStart(10)}  ${(share * 100).toFixed(1).padStart(5)}%`,
  );
  const total = rows.reduce((sum, { ms }) => sum + ms, 0);
  return [
    `${"kernel".padEnd(width)}  calls      GPU ms  share`,
    ...lines,
    `${"total".padEnd(width)}  ${String(times.length).padStart(5)}  ${total.toFixed(3).padStart(10)}`,
  ].join("\n");
}
