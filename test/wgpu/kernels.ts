/** Every row of the tables of test/cases.ts against its CPU twin, by the tests' own bounds, with raw WebGPU. */

import { attentionKernelFor } from "../../src/kernels/attention/attention.ts";
import type { DeviceTraits, Kernel, Scalar } from "../../src/kernels/kernel.ts";
import { type MatmulShape, matmulKernelOf } from "../../src/kernels/matmul/matmul.ts";
import { matmulCandidates, matmulKernelFor } from "../../src/kernels/matmul/matmul_choice.ts";
import type { Outputs } from "../../src/kernels/reference/twins.ts";
import { adapterSummary, infoOf } from "../../src/runtime/device.ts";
import * as cases from "../cases.ts";
import { check } from "../kernels/harness.ts";
import { add, attempt, inWords, type Tally, tally } from "./tally.ts";

interface AnyShape {
  readonly dtype: Scalar;
}
type Table = cases.CaseTable<AnyShape>;

/** Numbers of inputs. Of rows with more, BERT-base's widest, the CPU twin takes seconds. */
const MOST_INPUTS = 2 ** 19;

/** Which rows to check. */
export interface Extent {
  readonly dtype: Scalar;
  /** All of them, which takes minutes. Else rows take f32 and f16 in turn, and those with the most inputs are skipped. */
  readonly all: boolean;
}

/** Each table's own kernels, and what the engine chooses on such a device, by its own traits and by those of a GPU. */
export async function checkKernels(device: GPUDevice, extent: Extent): Promise<Tally> {
  const { subgroupMinSize, subgroupMaxSize } = infoOf(device);
  const { software, vendor } = adapterSummary(infoOf(device));
  const own: DeviceTraits = {
    limits: device.limits,
    software,
    vendor,
    // Also where the device lacks the feature: kernels that need it are then counted as skipped.
    ...(subgroupMinSize !== undefined && subgroupMinSize === subgroupMaxSize && { subgroupSize: subgroupMinSize }),
  };
  const all = tally();
  for (const { name, table } of tables(own, extent)) add(all, await checkTable(device, name, table, extent, own));
  return all;
}

function tables(own: DeviceTraits, { all }: Extent): { name: string; table: Table }[] {
  const both = [own, { ...own, software: false }];
  const { matmulCases, attentionCases } = cases;
  const widened: Readonly<Record<string, Table>> = {
    matmulCases: withKernels(matmulCases, (shape) => both.flatMap((traits) => chosenMatmuls(shape, traits, all))),
    attentionCases: withKernels(attentionCases, (shape) => both.map((traits) => attentionKernelFor(shape, traits))),
  };
  return Object.entries(cases).flatMap(([name, value]) =>
    typeof value === "object" && "cases" in value ? [{ name, table: widened[name] ?? value }] : [],
  );
}

/** On many rows also what tuning would try: all of it, or the first beside the engine's choice, a GPU's largest tile. */
function chosenMatmuls(shape: MatmulShape, traits: DeviceTraits, all: boolean): Kernel<MatmulShape>[] {
  if (shape.m <= 128 && !all) return [matmulKernelFor(shape, traits)];
  const configs = matmulCandidates(shape, traits);
  return configs.slice(0, all ? undefined : 2).map((config) => matmulKernelOf(config, shape.k % 4 === 0));
}

function withKernels<S extends AnyShape>(
  table: cases.CaseTable<S>,
  more: (shape: S) => readonly Kernel<S>[],
): cases.CaseTable<S> {
  return { ...table, kernels: (shape, traits) => [...table.kernels(shape, traits), ...more(shape)] };
}

async function checkTable(
  device: GPUDevice,
  name: string,
  table: Table,
  { dtype, all }: Extent,
  traits: DeviceTraits,
): Promise<Tally> {
  const counts = tally();
  const reasons = new Set<string>();
  const started = performance.now();
  const everyRow = all || !device.features.has("shader-f16");
  for (const [row, of] of [...table.cases, ...table.typical].entries()) {
    if (!everyRow && turnOf(row) !== dtype) continue;
    const shape = { ...of.shape, dtype };
    // The twin takes longest, and all kernels are held against the same one.
    let expected: Outputs | undefined;
    const reference: Table["reference"] = (...given) => {
      expected ??= table.reference(...given);
      return expected;
    };
    const large = !all && inputsOf(of) > MOST_INPUTS;
    for (const kernel of distinct(table.kernels(shape, traits), shape, traits)) {
      const needed = [...(kernel.features ?? []), ...(dtype === "f16" ? ["shader-f16"] : [])];
      const lacking = needed.filter((feature) => !device.features.has(feature));
      if (large || lacking.length > 0) {
        counts.skipped++;
        reasons.add(large ? `more than ${MOST_INPUTS} inputs` : `no ${lacking.join(", ")}`);
        continue;
      }
      const { constants } = kernel.plan(shape, traits.limits);
      const what = `${kernel.name} ${JSON.stringify(shape)} ${JSON.stringify(constants)}`;
      await attempt(counts, what, () => check(device, kernel, { ...table, reference }, of, dtype));
    }
  }
  const why = reasons.size > 0 ? ` (${[...reasons].join("; ")})` : "";
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${name} ${dtype}: ${inWords(counts)}${why}, ${seconds} s`);
  return counts;
}

/** By pairs, since many tables give a length two rows that differ in a flag. */
function turnOf(row: number): Scalar {
  return Math.floor(row / 2) % 2 === 0 ? "f32" : "f16";
}

function inputsOf(of: Table["cases"][number]): number {
  return Object.values(of.inputs(cases.randomNumbers(1))).reduce((sum, { length }) => sum + length, 0);
}

/** Without those that are the same program on this shape. */
function distinct(kernels: readonly Kernel<AnyShape>[], shape: AnyShape, { limits }: DeviceTraits): Kernel<AnyShape>[] {
  const programs = kernels.map(
    (kernel) => [JSON.stringify([kernel.name, kernel.plan(shape, limits)]), kernel] as const,
  );
  return [...new Map(programs).values()];
}
