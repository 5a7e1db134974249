/** Two runs side by side: how the times changed, and whether that is more than noise. */

import { milliseconds, percent } from "./numbers.ts";
import { type BrowserOriginRow, isMeasured, nameOf, type OriginRow, type Row } from "./rows.ts";
import type { Timing } from "./timing.ts";

/** Within a run a timing may be steadier than the machine is from one run to the next: no change below this is believed. */
const LEAST_NOISE = 0.02;

export interface Comparison {
  readonly name: string;
  /** Median milliseconds. */
  readonly before: number;
  readonly after: number;
  /** after / before */
  readonly ratio: number;
  /** By which the ratio could differ from 1 if nothing had changed. */
  readonly noise: number;
  readonly verdict: "faster" | "slower" | "same";
}

/** Rows that are in both runs, in the order of the second. */
export function compareRows(before: readonly Row[], after: readonly Row[]): Comparison[] {
  const software = [...before, ...after].some((row) => row.type === "origin" && row.adapter.software);
  const earlier = new Map(before.filter(isMeasured).map((row) => [nameOf(row), row.timing]));
  return after.filter(isMeasured).flatMap((row) => {
    const was = earlier.get(nameOf(row));
    if (was === undefined) return [];
    const ratio = row.timing.p50 / was.p50;
    const both = [was, row.timing];
    const noise = Math.max(LEAST_NOISE, Math.hypot(...both.flatMap((timing) => noiseOf(timing, software))));
    const verdict = ratio < 1 / (1 + noise) ? "faster" : ratio > 1 + noise ? "slower" : "same";
    return [{ name: nameOf(row), before: was.p50, after: row.timing.p50, ratio, noise, verdict }];
  });
}

/** Beside its own spread, what others took of the processor, where that is what computed or what held the clock. */
function noiseOf({ clock, noise, others }: Timing, software: boolean): number[] {
  const shared = software || clock === "wall";
  return shared && others !== undefined ? [noise, others / Math.max(1 - others, 0.01)] : [noise];
}

/** For people: a line for each row, and what makes the runs differ beside the code. */
export function comparisonText(before: readonly Row[], after: readonly Row[]): string {
  const rows = compareRows(before, after);
  if (rows.length === 0) return "the two files have no row in common";
  const width = Math.max(...rows.map(({ name }) => name.length));
  const lines = rows.map(({ name, before, after, ratio, noise, verdict }) =>
    [
      name.padEnd(width),
      milliseconds(before).padStart(10),
      milliseconds(after).padStart(10),
      ratio.toFixed(3).padStart(8),
      `+-${percent(noise)}`.padStart(7),
      verdict === "same" ? "" : verdict,
    ].join("  "),
  );
  const heading = `${"".padEnd(width)}  ${"A ms".padStart(10)}  ${"B ms".padStart(10)}  ${"B / A".padStart(8)}`;
  return [...originText(before, after), heading, ...lines.map((line) => line.trimEnd())].join("\n");
}

function originText(before: readonly Row[], after: readonly Row[]): string[] {
  const [a, b] = [before, after].map((rows) => rows.find((row) => row.type === "origin"));
  if (a === undefined || b === undefined) return [];
  const facts = ({ adapter, driver, machine }: OriginRow | BrowserOriginRow) => ({
    adapter: adapter.name,
    driver,
    cpu: "cpu" in machine ? `${machine.cpu} x ${machine.cores}` : `unknown x ${machine.cores}`,
    runtime: "node" in machine ? `Node ${machine.node}` : machine.browser,
  });
  const [was, is] = [facts(a), facts(b)];
  const differing = (Object.keys(was) as (keyof typeof was)[]).filter((key) => was[key] !== is[key]);
  return [
    ...[a, b].map(({ commit, date, adapter }, i) => `${"AB"[i]}: commit ${commit}, ${date}, ${adapter.name}`),
    ...differing.map((key) => `not the same ${key}: ${was[key]} and ${is[key]}`),
    "",
  ];
}
