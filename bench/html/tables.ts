/** The numbers behind each plot, as HTML tables that need no script. */

import { table } from "../../src/page/tables.ts";
import { type Column, columnsOf, KERNEL_COLUMNS, MODEL_COLUMNS, peerColumns, TRAIN_COLUMNS } from "../columns.ts";
import { milliseconds, percent } from "../numbers.ts";
import { profileByKernel } from "./figures.ts";
import type { Run } from "./runs.ts";

export function kernelTable({ kernels }: Run): string {
  return table(kernels, [{ name: "#", cell: (_, index) => String(index + 1) }, ...columnsOf(KERNEL_COLUMNS, true)]);
}

export function modelTable(runs: readonly Run[]): string {
  const rows = runs.flatMap(({ letter, models }) => models.map((row) => ({ ...row, letter })));
  return table(rows, [
    ...letterColumn(runs),
    ...columnsOf(MODEL_COLUMNS, true),
    { name: "tokens", cell: ({ tokens }) => String(tokens) },
    { name: "verified", text: true, cell: ({ check }) => check.how },
  ]);
}

export function trainTable(runs: readonly Run[]): string {
  const rows = runs.flatMap(({ letter, trainings }) => trainings.map((row) => ({ ...row, letter })));
  const verified: Column<(typeof rows)[number]> = { name: "verified", text: true, cell: ({ check }) => check.how };
  return table(rows, [...letterColumn(runs), ...columnsOf(TRAIN_COLUMNS, true), verified]);
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
    { name: "model", text: true, cell: ({ model }) => model },
    { name: "batch", text: true, cell: ({ batch }) => batch },
    ...peerColumns(),
    { name: "allowed", cell: ({ check }) => check.bound.toExponential(1) },
  ]);
}

function letterColumn(runs: readonly Run[]): Column<{ readonly letter: string }>[] {
  return runs.length > 1 ? [{ name: "run", text: true, cell: ({ letter }) => letter }] : [];
}
