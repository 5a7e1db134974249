/** Rows sorted into the runs that they came from: a ceiling holds for the machine and moment that measured it. */

import type { OriginRow } from "../origin.ts";
import type { Row } from "../rows.ts";

type RowsOf<T extends Row["type"]> = readonly Extract<Row, { type: T }>[];

export interface Run {
  /** Undefined where rows came without one. */
  readonly origin: OriginRow | undefined;
  /** `A`, `B`, ...; empty where the report has a single run. */
  readonly letter: string;
  /** What tells its rows from those of other runs: ` (A)`, or nothing. */
  readonly suffix: string;
  readonly ceilings: RowsOf<"ceiling">;
  readonly kernels: RowsOf<"kernel">;
  readonly models: RowsOf<"model">;
  readonly trainings: RowsOf<"train">;
  readonly peers: RowsOf<"peer">;
  readonly failures: RowsOf<"failure">;
}

/** Each origin begins a run. */
export function splitRuns(rows: readonly Row[]): Run[] {
  const groups: Row[][] = [];
  for (const row of rows) {
    if (row.type === "origin" || groups.length === 0) groups.push([]);
    groups.at(-1)!.push(row);
  }
  return groups.map((group, i) => {
    const letter = groups.length > 1 ? letterOf(i) : "";
    const ofType = <T extends Row["type"]>(type: T): RowsOf<T> =>
      group.filter((row): row is Extract<Row, { type: T }> => row.type === type);
    return {
      origin: ofType("origin")[0],
      letter,
      suffix: letter && ` (${letter})`,
      ceilings: ofType("ceiling"),
      kernels: ofType("kernel"),
      models: ofType("model"),
      trainings: ofType("train"),
      peers: ofType("peer"),
      failures: ofType("failure"),
    };
  });
}

function letterOf(place: number): string {
  return place < 26 ? String.fromCharCode(65 + place) : String(place + 1);
}
