/** Rows of `bench peers` as tables for people, and as JSON. */

import { writeFileSync } from "node:fs";
import { milliseconds, short } from "../numbers.ts";
import type { OriginRow } from "../rows.ts";
import { OURS } from "./engines.ts";
import type { PeerRow, PeersRow } from "./row.ts";

export interface PeersReport {
  /** All that were added. */
  readonly rows: readonly PeersRow[];
  add(row: PeersRow): void;
  /** Prints the rows of a batch, which are compared with each other. */
  table(rows: readonly PeerRow[]): void;
  /** For a person who waits. */
  progress(text: string): void;
  /** Writes the JSON file, once. Also where the run was interrupted. */
  finish(): void;
}

/** @param json as of `openReport` in bench/report.ts */
export function openPeersReport(json: string | true | undefined): PeersReport {
  const rows: PeersRow[] = [];
  let finished = false;
  return {
    rows,
    add(row) {
      rows.push(row);
      if (json === true) console.log(JSON.stringify(row));
      else if (row.type === "origin") console.log(originText(row));
      else if (row.type === "failure") console.log(`FAILED, not timed: ${row.name}: ${row.message}`);
    },
    table(compared) {
      if (json !== true && compared.length > 0) console.log(tableOf(compared));
    },
    progress: (text) => void process.stderr.write(`${text} ...\n`),
    finish() {
      if (finished) return;
      finished = true;
      if (typeof json === "string") writeFileSync(json, `${JSON.stringify({ rows }, null, 1)}\n`);
    },
  };
}

function originText({ adapter, driver, machine, commit, date, tuned }: OriginRow): string {
  const where = `${adapter.name}${adapter.software ? " (software: computed by the CPU)" : ""}, ${driver}`;
  const on = `${machine.cpu}, ${machine.cores} cores, load ${machine.load.toFixed(1)}; Node ${machine.node}${tuned ? "; ours with the matmuls that bert-webgpu tune stored" : ""}`;
  return `${where}\n${on}\ncommit ${commit}, ${date}`;
}

/** Fastest first. CPU engines are in the same table and say so. */
export function tableOf(rows: readonly PeerRow[]): string {
  const ours = rows.find(({ peer }) => peer === OURS.name);
  const heading = [
    "engine",
    "computes on",
    "p50 ms",
    "min",
    "max",
    "runs",
    "x ours",
    "seq/s",
    "cold ms",
    "MB",
    "error",
  ];
  const lines = [...rows]
    .sort((a, b) => a.timing.median - b.timing.median)
    .map((row) => [
      row.peer,
      row.adapter,
      milliseconds(row.timing.median),
      milliseconds(row.timing.min),
      milliseconds(row.timing.max),
      String(row.timing.n),
      ours ? (row.timing.median / ours.timing.median).toFixed(2) : "-",
      short(row.sequencesPerSecond),
      milliseconds(row.firstAnswerColdMs),
      short(row.peakBytes / 1e6),
      row.check.error.toExponential(1),
    ]);
  const widths = heading.map((_, i) => Math.max(...[heading, ...lines].map((line) => line[i]!.length)));
  const text = [heading, ...lines].map((line) =>
    line.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  "),
  );
  return ["", `${rows[0]!.model}, ${rows[0]!.batch}`, ...text].join("\n");
}
