/** Two runs side by side: how the times changed, and whether that is more than noise. */

import { milliseconds, percent } from "./numbers.ts";
import type { OriginRow } from "./origin.ts";
import { isMeasured, nameOf, type Row } from "./rows.ts";
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

/** A row of either kind of results, as far as a comparison goes. */
interface Timed {
  readonly name: string;
  readonly p50: number;
  /** Parts of the median by which it may be off. */
  readonly noise: readonly number[];
}

/** Rows that are in both runs, in the order of the second. */
export function compareRows(before: readonly Row[], after: readonly Row[]): Comparison[] {
  const software = [...before, ...after].some((row) => row.type === "origin" && row.adapter.software);
  const earlier = new Map(timedIn(before, software).map((row) => [row.name, row]));
  return timedIn(after, software).flatMap((is) => {
    const was = earlier.get(is.name);
    if (was === undefined) return [];
    const ratio = is.p50 / was.p50;
    const noise = Math.max(LEAST_NOISE, Math.hypot(...was.noise, ...is.noise));
    const verdict = ratio < 1 / (1 + noise) ? "faster" : ratio > 1 + noise ? "slower" : "same";
    return [{ name: is.name, before: was.p50, after: is.p50, ratio, noise, verdict }];
  });
}

function timedIn(rows: readonly Row[], software: boolean): Timed[] {
  return rows.filter(isMeasured).map((row) => {
    const name = nameOf(row);
    if (row.type !== "peer") return { name, p50: row.timing.p50, noise: noiseOf(row.timing, software) };
    const { median, min } = row.timing;
    // Its quartiles are not kept, and its slowest run may be slow by any amount: the way down, taken both ways.
    return { name, p50: median, noise: [(2 * (median - min)) / median] };
  });
}

/** Beside its own spread, what others took of the processor, where that is what computed or what held the clock. */
function noiseOf({ clock, noise, others }: Timing, software: boolean): number[] {
  const shared = software || clock === "wall";
  return shared && others !== undefined ? [noise, others / Math.max(1 - others, 0.01)] : [noise];
}

/**
 * For people: a line for each row that both have, what makes the runs differ beside the code, and what only one has.
 * @throws RangeError when no row is in both
 */
export function comparisonText(before: readonly Row[], after: readonly Row[]): string {
  const rows = compareRows(before, after);
  if (rows.length === 0) {
    throw new RangeError(`the two files have no row in common: A has ${kindsOf(before)}, B has ${kindsOf(after)}`);
  }
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
  const both = new Set(rows.map(({ name }) => name));
  return [
    ...originText(before, after),
    heading,
    ...lines.map((line) => line.trimEnd()),
    ...onlyText("A", before, both),
    ...onlyText("B", after, both),
  ].join("\n");
}

/** `12 kernel rows and 4 peer rows` */
function kindsOf(rows: readonly Row[]): string {
  const types = rows.filter(isMeasured).map(({ type }) => type);
  const kinds = [...new Set(types)].map((kind) => `${types.filter((type) => type === kind).length} ${kind} rows`);
  return kinds.join(" and ") || "none";
}

/** What the other file lacks, and what failed. */
function onlyText(letter: string, rows: readonly Row[], both: ReadonlySet<string>): string[] {
  const only = rows
    .filter(isMeasured)
    .map(nameOf)
    .filter((name) => !both.has(name));
  const failed = rows.flatMap((row) => (row.type === "failure" ? [`${row.name}: ${row.message}`] : []));
  return [
    ...(only.length > 0 ? ["", `only in ${letter}:`, ...only.map((name) => `  ${name}`)] : []),
    ...(failed.length > 0 ? ["", `failed in ${letter}:`, ...failed.map((name) => `  ${name}`)] : []),
  ];
}

function originText(before: readonly Row[], after: readonly Row[]): string[] {
  const [a, b] = [before, after].map((rows) => rows.find((row) => row.type === "origin"));
  if (a === undefined || b === undefined) return [];
  const facts = ({ adapter, driver, machine, tuned }: OriginRow) => ({
    adapter: adapter.name,
    driver,
    cpu: "cpu" in machine ? `${machine.cpu} x ${machine.cores}` : `unknown x ${machine.cores}`,
    runtime: "node" in machine ? `Node ${machine.node}` : machine.browser,
    tuning: tuned === undefined ? "unknown" : tuned ? "as stored by bert-webgpu tune" : "built-in",
  });
  const [was, is] = [facts(a), facts(b)];
  const differing = (Object.keys(was) as (keyof typeof was)[]).filter((key) => was[key] !== is[key]);
  return [
    ...[a, b].map(({ commit, date, adapter }, i) => `${"AB"[i]}: commit ${commit}, ${date}, ${adapter.name}`),
    ...differing.map((key) => `not the same ${key}: ${was[key]} and ${is[key]}`),
    "",
  ];
}
