/**
 * Which kernels are checked on a device, and on which rows: those of the tests' tables, with all that the engine or its
 * tuner could choose there.
 */

import type { DeviceTraits, Kernel, Scalar } from "../../src/kernels/kernel.ts";
import type { Outputs } from "../../src/kernels/reference/twins.ts";
import { alternativesTo } from "../../src/kernels/substitutes.ts";
import { variantName } from "../../src/kernels/variant.ts";
import * as backward from "../../test/backward_cases.ts";
import type { CaseTable } from "../../test/case.ts";
import * as forward from "../../test/cases.ts";
import * as decoding from "../../test/generation_cases.ts";
import { check, type Worst } from "../../test/kernels/harness.ts";

export interface AnyShape {
  readonly dtype: Scalar;
}

/** Of kernels that compute the same. */
export type CheckTable = Omit<CaseTable<AnyShape>, "typical"> & Partial<Pick<CaseTable<AnyShape>, "typical">>;

/** A kernel and all rows that it is held against its CPU twin on, the most telling first. */
export interface KernelCheck {
  /** As `variantName` has it: what goes on an adapter's list. */
  readonly name: string;
  /** Of the .wgsl. */
  readonly kernel: string;
  /** Whether the engine launches it here by itself, for any of the rows; the others are chosen by tuning, or in place of it. */
  readonly chosen: boolean;
  /** Whether another can be launched in its place. */
  readonly replaceable: boolean;
  readonly rows: readonly KernelCheckRow[];
}

export interface KernelCheckRow {
  /** The shape, as JSON. */
  readonly shape: string;
  /** @throws Error when it is wrong, does not compile, or the device is lost */
  run(device: GPUDevice): Promise<Worst>;
}

/** Numbers of inputs. Of rows with more the CPU twin takes seconds. */
const MOST_INPUTS = 2 ** 20;

/** All tables of the tests but those of the optimizer, which has none. */
export function allTables(): CheckTable[] {
  return [...Object.values(forward), ...Object.values(decoding), ...Object.values(backward)].flatMap((value) =>
    typeof value === "object" && "cases" in value ? [value as unknown as CheckTable] : [],
  );
}

/**
 * The kernels of a type of storage on a device with these traits and features.
 * @param needs a feature without which a kernel is left out
 */
export function kernelChecks(
  tables: readonly CheckTable[],
  traits: DeviceTraits,
  features: ReadonlySet<string>,
  dtype: Scalar,
  needs?: string,
): KernelCheck[] {
  const checks = new Map<string, KernelCheck & { readonly rows: KernelCheckRow[] }>();
  const suits = (kernel: Kernel<AnyShape>): boolean => {
    const own = kernel.features ?? [];
    return own.every((feature) => features.has(feature)) && (needs === undefined || own.includes(needs));
  };
  for (const table of tables) {
    const rows = [...table.cases, ...(table.typical ?? [])].filter((of) => inputsOf(of) <= MOST_INPUTS);
    for (const of of rows.reverse()) {
      const shape = { ...of.shape, dtype };
      const whole = { typical: [], ...table, reference: once(table.reference) };
      const own = table.kernels(shape, traits);
      const alternatives = new Map(own.map((kernel) => [kernel.name, alternativesTo(kernel, shape, traits)]));
      const others = [...alternatives.values()].flat();
      const plans = new Map<string, Kernel<AnyShape>>();
      for (const kernel of [...own, ...others].filter(suits)) {
        const plan = planOf(kernel, shape, traits);
        if (plan !== undefined && !plans.has(plan)) plans.set(plan, kernel);
      }
      const first = others.find((kernel) => planOf(kernel, shape, traits) !== undefined);
      const choice = first && planOf(first, shape, traits);
      for (const [plan, kernel] of plans) {
        const name = variantName(kernel, shape, traits.limits);
        const replaceable = others.length > 1;
        const found = checks.get(name) ?? { name, kernel: kernel.name, replaceable, chosen: false, rows: [] };
        checks.set(name, { ...found, chosen: found.chosen || !replaceable || plan === choice });
        found.rows.push({
          shape: JSON.stringify(of.shape),
          run: (device) => check(device, kernel, whole, of, dtype),
        });
      }
    }
  }
  return [...checks.values()];
}

/** What tells two launches apart; `undefined` where the kernel does not take the shape. */
function planOf(kernel: Kernel<AnyShape>, shape: AnyShape, { limits }: DeviceTraits): string | undefined {
  try {
    return JSON.stringify([kernel.name, kernel.plan(shape, limits)]);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** The twin takes longest, and all kernels of a row are held against the same one. Kept for as long as the row is. */
function once(reference: CheckTable["reference"]): CheckTable["reference"] {
  let outputs: Outputs | undefined;
  return (...given) => {
    outputs ??= reference(...given);
    return outputs;
  };
}

/** Counted without making any. */
function inputsOf(of: CheckTable["cases"][number]): number {
  const zeros = { values: (count: number) => new Float64Array(count), integer: () => 0 };
  return Object.values(of.inputs(zeros)).reduce((sum, { length }) => sum + length, 0);
}
