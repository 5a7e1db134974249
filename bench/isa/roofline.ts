/** What BERT-base should take on GPUs that were not there: from the table of their like, and from what is published of them. */

import { percent } from "../numbers.ts";
import { MODEL_SHAPES } from "../random_model.ts";
import type { PredictionRow } from "../rows.ts";
import type { IsaRow, IsaTable } from "./rows.ts";

export interface Card {
  readonly name: string;
  /** Multiply-adds counted as two, a second: by plain instructions, and by matrix units with f16 and sums in f32. */
  readonly flops: number;
  readonly unitFlops?: number;
  /** Bytes a second. */
  readonly bandwidth: number;
  /** What a workgroup runs on: compute units, cores, multiprocessors. */
  readonly cores: number;
  /** Who says so. */
  readonly source: string;
}

/** Peaks as their makers publish them, where they do. */
export const CARDS: readonly Card[] = [
  {
    name: "7900 XTX",
    flops: 30.7e12,
    unitFlops: 122.8e12,
    bandwidth: 960e9,
    cores: 96,
    source:
      "AMD's product page: 61.4 TFLOP/s in f32, which counts two instructions at a time (the table has hardly any such: half of it), 122.8 in f16, 960 GB/s, 96 compute units",
  },
  {
    name: "M3 Max",
    flops: 14.2e12,
    bandwidth: 400e9,
    cores: 40,
    source:
      "Apple: 40 cores, 400 GB/s; it publishes no TFLOP/s: 40 cores x 128 lanes x 2 x 1.38 GHz, as others measured the clock",
  },
  {
    name: "RTX 4090",
    flops: 82.6e12,
    unitFlops: 165.2e12,
    bandwidth: 1008e9,
    cores: 128,
    source: "NVIDIA's Ada whitepaper: 82.6 TFLOP/s in f32, 165.2 in f16 with sums in f32 (dense), 1008 GB/s, 128 SMs",
  },
  {
    name: "H200",
    flops: 67e12,
    unitFlops: 989e12,
    bandwidth: 4800e9,
    cores: 132,
    source:
      "NVIDIA's datasheet: 67 TFLOP/s in f32, 989 in f16 (dense: half of what it says with sparsity), 4.8 TB/s, 132 SMs",
  },
];

/** Seconds between two launches that follow each other: what WebGPU's barriers cost is not published; 2 to 5 us is usual. */
const LAUNCH = 3e-6;
/** Cycles of RDNA3 for a product of 16 x 16 x 16 in f16; any other instruction takes about one. */
const PRODUCT_CYCLES = 32;

/** One launch: the longer of arithmetic and memory, and what a launch costs. */
export function launchSeconds(row: IsaRow, card: Card): number {
  const fill = row.workgroups / (Math.ceil(row.workgroups / card.cores) * card.cores);
  const peak = row.units ? (card.unitFlops ?? card.flops) : card.flops;
  const arithmetic = row.flops / (peak * mathShare(row) * fill);
  return Math.max(arithmetic, row.bytes / card.bandwidth) + LAUNCH;
}

/** Of the time that the peak would need, by the instructions beside the multiply-adds. */
export function mathShare({ loop }: Pick<IsaRow, "loop">): number {
  if (loop === undefined) return 1;
  const { all, math, matrixProducts } = loop.unknownTurns > 0 ? loop.inner : loop;
  if (matrixProducts === 0) return math / all;
  const cycles = matrixProducts * PRODUCT_CYCLES;
  return cycles / (cycles + all - matrixProducts);
}

/**
 * Rows as `bench model` has them, for `bench --compare`: BERT-base alone and 32 texts of 128 tokens, in f32 and in f16; and
 * with the matmuls in f16 that the table has on matrix units, which bench does not choose by itself.
 */
export function predict({ rows }: Pick<IsaTable, "rows">, card: Card): PredictionRow[] {
  const { layers, hidden } = MODEL_SHAPES.base;
  return (["f32", "f16", "units"] as const).flatMap((mode) =>
    [1, 32].flatMap((batch): PredictionRow[] => {
      const dtype = mode === "f32" ? "f32" : "f16";
      const of = rows.filter(
        (row) =>
          row.family === "navi31" &&
          row.model === "base" &&
          row.pass === "forward" &&
          row.dtype === dtype &&
          row.batch === batch,
      );
      const units = of.filter((row) => row.units);
      if (of.length === 0 || (mode === "units" && (units.length === 0 || card.unitFlops === undefined))) return [];
      const plain = of.filter((row) => !row.units);
      const onUnits = (row: IsaRow): IsaRow => units.find((other) => sizesOf(other) === sizesOf(row)) ?? row;
      const launches = mode === "units" ? plain.map(onUnits) : plain;
      const seconds = launches.reduce((sum, row) => sum + row.count * launchSeconds(row, card), 0);
      const flops = launches.reduce((sum, row) => sum + row.count * row.flops, 0);
      const ms = 1e3 * seconds;
      const peak = mode === "units" ? card.unitFlops! : card.flops;
      return [
        {
          type: "prediction",
          model: `base ${layers}x${hidden}${mode === "units" ? " on matrix units" : ""}`,
          batch: `${batch} x 128`,
          dtype,
          timing: { clock: "gpu", repeats: 0, min: ms, p50: ms, p90: ms, noise: 0 },
          flops,
          launches: launches.reduce((sum, { count }) => sum + count, 0),
          how: `${percent(flops / seconds / peak)} of ${(peak / 1e12).toFixed(1)} TFLOP/s`,
        },
      ];
    }),
  );
}

/** A line of docs/gpu.md: milliseconds of one text and of 32, in f32, in f16, and with matmuls on matrix units. */
export function predictionLine({ name }: Card, predicted: readonly PredictionRow[]): string {
  const cell = (dtype: string, units: boolean): string =>
    predicted
      .filter((row) => row.dtype === dtype && row.model.includes("matrix units") === units)
      .map(({ timing }) => timing.p50.toPrecision(2))
      .join(", ");
  return `| ${name} | ${cell("f32", false)} | ${cell("f16", false)} | ${cell("f16", true) || "not published"} |`;
}

/** `128x2304x768` of a matmul. */
function sizesOf({ kernel, launch }: IsaRow): string {
  return kernel.startsWith("matmul") ? launch.slice(kernel.length) : launch;
}
