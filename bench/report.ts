/** Rows as text for people, and as JSON. */

import { writeFileSync } from "node:fs";
import { type ProfileRow, summarise } from "../src/runtime/profiler.ts";
import { milliseconds, percent, short } from "./numbers.ts";
import { machineText } from "./origin.ts";
import {
  type BrowserOriginRow,
  type CeilingRow,
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
  let section: Row["type"] = "origin";
  let finished = false;
  return {
    rows,
    add(row) {
      rows.push(row);
      clear();
      if (json === true) return print(JSON.stringify(row));
      if (row.type !== section && row.type !== "failure") {
        for (const line of headingOf(row.type)) print(line);
        section = row.type;
      }
      print(lineOf(row));
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

/** Headings and the widths below them; negative: to the left. */
type Columns = Readonly<Record<string, number>>;

const KERNEL_COLUMNS: Columns = {
  kernel: -27,
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

function headingOf(type: Row["type"]): string[] {
  const columns = { kernel: KERNEL_COLUMNS, model: MODEL_COLUMNS }[type as string];
  return columns ? ["", inColumns(columns, Object.keys(columns))] : [];
}

function lineOf(row: Row): string {
  switch (row.type) {
    case "origin":
      return originText(row);
    case "ceiling":
      return ceilingText(row);
    case "kernel":
      return kernelText(row);
    case "model":
      return modelText(row);
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
  return `${name} ceiling ${short(perSecond / 1e9)} ${unit}, by ${how}, ${timing.clock} clock`;
}

function kernelText(row: KernelRow): string {
  const { kernel, variant, shape, dtype, timing, flops, flopsPerSecond, bytesPerSecond, copyMs, share, check } = row;
  return inColumns(KERNEL_COLUMNS, [
    `${kernel} ${variant}`.trim(),
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
    check.how,
  ]);
}

function modelText(row: ModelRow): string {
  const { timing, gpu, check, overEven } = row;
  const line = inColumns(MODEL_COLUMNS, [
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
  ]);
  const notes = [
    `verified: ${check.how}`,
    `${row.dispatches} dispatches binding ${short(row.bytes / 1e6)} MB; ${row.tokens} tokens; loaded in ${milliseconds(row.load)} ms; process peak ${short(row.peakMemory / 1e6)} MB`,
    ...(overEven === undefined ? [] : [`takes ${overEven.toFixed(2)} x the time of equal lengths, token for token`]),
    ...(gpu ? [`on the GPU: ${topKernels(gpu.kernels)}`] : []),
  ];
  return [line, ...notes.map((note) => `  ${note}`)].join("\n");
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

function inColumns(columns: Columns, cells: readonly string[]): string {
  const widths = Object.values(columns);
  return cells
    .map((cell, i) => (widths[i]! < 0 ? cell.padEnd(-widths[i]!) : cell.padStart(widths[i]!)))
    .join("  ")
    .trimEnd();
}
