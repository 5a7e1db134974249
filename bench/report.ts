/** Rows as text for people, and as JSON. */

import { messageOf } from "../src/node/cli/failure.ts";
import { type Claim, writeOutput } from "../src/node/data/claim.ts";
import {
  type Column,
  columnsOf,
  KERNEL_COLUMNS,
  LEGEND,
  MODEL_COLUMNS,
  peerColumns,
  TRAIN_COLUMNS,
} from "./columns.ts";
import { profileByKernel } from "./html/figures.ts";
import { milliseconds, percent, short } from "./numbers.ts";
import { adapterText, machineText, type OriginRow } from "./origin.ts";
import { OURS } from "./peers/engines.ts";
import {
  type CeilingRow,
  ceilingFacts,
  ceilingWarning,
  type FailureRow,
  fileOf,
  type KernelRow,
  type ModelRow,
  nameOf,
  type PeerRow,
  type PredictionRow,
  type Row,
  type TrainRow,
} from "./rows.ts";

/** Where results go while they are made: whatever ends the run, what was measured is told. */
export interface Report {
  /** All that were added. */
  readonly rows: readonly Row[];
  add(row: Row): void;
  /** Of one batch: they are compared with each other. */
  addPeers(rows: readonly PeerRow[]): void;
  /** Adds the failure, and the exit code is 1. */
  fail(name: string, error: Error): void;
  /** What is being measured, for a person who waits. */
  progress(text: string): void;
  /** Writes the JSON file, once. Also where the run was interrupted. */
  finish(): Promise<void>;
}

/**
 * @param json the file, written at the end; `true` for JSON Lines on stdout in place of the tables; `undefined` for none
 * @param print takes a line of stdout
 * @param wide all columns, not those that fit 100 characters
 */
export function openReport(
  json: Claim | true | undefined,
  print: (line: string) => void,
  wide: boolean = false,
): Report {
  const rows: Row[] = [];
  const terminal = process.stderr.isTTY === true;
  const clear = (): void => void (terminal && process.stderr.write("\r\x1b[K"));
  const table = tables(wide);
  let section: Row["type"] = "origin";
  let finished: Promise<void> | undefined;
  const add = (row: Row): void => {
    rows.push(row);
    clear();
    if (json === true) {
      print(JSON.stringify(row));
      return;
    }
    if (row.type !== section && row.type !== "failure") {
      for (const line of section === "ceiling" ? warningOf(rows) : []) print(line);
      section = row.type;
    }
    for (const line of table(row)) print(line);
  };
  return {
    rows,
    add,
    addPeers(peers) {
      for (const row of peers) add(row);
      if (json !== true && peers.length > 0) for (const line of peersTable(peers, wide)) print(line);
    },
    fail(name, error) {
      add({ type: "failure", name, message: messageOf(error) });
      process.exitCode = 1;
    },
    progress(text) {
      if (terminal) process.stderr.write(`\r\x1b[K${text} ...`);
    },
    finish() {
      clear();
      const write = async (): Promise<void> => {
        if (typeof json === "object") await writeOutput(json, (put) => put(fileOf(rows)));
      };
      finished ??= write();
      return finished;
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

/** The lines of each row as it comes, below a heading where it begins a table or needs wider columns. */
function tables(wide: boolean): (row: Row) => string[] {
  let begun: Row["type"] | undefined;
  let widths: readonly number[] = [];
  const inTable = <R extends KernelRow | ModelRow | TrainRow>(row: R, columns: readonly Column<R>[]): string[] => {
    const cells = columns.map((column) => column.cell(row, 0));
    const before = begun === row.type ? widths : columns.map(({ name, width = 0 }) => Math.max(name.length, width));
    const wanted = before.map((width, i) => (i === cells.length - 1 ? width : Math.max(width, cells[i]!.length)));
    const heads = begun !== row.type || wanted.some((width, i) => width !== before[i]);
    const legend = begun !== row.type && row.type === "kernel" ? [LEGEND] : [];
    [begun, widths] = [row.type, wanted];
    const head = heads ? ["", ...legend, inColumns(columns, widths, namesOf(columns))] : [];
    return [...head, inColumns(columns, widths, cells)];
  };
  return (row) => {
    switch (row.type) {
      case "kernel":
        return inTable(row, columnsOf(KERNEL_COLUMNS, wide));
      case "model":
        return [...inTable(row, columnsOf(MODEL_COLUMNS, wide)), ...modelNotes(row).map((note) => `  ${note}`)];
      case "train":
        return [...inTable(row, columnsOf(TRAIN_COLUMNS, wide)), ...trainNotes(row).map((note) => `  ${note}`)];
      case "peer":
        return []; // see `addPeers`
      default:
        return [lineOf(row)];
    }
  };
}

/** The engines on one batch, fastest first. CPU engines are in the same table and say so. */
export function peersTable(rows: readonly PeerRow[], wide: boolean = false): string[] {
  const columns = columnsOf(peerColumns(rows.find(({ peer }) => peer === OURS.name)), wide);
  const sorted = [...rows].sort((a, b) => a.timing.median - b.timing.median);
  const lines = [namesOf(columns), ...sorted.map((row) => columns.map((column) => column.cell(row, 0)))];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  return ["", `${rows[0]!.model}, ${rows[0]!.batch}`, ...lines.map((line) => inColumns(columns, widths, line))];
}

function namesOf<T>(columns: readonly Column<T>[]): string[] {
  return columns.map(({ name }) => name);
}

function inColumns<T>(columns: readonly Column<T>[], widths: readonly number[], cells: readonly string[]): string {
  const padded = cells.map((cell, i) => (columns[i]!.text ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)));
  return padded.join("  ").trimEnd();
}

function lineOf(row: OriginRow | CeilingRow | FailureRow | PredictionRow): string {
  switch (row.type) {
    case "prediction":
      return `foretold: ${nameOf(row)}: ${milliseconds(row.timing.p50)} ms, ${row.how}`;
    case "origin":
      return originText(row);
    case "ceiling":
      return ceilingText(row);
    case "failure":
      return `FAILED, not timed: ${row.name}: ${row.message}`;
  }
}

function originText(origin: OriginRow): string {
  const { driver, commit, date } = origin;
  const { processor, system } = machineText(origin);
  return [`${adapterText(origin)}, ${driver}`, [processor, ...system].join("; "), `commit ${commit}, ${date}`].join(
    "\n",
  );
}

function ceilingText(row: CeilingRow): string {
  const [speed, ...facts] = ceilingFacts(row);
  return `${row.name} ceiling ${[speed, `by ${row.how}`, ...facts].join(", ")}`;
}

function warningOf(rows: readonly Row[]): string[] {
  const software = rows.some((row) => row.type === "origin" && row.adapter.software);
  const ceilings = rows.filter((row) => row.type === "ceiling");
  const warning = ceilingWarning(ceilings, software);
  return warning === undefined ? [] : [`warning: ${warning}`];
}

function trainNotes({ gpu, check, dispatches, layerDispatches, firstRun, cpu }: TrainRow): string[] {
  return [
    `verified: ${check.how}`,
    `${dispatches} launches, ${layerDispatches} of them of each layer; the first step took ${milliseconds(firstRun)} ms`,
    ...(cpu ? [`CPU time ${milliseconds(cpu.step)} ms, of the forward pass ${milliseconds(cpu.forward)} ms`] : []),
    ...gpuNote(gpu),
  ];
}

function gpuNote(gpu: ModelRow["gpu"]): string[] {
  const kernels = profileByKernel(gpu?.kernels ?? []).slice(0, 4);
  return gpu ? [`on the GPU: ${kernels.map(({ label, share }) => `${label} ${percent(share)}`).join(", ")}`] : [];
}

function modelNotes({ gpu, check, overEven, dispatches, bytes, tokens, load, peakMemory }: ModelRow): string[] {
  return [
    `verified: ${check.how}`,
    `${dispatches} dispatches binding ${short(bytes / 1e6)} MB; ${tokens} tokens; loaded in ${milliseconds(load)} ms`,
    `peak of the bench's process, its checks included, ${short(peakMemory / 1e6)} MB`,
    ...(overEven === undefined ? [] : [`takes ${overEven.toFixed(2)} x the time of equal lengths, token for token`]),
    ...gpuNote(gpu),
  ];
}
