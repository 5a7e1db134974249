/** The numbers behind each plot, as HTML tables that need no script. */

import { milliseconds, percent, short } from "../numbers.ts";
import type { KernelRow } from "../rows.ts";
import { profileByKernel } from "./figures.ts";
import type { Run } from "./runs.ts";

/** A cell: text as it is, numbers to the right. */
export interface Column<T> {
  readonly name: string;
  /** Text reads from the left, numbers from the right. */
  readonly text?: true;
  cell(row: T, index: number): string;
}

export function kernelTable({ kernels }: Run): string {
  return table(kernels, [
    { name: "#", cell: (_, index) => String(index + 1) },
    { name: "kernel", text: true, cell: ({ kernel, variant }) => `${kernel} ${variant}`.trim() },
    ...chosenColumn(kernels),
    { name: "shape", text: true, cell: ({ shape }) => shape },
    { name: "type", text: true, cell: ({ dtype }) => dtype },
    { name: "p50 ms", cell: ({ timing }) => milliseconds(timing.p50) },
    { name: "min ms", cell: ({ timing }) => milliseconds(timing.min) },
    { name: "noise", cell: ({ timing }) => percent(timing.noise) },
    { name: "GFLOP/s", cell: ({ flops, flopsPerSecond }) => (flops > 0 ? short(flopsPerSecond / 1e9) : "–") },
    { name: "GB/s", cell: ({ bytesPerSecond }) => short(bytesPerSecond / 1e9) },
    { name: "/ copy", cell: ({ copyMs, timing }) => (copyMs === undefined ? "–" : short(timing.p50 / copyMs)) },
    { name: "of ceiling", cell: ({ share }) => percent(share) },
    { name: "bound by", text: true, cell: ({ boundBy }) => boundBy },
    { name: "clock", text: true, cell: ({ timing }) => timing.clock },
    { name: "verified", text: true, cell: ({ check }) => check.how },
  ]);
}

export function modelTable(runs: readonly Run[]): string {
  const rows = runs.flatMap(({ letter, models }) => models.map((row) => ({ ...row, letter })));
  return table(rows, [
    ...letterColumn(runs),
    { name: "model", text: true, cell: ({ model }) => model },
    { name: "batch", text: true, cell: ({ batch }) => batch },
    { name: "type", text: true, cell: ({ dtype }) => dtype },
    { name: "tokens", cell: ({ tokens }) => String(tokens) },
    { name: "p50 ms", cell: ({ timing }) => milliseconds(timing.p50) },
    { name: "p90 ms", cell: ({ timing }) => milliseconds(timing.p90) },
    { name: "min ms", cell: ({ timing }) => milliseconds(timing.min) },
    { name: "noise", cell: ({ timing }) => percent(timing.noise) },
    { name: "seq/s", cell: ({ sequencesPerSecond }) => short(sequencesPerSecond) },
    { name: "GFLOP/s", cell: ({ flopsPerSecond }) => short(flopsPerSecond / 1e9) },
    { name: "of ceiling", cell: ({ share }) => percent(share) },
    { name: "GPU ms", cell: ({ gpu }) => (gpu ? milliseconds(gpu.ms) : "–") },
    { name: "first ms", cell: ({ firstRun }) => milliseconds(firstRun) },
    { name: "GPU MB", cell: ({ gpuBytes }) => short(gpuBytes / 1e6) },
    { name: "verified", text: true, cell: ({ check }) => check.how },
  ]);
}

export function shareTable(runs: readonly Run[]): string {
  const rows = runs.flatMap(({ letter, models }) =>
    models.flatMap(({ model, batch, dtype, gpu }) => {
      const byKernel = profileByKernel(gpu?.kernels ?? []);
      return byKernel.map((part) => ({ ...part, letter, model, batch, dtype }));
    }),
  );
  return table(rows, [
    ...letterColumn(runs),
    { name: "model", text: true, cell: ({ model }) => model },
    { name: "batch", text: true, cell: ({ batch }) => batch },
    { name: "type", text: true, cell: ({ dtype }) => dtype },
    { name: "kernel", text: true, cell: ({ label }) => label },
    { name: "launches", cell: ({ calls }) => String(calls) },
    { name: "GPU ms", cell: ({ ms }) => milliseconds(ms) },
    { name: "share", cell: ({ share }) => percent(share) },
  ]);
}

export function peerTable(runs: readonly Run[]): string {
  const rows = runs.flatMap(({ letter, peers }) => peers.map((row) => ({ ...row, letter })));
  return table(rows, [
    ...letterColumn(runs),
    { name: "engine", text: true, cell: ({ peer }) => peer },
    { name: "asked through", text: true, cell: ({ kind }) => (kind === "cpu" ? "CPU" : "WebGPU") },
    { name: "adapter", text: true, cell: ({ adapter }) => adapter },
    { name: "model", text: true, cell: ({ model }) => model },
    { name: "batch", text: true, cell: ({ batch }) => batch },
    { name: "median ms", cell: ({ timing }) => milliseconds(timing.median) },
    { name: "min ms", cell: ({ timing }) => milliseconds(timing.min) },
    { name: "max ms", cell: ({ timing }) => milliseconds(timing.max) },
    { name: "runs", cell: ({ timing }) => String(timing.n) },
    { name: "seq/s", cell: ({ sequencesPerSecond }) => short(sequencesPerSecond) },
    { name: "cold answer ms", cell: ({ firstAnswerColdMs }) => milliseconds(firstAnswerColdMs) },
    { name: "peak MB", cell: ({ peakBytes }) => short(peakBytes / 1e6) },
    {
      name: "error",
      text: true,
      cell: ({ check: { error, bound } }) => `${error.toExponential(1)} of ${bound.toExponential(1)} allowed`,
    },
  ]);
}

/** Results of before this was told have none that is chosen. */
function chosenColumn(kernels: Run["kernels"]): Column<Pick<KernelRow, "chosen">>[] {
  if (!kernels.some(({ chosen }) => chosen)) return [];
  return [{ name: "engine's choice", text: true, cell: ({ chosen }) => (chosen ? "yes" : "") }];
}

function letterColumn(runs: readonly Run[]): Column<{ readonly letter: string }>[] {
  return runs.length > 1 ? [{ name: "run", text: true, cell: ({ letter }) => letter }] : [];
}

export function table<T>(rows: readonly T[], columns: readonly Column<NoInfer<T>>[]): string {
  const side = ({ text }: Column<T>): string => (text ? ' class="text"' : "");
  const head = columns.map((column) => `<th scope="col"${side(column)}>${escapeHtml(column.name)}</th>`);
  const body = rows.map((row, index) => {
    const cells = columns.map((column) => `<td${side(column)}>${escapeHtml(column.cell(row, index))}</td>`);
    return `<tr>${cells.join("")}</tr>`;
  });
  return `<div class="table" tabindex="0" role="region" aria-label="table of numbers"><table>
<thead><tr>${head.join("")}</tr></thead>
<tbody>
${body.join("\n")}
</tbody></table></div>`;
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
