/** Findings as lines for people. */

import { adapterText, aligned } from "../../src/node/cli/output.ts";
import { milliseconds, short } from "../numbers.ts";
import { type CeilingRow, ceilingFacts, isMeasured } from "../rows.ts";
import {
  type BenchFinding,
  type Findings,
  isFault,
  type KernelFinding,
  type Mode,
  type ModelFinding,
} from "./findings.ts";

/** What was looked at, what is wrong, what was measured, what to do. */
export function findingsText(findings: Findings): string[] {
  const { subject, kernels, models, bench, fault } = findings;
  if (subject === undefined) return [fault ?? "nothing was examined"];
  const faults = [...kernels, ...models, ...bench].filter(isFault);
  return [
    `${adapterText(subject.adapter)}, ${subject.adapter.description}`,
    "",
    ...aligned([
      ["", "kernels right", "of", "left out", "rows", "nearest to its bound", "shipped model"],
      ...modeRows(findings),
    ]),
    "",
    ...aligned(bench.flatMap(benchRows)),
    ...(faults.length > 0 ? ["", ...faults.map(faultText)] : []),
    ...(fault === undefined ? [] : ["", fault]),
    "",
    ...verdictText(findings),
  ];
}

function modeRows({ kernels, models }: Findings): string[][] {
  const modes = [...new Set(kernels.map(({ mode }) => mode))];
  return modes.map((mode) => {
    const own = kernels.filter((each) => each.mode === mode);
    const count = (status: KernelFinding["status"]): string =>
      String(own.filter((each) => each.status === status).length);
    const rows = own.reduce((sum, each) => sum + each.rows, 0);
    return [
      mode,
      count("right"),
      String(own.length),
      count("skipped"),
      String(rows),
      nearest(own),
      modelText(models, mode),
    ];
  });
}

/** `71% by softmax f32` */
function nearest(kernels: readonly KernelFinding[]): string {
  const shares = kernels.flatMap(({ name, status, worst }) =>
    worst && status === "right" && worst.error > 0 ? [{ name, share: worst.error / worst.bound }] : [],
  );
  if (shares.length === 0) return "exact";
  const { name, share } = shares.reduce((most, each) => (each.share > most.share ? each : most));
  return `${Math.round(100 * share)}% by ${name}`;
}

function modelText(models: readonly ModelFinding[], mode: Mode): string {
  const found = models.find((each) => each.mode === mode);
  if (found === undefined) return "not run";
  const { status, texts, error = 0, bound = 0 } = found;
  return status === "right" ? `right, ${texts} texts, ${error.toExponential(1)} of ${bound}` : status;
}

function benchRows({ name, rows }: BenchFinding): string[][] {
  return rows
    .filter((row) => row.type !== "failure" && isMeasured(row))
    .map((row) => {
      switch (row.type) {
        case "ceiling":
          return [`${row.name} ceiling`, ceilingFacts(row as CeilingRow)[0]!, ""];
        case "kernel":
          return [
            [row.kernel, row.variant, row.shape, row.dtype].filter(Boolean).join(" "),
            `${milliseconds(row.timing.p50)} ms`,
            `${short(row.flopsPerSecond / 1e9)} GFLOP/s`,
          ];
        case "model":
          return [
            `${name}, ${row.batch}`,
            `${milliseconds(row.timing.p50)} ms`,
            `${short(row.sequencesPerSecond)} texts/s`,
          ];
        default:
          return [name, "", ""];
      }
    });
}

function faultText(each: Findings["kernels"][number] | ModelFinding | BenchFinding): string {
  const why = each.message === undefined ? "" : `: ${each.message}`;
  const remedy = each.type === "kernel" && !each.replaceable ? " (there is no other for it)" : "";
  return `${each.status}: ${each.name}${remedy}${why}`;
}

function verdictText({ verdict, avoided, seconds, kernels }: Findings): string[] {
  const left = kernels.filter((each) => each.status === "skipped").length;
  const partly = kernels.filter((each) => each.status === "right" && each.rows < each.of).length;
  const words = {
    well: "All is well",
    incomplete: "Nothing wrong was found",
    faulty: "Something is wrong",
    interrupted: "Interrupted",
  }[verdict];
  const more = [
    ...(left > 0 ? [`${left} kernels were left out`] : []),
    ...(partly > 0 ? [`of ${partly} not all rows were run`] : []),
  ];
  const remedy = more.length > 0 ? `; ${more.join(", ")}: --budget gives more time` : "";
  const listed =
    avoided.kernels.length > 0
      ? [`From now on the engine avoids ${avoided.kernels.join(", ")} on this adapter (${avoided.file}).`]
      : [];
  return [`${words}, in ${seconds.toFixed(0)} s${remedy}.`, ...listed];
}
