/** Rows as text for people, and as JSON. */

import { writeFileSync } from "node:fs";
import { type ProfileRow, summarise } from "../src/runtime/profiler.ts";
import { milliseconds, percent, short } from "./numbers.ts";
import { machineText } from "./origin.ts";
import {
  type BrowserOriginRow,
  type CeilingRow,
  ceilingWarning,
  fileOf,
  type KernelRow,
  type ModelRow,
  type OriginRow,
  type Row,
} from "./rows.ts";
import type { Timing } from "./timing.ts";

/** Where results go while they are made: whatever ends the run, what was measured is told. */
export interface Report {
  /** All that were added. */
  readonly rows: readonly Row[];
  add(row: Row): void;
  /** What is being measured, for a person who waits. */
  progress(text: string): void;
  /** Writes the JSON file, once. Also where the run was interrupted. */
  finish(): void;
}

/**
 * @param json a file, written at the end; `true` for JSON Lines on stdout in place of the tables; `undefined` for none
 * @param print takes a line of stdout
 */
export function openReport(json: string | true | undefined, print: (line: string) => void): Report {
  const rows: Row[] = [];
  const terminal = process.stderr.isTTY === true;
  const clear = (): void => void (terminal && process.stderr.write("\r\x1b[K"));
  const table = tables();
  let section: Row["type"] = "origin";
  let finished = false;
  return {
    rows,
    add(row) {
      rows.push(row);
      clear();
      if (json === true) return print(JSON.stringify(row));
      if (row.type !== section && row.type !== "failure") {
        for (const line of section === "ceiling" ? warningOf(rows) : []) print(line);
        section = row.type;
      }
      for (const line of table(row)) print(line);
    },
    progress(text) {
      if (terminal) process.stderr.write(`\r\x1b[K${text} ...`);
    },
    finish() {
      if (finished) return;
      finished = true;
      clear();
      if (typeof json === "string") writeFileSync(json, fileOf(rows));
    },
  };
}

/** Of a file that `finish` wrote, or of JSON Lines. @throws Error when it is neither */
export function parseRows(text: string, where: string): Row[] {
  try {
    const whole = text.trimStart().startsWith('{"type"') ? undefined : (JSON.parse(text) as { rows?: Row[] });
    const rows = whole
      ? whole.rows
      : text
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line) as Row);
    if (!Array.isArray(rows) || rows.some((row) => typeof row?.type !== "string")) throw new Error("it has no rows");
    return rows;
  } catch (error) {
    throw new Error(`${where} holds no results of bench --json: ${(error as Error).message}`);
  }
}

/** Headings and the least widths below them; negative: to the left. */
type Columns = Readonly<Record<string, number>>;

/** Names are as wide as the project's longest. */
const KERNEL_COLUMNS: Columns = {
  kernel: -39,
  shape: -20,
  type: -4,
  clock: -5,
  "p50 ms": 8,
  "min ms": 8,
  noise: 5,
  others: 6,
  "GFLOP/s": 7,
  "GB/s": 7,
  "copy ms": 8,
  "/ copy": 6,
  share: 5,
  of: -10,
  verified: -8,
};

const MODEL_COLUMNS: Columns = {
  model: -15,
  batch: -10,
  type: -4,
  "p50 ms": 8,
  "p90 ms": 8,
  "min ms": 8,
  noise: 5,
  others: 6,
  "seq/s": 7,
  "GFLOP/s": 7,
  share: 5,
  runs: 4,
  "GPU ms": 8,
  "first ms": 8,
  "GPU MB": 7,
};

const LEGEND = "* what the engine launches on this device";

/** The lines of each row as it comes, below a heading where it begins a table or needs wider columns. */
function tables(): (row: Row) => string[] {
  let begun: Row["type"] | undefined;
  let widths: readonly number[] = [];
  return (row) => {
    if (row.type !== "kernel" && row.type !== "model") return [lineOf(row)];
    const columns = row.type === "kernel" ? KERNEL_COLUMNS : MODEL_COLUMNS;
    const cells = row.type === "kernel" ? kernelCells(row) : modelCells(row);
    const before = begun === row.type ? widths : Object.values(columns);
    const wanted = before.map((width, i) => (i === cells.length - 1 ? width : widened(width, cells[i]!.length)));
    const heads = begun !== row.type || wanted.some((width, i) => width !== before[i]);
    const legend = begun !== row.type && row.type === "kernel" ? [LEGEND] : [];
    [begun, widths] = [row.type, wanted];
    return [
      ...(heads ? ["", ...legend, inColumns(widths, Object.keys(columns))] : []),
      inColumns(widths, cells),
      ...(row.type === "model" ? modelNotes(row).map((note) => `  ${note}`) : []),
    ];
  };
}

function widened(width: number, length: number): number {
  return Math.sign(width) * Math.max(Math.abs(width), length);
}

function lineOf(row: Exclude<Row, KernelRow | ModelRow>): string {
  switch (row.type) {
    case "origin":
      return originText(row);
    case "ceiling":
      return ceilingText(row);
    case "failure":
      return `FAILED, not timed: ${row.name}: ${row.message}`;
  }
}

function originText(origin: OriginRow | BrowserOriginRow): string {
  const { adapter, driver, commit, date } = origin;
  const { processor, system } = machineText(origin);
  return [
    `${adapter.name}${adapter.software ? " (software: computed by the CPU)" : ""}, ${driver}`,
    [processor, ...system].join("; "),
    `commit ${commit}, ${date}`,
  ].join("\n");
}

function ceilingText({ name, how, perSecond, timing }: CeilingRow): string {
  const unit = name === "arithmetic" ? "GFLOP/s" : "GB/s";
  const others = timing.others === undefined ? "" : `, others ${percent(timing.others)}`;
  return `${name} ceiling ${short(perSecond / 1e9)} ${unit}, by ${how}, ${timing.clock} clock, noise ${percent(timing.noise)}${others}`;
}

function warningOf(rows: readonly Row[]): string[] {
  const software = rows.some((row) => row.type === "origin" && row.adapter.software);
  const warning = ceilingWarning(
    rows.filter((row) => row.type === "ceiling"),
    software,
  );
  return warning === undefined ? [] : [`warning: ${warning}`];
}

/** As the table has it: a star says that the engine chooses it. */
export function kernelName({ kernel, variant, chosen }: Pick<KernelRow, "kernel" | "variant" | "chosen">): string {
  return [kernel, variant, chosen ? "*" : ""].filter(Boolean).join(" ");
}

function kernelCells(row: KernelRow): string[] {
  const { shape, dtype, timing, flops, flopsPerSecond, bytesPerSecond, copyMs, share, boundBy, check } = row;
  return [
    kernelName(row),
    shape,
    dtype,
    timing.clock,
    milliseconds(timing.p50),
    milliseconds(timing.min),
    percent(timing.noise),
    othersText(timing),
    flops > 0 ? short(flopsPerSecond / 1e9) : "-",
    short(bytesPerSecond / 1e9),
    copyMs === undefined ? "-" : milliseconds(copyMs),
    copyMs === undefined ? "-" : (timing.p50 / copyMs).toFixed(2),
    percent(share),
    boundBy,
    check.how,
  ];
}

function modelCells(row: ModelRow): string[] {
  const { timing, gpu } = row;
  return [
    row.model,
    row.batch,
    row.dtype,
    milliseconds(timing.p50),
    milliseconds(timing.p90),
    milliseconds(timing.min),
    percent(timing.noise),
    othersText(timing),
    short(row.sequencesPerSecond),
    short(row.flopsPerSecond / 1e9),
    percent(row.share),
    String(timing.repeats),
    gpu ? milliseconds(gpu.ms) : "-",
    milliseconds(row.firstRun),
    short(row.gpuBytes / 1e6),
  ];
}

function modelNotes({ gpu, check, overEven, dispatches, bytes, tokens, load, peakMemory }: ModelRow): string[] {
  return [
    `verified: ${check.how}`,
    `${dispatches} dispatches binding ${short(bytes / 1e6)} MB; ${tokens} tokens; loaded in ${milliseconds(load)} ms; peak of the bench's process, its checks included, ${short(peakMemory / 1e6)} MB`,
    ...(overEven === undefined ? [] : [`takes ${overEven.toFixed(2)} x the time of equal lengths, token for token`]),
    ...(gpu ? [`on the GPU: ${topKernels(gpu.kernels)}`] : []),
  ];
}

function othersText({ others }: Timing): string {
  return others === undefined ? "" : percent(others);
}

/** Where the time goes, by kernel and not by shape. */
function topKernels(kernels: readonly ProfileRow[]): string {
  const byName = summarise(kernels.map(({ label, ms }) => ({ label: label.split(" ", 1)[0]!, ms })));
  return byName
    .slice(0, 4)
    .map(({ label, share }) => `${label} ${percent(share)}`)
    .join(", ");
}

function inColumns(widths: readonly number[], cells: readonly string[]): string {
  return cells
    .map((cell, i) => (widths[i]! < 0 ? cell.padEnd(-widths[i]!) : cell.padStart(widths[i]!)))
    .join("  ")
    .trimEnd();
}
