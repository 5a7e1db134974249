/** The table for people: of equal kernels a line, whichever models and passes launch them. */

import type { Mix } from "./assembly.ts";
import { FAMILIES, type Family } from "./families.ts";
import type { IsaRow, IsaTable } from "./rows.ts";

const HEADING = [
  "kernel",
  "storage",
  "launches",
  "registers",
  "spilled",
  "subgroups a SIMD",
  "math of its inner loop",
  "math of a turn of the main loop",
  "bytes a multiply-add",
];

export function isaMarkdown({ driver, rows, failures }: IsaTable, command: string): string {
  const families = (Object.keys(FAMILIES) as Family[]).filter((family) => rows.some((row) => row.family === family));
  return [
    "# What a GPU's compiler makes of the kernels",
    "",
    `${driver}, by \`${command}\`. Figures are a compiler's, of GPUs that were not there: they tell wasted instructions, not`,
    "milliseconds. A turn of the main loop, over k or over keys, has the loops inside it as often as they turn; its math is",
    "the share of fused multiply-adds, or of matrix products, in its instructions; `>=` where turns could not be read and",
    "count once, so that the share is less. Bytes are what a thread reads of workgroup memory for a multiply-add.",
    ...families.flatMap((family) => ["", `## ${FAMILIES[family]} (${family})`, "", ...tableOf(rows, family)]),
    ...(failures.length > 0 ? ["", "## Not compiled", "", ...failures.map(failureText)] : []),
    "",
  ].join("\n");
}

function failureText({ family, launch, fault }: IsaTable["failures"][number]): string {
  return `- ${family}: ${launch}: ${fault}`;
}

function tableOf(all: readonly IsaRow[], family: Family): string[] {
  const lines = new Map<string, { row: IsaRow; shapes: Set<string> }>();
  for (const row of all) {
    if (row.family !== family) continue;
    const key = JSON.stringify([row.kernel, row.dtype, row.units, cellsOf(row)]);
    const line = lines.get(key) ?? { row, shapes: new Set<string>() };
    line.shapes.add(`${row.launch.slice(row.kernel.length).trim()}`);
    lines.set(key, line);
  }
  const sorted = [...lines.values()].sort((a, b) => (a.row.kernel + a.row.dtype < b.row.kernel + b.row.dtype ? -1 : 1));
  return [
    `| ${HEADING.join(" | ")} |`,
    `|${HEADING.map(() => "---").join("|")}|`,
    ...sorted.map(
      ({ row, shapes }) => `| ${[row.kernel, row.dtype, shapesText(shapes), ...cellsOf(row)].join(" | ")} |`,
    ),
  ];
}

/** The first few. */
function shapesText(shapes: ReadonlySet<string>): string {
  const [first, second, ...others] = shapes;
  return [first, second].filter(Boolean).join(", ") + (others.length > 0 ? ` and ${others.length} more` : "");
}

function cellsOf({ vectorRegisters, spilled, subgroupsPerSimd, loop }: IsaRow): string[] {
  const resources = [vectorRegisters, spilled, subgroupsPerSimd].map(String);
  if (!loop) return [...resources, "", "", ""];
  const { inner, macs, workgroupBytes, unknownTurns } = loop;
  const turn = `${unknownTurns > 0 ? ">= " : ""}${mathText(loop)}`;
  return [...resources, mathText(inner), turn, (workgroupBytes / macs).toFixed(2)];
}

function mathText({ all, math, matrixProducts }: Mix): string {
  const share =
    matrixProducts > 0 ? `1 product in ${(all / matrixProducts).toFixed(0)}` : `${Math.round((100 * math) / all)}%`;
  return `${math} of ${all} (${share})`;
}
