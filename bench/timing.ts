/** Times: repeated until a budget is spent, and summed up so that two of them can be compared. */

import { cpus } from "node:os";
import type { Engine } from "../src/runtime/engine.ts";
import type { Program } from "../src/runtime/program.ts";
import type { Recorder } from "../src/runtime/recorder.ts";

/** Milliseconds. */
export interface Timing {
  /** "gpu": timestamps around each launch. "wall": this process's clock, over many launches where they are short. */
  readonly clock: "gpu" | "wall";
  readonly repeats: number;
  readonly min: number;
  readonly p50: number;
  readonly p90: number;
  /** The middle half of the times as a share of their median. */
  readonly noise: number;
  /** The part of the processor's time, 0 to 1, that other programs took meanwhile. */
  readonly others: number;
}

/** However long one takes. */
const LEAST_REPEATS = 3;
const MOST_REPEATS = 2000;
/** Launches are put into one submission until it takes this long, in milliseconds: far more than the cost of a wait. */
const SUBMISSION = 40;
const MOST_LAUNCHES = 256;

export function timingOf(clock: Timing["clock"], samples: readonly number[], others: number): Timing {
  const sorted = [...samples].sort((a, b) => a - b);
  const p50 = quantile(sorted, 0.5);
  return {
    clock,
    repeats: sorted.length,
    min: sorted[0]!,
    p50,
    p90: quantile(sorted, 0.9),
    noise: p50 > 0 ? (quantile(sorted, 0.75) - quantile(sorted, 0.25)) / p50 : 0,
    others,
  };
}

/**
 * Watches what the machine does beside this process: the spread of a timing does not tell when all of it was disturbed.
 * @returns a function that gives the part of all cores' time that others have taken since, 0 to 1
 */
function watchOthers(): () => number {
  const idleTime = (): number => cpus().reduce((sum, { times }) => sum + times.idle, 0);
  const [started, idle, own] = [performance.now(), idleTime(), process.cpuUsage()];
  return () => {
    const total = (performance.now() - started) * cpus().length;
    const { user, system } = process.cpuUsage(own); // microseconds
    return Math.min(1, Math.max(0, (total - (idleTime() - idle) - (user + system) / 1e3) / total));
  };
}

/** Linear between the neighbours, as numpy does it. */
export function quantile(sorted: readonly number[], q: number): number {
  const at = (sorted.length - 1) * q;
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below]! + (at - below) * (sorted[above]! - sorted[below]!);
}

/**
 * Times one launch, on the GPU's clock where the device has timestamps.
 * @param budget milliseconds for all repeats; the fewest are made also when it is too short
 */
export async function timeLaunch(
  engine: Engine,
  label: string,
  launch: (r: Recorder) => void,
  budget: number,
): Promise<Timing> {
  const timed = engine.device.features.has("timestamp-query");
  if (!timed) return timeOn("wall", engine, label, launch, budget);
  const timing = await timeOn("gpu", engine, label, launch, budget);
  // Where the GPU's clock steps too coarsely for this launch, or stands still, this process's is the better one.
  return timing.min > 0 ? timing : timeOn("wall", engine, label, launch, budget);
}

async function timeOn(
  clock: Timing["clock"],
  engine: Engine,
  label: string,
  launch: (r: Recorder) => void,
  budget: number,
): Promise<Timing> {
  const record = (launches: number): Promise<Program> =>
    engine.record(label, (r) => {
      for (let i = 0; i < launches; i++) launch(r);
    });
  const started = performance.now();
  let launches = 1;
  let program = await record(launches);
  await program.run({}); // some drivers compile at the first launch
  for (;;) {
    const before = performance.now();
    await program.run({});
    const elapsed = performance.now() - before;
    const enough = Math.min(SUBMISSION, budget / LEAST_REPEATS);
    if (elapsed >= enough || launches === MOST_LAUNCHES) break;
    launches = Math.min(MOST_LAUNCHES, Math.ceil(launches * Math.min(8, (1.5 * enough) / elapsed)));
    program = await record(launches);
  }
  const others = watchOthers();
  const samples: number[] = [];
  while (goesOn(samples.length, started, budget)) {
    const before = performance.now();
    if (clock === "wall") {
      await program.run({});
      samples.push((performance.now() - before) / launches);
    } else {
      await program.run({}, { profile: (times) => samples.push(...times.map(({ ms }) => ms)) });
    }
  }
  return timingOf(clock, samples, others());
}

/** Times runs in turn, so that what disturbs the machine disturbs all of them alike. Wall clock; the budget is for each. */
export async function timeRuns(runs: readonly (() => Promise<unknown>)[], budget: number): Promise<Timing[]> {
  const others = watchOthers();
  const samples = runs.map((): number[] => []);
  const started = performance.now();
  while (goesOn(samples[0]!.length, started, budget * runs.length)) {
    for (const [i, run] of runs.entries()) {
      const before = performance.now();
      await run();
      samples[i]!.push(performance.now() - before);
    }
  }
  const share = others();
  return samples.map((times) => timingOf("wall", times, share));
}

function goesOn(repeats: number, started: number, budget: number): boolean {
  if (repeats < LEAST_REPEATS) return true;
  return repeats < MOST_REPEATS && performance.now() - started < budget;
}
