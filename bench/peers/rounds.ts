/** Timing several engines in turn, so that what disturbs the machine disturbs all of them alike. */

import type { PeerTiming } from "../rows.ts";
import { quantile } from "../timing.ts";

/** Rounds that are not counted: after their first pass some engines still compile, or fill their pools. */
const WARM_ROUNDS = 2;
const LEAST_ROUNDS = 3;
const MOST_ROUNDS = 200;

/** One timed forward pass, in milliseconds. */
export type TimedRun = () => Promise<number>;

/**
 * A round is one forward pass of each, in turn; every second round goes backwards, so that none always follows the same.
 * @param budget milliseconds for each of them
 * @returns for each its times, or why it stopped
 */
export async function timeRounds(runs: readonly TimedRun[], budget: number): Promise<(PeerTiming | Error)[]> {
  const samples = runs.map((): number[] => []);
  const failures = new Map<number, Error>();
  const round = async (number: number): Promise<void> => {
    const order = [...runs.keys()].filter((i) => !failures.has(i));
    for (const i of number % 2 === 0 ? order : order.reverse()) {
      try {
        const ms = await runs[i]!();
        if (number >= 0) samples[i]!.push(ms);
      } catch (error) {
        failures.set(i, error as Error);
      }
    }
  };
  for (let number = -WARM_ROUNDS; number < 0; number++) await round(number);
  const end = performance.now() + budget * runs.length;
  for (let number = 0; number < MOST_ROUNDS; number++) {
    if (number >= LEAST_ROUNDS && performance.now() >= end) break;
    await round(number);
  }
  return samples.map((times, i) => failures.get(i) ?? summary(times));
}

function summary(times: readonly number[]): PeerTiming {
  const sorted = [...times].sort((a, b) => a - b);
  return { median: quantile(sorted, 0.5), min: sorted[0]!, max: sorted.at(-1)!, n: sorted.length };
}
