/** What is examined on the adapter at hand: its modes and their kernels, the model that ships with the package, a quick bench. */

import { loadPretrained } from "../../src/bert/tasks/pretrained.ts";
import type { Folder } from "../../src/files/bytes.ts";
import { readText } from "../../src/files/bytes.ts";
import type { DeviceTraits, Scalar } from "../../src/kernels/kernel.ts";
import { type AdapterSummary, type OpenedDevice, traitsOf } from "../../src/runtime/device.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { copyTimes, measureCeilings } from "../ceilings.ts";
import { shapedTask } from "../kernel_cases.ts";
import { benchModel } from "../model.ts";
import type { CeilingRow, FailureRow, MeasuredRow } from "../rows.ts";
import { type CheckTable, kernelChecks } from "./checks.ts";
import type { EngineStep, Examination, KernelStep, ModeOf } from "./examine.ts";
import type { Finding, Mode, Status, Subject } from "./findings.ts";
import { checkGolden, type Golden } from "./golden.ts";

const MATRIX_FEATURE = "chromium-experimental-subgroup-matrix";

/** How devices are opened: in Node by Dawn. */
export interface Clinic {
  /** @param experiments whether matrix units are to be shown */
  open(experiments: boolean): Promise<OpenedDevice & { readonly adapter: AdapterSummary }>;
}

export interface PlanOptions {
  readonly tables: readonly CheckTable[];
  /** The shipped model, with its golden.json. */
  readonly model: Folder;
  /** Milliseconds in all; default: two minutes, five where the adapter is software, less what starting takes. */
  readonly budget?: number | undefined;
  /** Milliseconds of them that are spent. */
  readonly spent: number;
  readonly done: number;
  readonly faulty: readonly string[];
}

/** Of the budget, when the kernels that the engine launches by itself should be done: the model and the bench come next. */
const CHOSEN_SHARE = 0.45;
/** Milliseconds in all, for one row of a kernel, and for a model: a device that gives no answer by then hangs. */
const LIMITS = {
  hardware: { budget: 100_000, row: 20_000, step: 45_000 },
  software: { budget: 240_000, row: 60_000, step: 120_000 },
} as const;
/** Milliseconds for a row of the bench. */
const BENCH_BUDGET = 300;

/** What a mode needs: a device like those that its kernels get, and what they are chosen by. */
interface Opened {
  readonly mode: Mode;
  readonly dtype: Scalar;
  readonly experiments: boolean;
  readonly traits: DeviceTraits;
  readonly features: ReadonlySet<string>;
}

/** Opens devices to see what they have. @throws what opening one throws */
export async function planExamination(
  clinic: Clinic,
  { tables, model, budget: asked, spent, done, faulty }: PlanOptions,
): Promise<Examination & { readonly subject: Subject }> {
  const start = performance.now() - spent;
  const { subject, opened } = await look(clinic);
  const { software } = subject.adapter;
  const { row: limit, step, budget: usual } = LIMITS[software ? "software" : "hardware"];
  const budget = asked ?? usual;
  const modes = opened.map(({ mode, dtype, experiments, traits, features }): ModeOf => {
    const needs = mode.startsWith("units") ? MATRIX_FEATURE : undefined;
    return {
      mode,
      dtype,
      checks: kernelChecks(tables, traits, features, dtype, needs),
      async open() {
        const { device, close } = await clinic.open(experiments);
        return { device, close: close ?? (() => device.destroy()) };
      },
    };
  });
  const kernels = (chosen: boolean, until: number): KernelStep[] =>
    modes.flatMap((mode) =>
      mode.checks.filter((check) => check.chosen === chosen).map((check) => ({ mode, check, until })),
    );
  const end = start + budget;
  return {
    subject,
    steps: [
      ...kernels(true, start + budget * CHOSEN_SHARE),
      ...opened.map((of) => modelStep(clinic, model, of, step)),
      ...benchSteps(clinic, model, opened, software, step),
      ...kernels(false, end),
    ],
    end,
    limit,
    done,
    faulty,
  };
}

async function look(clinic: Clinic): Promise<{ subject: Subject; opened: Opened[] }> {
  const plain = await clinic.open(false);
  const { device, adapter } = plain;
  const features = new Set<string>(device.features);
  const traits = traitsOf(device, adapter);
  const limits = limitsOf(device.limits);
  plain.close?.();
  const opened: Opened[] = [{ mode: "f32", dtype: "f32", experiments: false, traits, features }];
  if (features.has("shader-f16")) opened.push({ mode: "f16", dtype: "f16", experiments: false, traits, features });
  const trial = await clinic.open(true);
  const own = traitsOf(trial.device, trial.adapter);
  const all = new Set<string>(trial.device.features);
  trial.close?.();
  const units = own.matrixUnits?.filter(({ resultType }) => resultType === "f32") ?? [];
  for (const dtype of ["f32", "f16"] as const) {
    if (!units.some(({ componentType }) => componentType === dtype)) continue;
    // as for a GPU: a software adapter's own choices leave its units alone
    const gpu = { ...own, software: false };
    opened.push({ mode: `units ${dtype}`, dtype, experiments: true, traits: gpu, features: all });
  }
  const subject = { adapter: trial.adapter, features: [...all].sort(), limits };
  return { subject, opened };
}

function limitsOf(limits: object): Record<string, number> {
  const all = limits as Readonly<Record<string, unknown>>;
  const found: Record<string, number> = {};
  for (const name in all) if (typeof all[name] === "number") found[name] = all[name];
  return found;
}

function openEngine(clinic: Clinic, { experiments, traits }: Opened): Promise<Engine> {
  const { limits: _, ...others } = traits;
  return Engine.create({ open: () => clinic.open(experiments), traits: others });
}

function modelStep(clinic: Clinic, folder: Folder, of: Opened, limit: number): EngineStep {
  const { mode, dtype } = of;
  const name = `the shipped model, ${mode}`;
  const fault = (status: Status, message: string): Finding => ({
    type: "model",
    name,
    mode,
    status,
    texts: 0,
    message,
  });
  return {
    name,
    mode,
    limit,
    fault,
    open: () => openEngine(clinic, of),
    async run(engine) {
      const text = await readText(folder, "golden.json");
      if (text === undefined) throw new Error(`${folder.name}: there is no golden.json to hold it against`);
      const pretrained = await loadPretrained(engine, folder, { dtype });
      const { texts, error, bound, faults } = await checkGolden(pretrained, JSON.parse(text) as Golden, dtype);
      const message = faults.length > 0 ? { message: faults.slice(0, 3).join("; ") } : {};
      return {
        type: "model",
        name,
        mode,
        status: faults.length > 0 ? "wrong" : "right",
        texts,
        error,
        bound,
        ...message,
      };
    },
  };
}

/** Ceilings, then in each mode a few matmuls and the shipped model: what the engine launches, verified first. */
function benchSteps(
  clinic: Clinic,
  folder: Folder,
  opened: readonly Opened[],
  software: boolean,
  limit: number,
): EngineStep[] {
  let ceilings: readonly CeilingRow[] = [];
  const step = (name: string, of: Opened, measure: (engine: Engine, rows: Rows) => Promise<void>): EngineStep => ({
    name,
    mode: of.mode,
    limit,
    open: () => openEngine(clinic, of),
    fault: (status, message) => ({ type: "bench", name, status, rows: [], message }),
    async run(engine) {
      const rows: Rows = [];
      await measure(engine, rows);
      const failed = rows.find((row) => row.type === "failure");
      return {
        type: "bench",
        name,
        status: failed ? "failed" : "right",
        rows,
        ...(failed && { message: failed.message }),
      };
    },
  });
  const sizes = software
    ? [[128, 384, 384]]
    : [
        [128, 768, 768],
        [128, 3072, 768],
        [2048, 2048, 2048],
      ];
  const batches = (software ? [1] : [1, 32]).map((batch) => ({ batch, tokens: 128 }));
  const options = (engine: Engine, rows: Rows) => ({
    budget: BENCH_BUDGET,
    ceilings,
    copyTime: copyTimes(engine, BENCH_BUDGET / 2),
    onRow: (row: MeasuredRow) => void rows.push(row),
    onProgress: () => {},
    onFailure: (name: string, { message }: Error) => void rows.push({ type: "failure", name, message }),
  });
  return [
    step("ceilings", opened[0]!, async (engine, rows) => {
      ceilings = await measureCeilings(engine, BENCH_BUDGET);
      rows.push(...ceilings);
    }),
    ...opened.flatMap((of) => [
      step(`matmul, ${of.mode}`, of, async (engine, rows) => {
        for (const size of sizes) {
          const task = shapedTask("matmul", size, engine.traits);
          await task.measure(engine, (_, place) => place === 0, of.dtype, options(engine, rows));
        }
      }),
      step(`movie-bert, ${of.mode}`, of, (engine, rows) =>
        benchModel(engine, { name: "movie-bert", folder, dtype: of.dtype }, batches, options(engine, rows)),
      ),
    ]),
  ];
}

type Rows = (MeasuredRow | FailureRow)[];
