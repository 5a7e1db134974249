/** Times: repeated until a budget is spent, and summed up so that two of them can be compared. */

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
  /** The part of the processor's time, 0 to 1, that other programs took meanwhile. Absent where nobody watched. */
  readonly others?: number;
}

/** Begins to watch what the machine does beside this process; what it returns gives the part that others took, 0 to 1. */
export type Watch = () => () => number;

/** However long one takes. */
const LEAST_REPEATS = 3;
const MOST_REPEATS = 2000;
/** Launches are put into one submission until it takes this long, in milliseconds: far more than the cost of a wait. */
const SUBMISSION = 40;
const MOST_LAUNCHES = 256;
/** Milliseconds: a clock that steps further is one that a browser has blunted, by 65 or 100 microseconds as a rule. */
const COARSE_STEP = 0.01;
/** Of a coarse clock, for a median right to some percent. */
const LEAST_STEPS = 20;

export function timingOf(clock: Timing["clock"], samples: readonly number[], others?: number): Timing {
  const sorted = [...samples].sort((a, b) => a - b);
  const p50 = quantile(sorted, 0.5);
  return {
    clock,
    repeats: sorted.length,
    min: sorted[0]!,
    p50,
    p90: quantile(sorted, 0.9),
    noise: p50 > 0 ? (quantile(sorted, 0.75) - quantile(sorted, 0.25)) / p50 : 0,
    ...(others !== undefined && { others }),
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
  watch?: Watch,
): Promise<Timing> {
  const timeBy = async (clock: Timing["clock"]): Promise<{ timing: Timing; step: number }> => {
    const { samples, others } = await takeSamples(clock, engine, label, launch, budget, watch);
    return { timing: timingOf(clock, samples, others), step: stepOf(samples) };
  };
  if (engine.device.features.has("timestamp-query")) {
    const { timing, step } = await timeBy("gpu");
    if (isFine(timing, step)) return timing;
  }
  return (await timeBy("wall")).timing;
}

/** Whether a clock can time this launch. Where it steps too coarsely, or stands still, this process's is the better one. */
export function isFine({ min, p50 }: Pick<Timing, "min" | "p50">, step: number): boolean {
  return min > 0 && (step < COARSE_STEP || p50 >= LEAST_STEPS * step);
}

/** Milliseconds of which all these samples are multiples: what their clock steps by. 0 where all are. */
export function stepOf(samples: readonly number[]): number {
  const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));
  return samples.reduce((step, ms) => divisor(step, Math.round(ms * 1e6)), 0) / 1e6;
}

async function takeSamples(
  clock: Timing["clock"],
  engine: Engine,
  label: string,
  launch: (r: Recorder) => void,
  budget: number,
  watch: Watch | undefined,
): Promise<{ samples: number[]; others: number | undefined }> {
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
  const others = watch?.();
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
  return { samples, others: others?.() };
}

/** Times runs in turn. Wall clock; the budget is for each. @throws what a run throws */
export async function timeRuns(
  runs: readonly (() => Promise<unknown>)[],
  budget: number,
  watch?: Watch,
): Promise<Timing[]> {
  const others = watch?.();
  const timed = runs.map((run) => async () => {
    const before = performance.now();
    await run();
    return performance.now() - before;
  });
  const samples = await timeRounds(timed, budget);
  const share = others?.();
  return samples.map((times) => {
    if (times instanceof Error) throw times;
    return timingOf("wall", times, share);
  });
}

/**
 * Runs in turn, so that what disturbs the machine disturbs all of them alike; every second round goes backwards, so that
 * none always follows the same.
 * @param runs give their milliseconds
 * @param budget milliseconds for each of them
 * @param warm rounds that are not counted
 * @returns for each its times, or why it stopped
 */
export async function timeRounds(
  runs: readonly (() => Promise<number>)[],
  budget: number,
  warm = 0,
): Promise<(number[] | Error)[]> {
  const samples = runs.map((): number[] | Error => []);
  let started = performance.now();
  for (let round = -warm; round < 0 || goesOn(round, started, budget * runs.length); round++) {
    if (round === 0) started = performance.now();
    const places = [...runs.keys()];
    for (const i of round % 2 === 0 ? places : places.reverse()) {
      const times = samples[i]!;
      if (times instanceof Error) continue;
      try {
        const ms = await runs[i]!();
        if (round >= 0) times.push(ms);
      } catch (error) {
        samples[i] = error as Error;
      }
    }
  }
  return samples;
}

function goesOn(repeats: number, started: number, budget: number): boolean {
  if (repeats < LEAST_REPEATS) return true;
  return repeats < MOST_REPEATS && performance.now() - started < budget;
}
