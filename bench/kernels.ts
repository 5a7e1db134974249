/** Kernels one by one: each is held against its CPU twin, by the bound of the tests, and only then timed. */

import { bindingsOf, type Kernel, type Scalar } from "../src/kernels/kernel.ts";
import { variantOf } from "../src/kernels/variant.ts";
import type { Engine } from "../src/runtime/engine.ts";
import type { OutputData } from "../src/runtime/program.ts";
import type { Recorder, Ref } from "../src/runtime/recorder.ts";
import type { DType, InputData, Tensor } from "../src/runtime/tensor.ts";
import type { Bound, Case, CaseTable } from "../test/cases.ts";
import { type CaseData, caseData, encode, type Work, workOf } from "./case_data.ts";
import { type CopyTime, tensorOf } from "./ceilings.ts";
import { type CeilingRow, type Check, ceilingOf, type KernelRow } from "./rows.ts";
import { type Timing, timeLaunch, type Watch } from "./timing.ts";

export interface KernelBenchOptions {
  /** Milliseconds for a row. */
  readonly budget: number;
  readonly ceilings: readonly CeilingRow[];
  /** What the kernels that move bytes more than they compute are held against. */
  readonly copyTime: CopyTime;
  readonly onRow: (row: KernelRow) => void;
  /** Called with what begins, and awaited: a page can draw meanwhile. */
  readonly onProgress: (text: string) => void | Promise<void>;
  /** Called for a kernel that fails or computes wrongly: it is not timed. */
  readonly onFailure: (name: string, error: Error) => void;
  /** Watches the rest of the machine while a kernel is timed. */
  readonly watch?: Watch;
  /** Ends the measuring before the next kernel; what was measured stays. */
  readonly signal?: AbortSignal;
}

/** Whether to measure a kernel: by its name, and its place among the kernels of a task. */
export type Select = (name: string, place: number) => boolean;

/** A table of cases of one operation, which may say whose its first kernel is. */
export interface BenchTable<S extends { readonly dtype: Scalar }> extends CaseTable<S> {
  /** `matmul`, whichever kernels do it. */
  readonly operation: string;
  /** Whether the first of its kernels is the one that the engine launches on this device: its row says so. */
  readonly engineFirst?: boolean;
}

/** A case and the kernels that compute it, whatever the type of its shape. */
export interface KernelTask {
  readonly operation: string;
  /** Their names, those of f32 before the ones that f16 has beside them. A name may come twice, with two tiles. */
  readonly kernels: readonly string[];
  /** Verifies and times the kernels that are selected. */
  measure(engine: Engine, select: Select, dtype: Scalar, options: KernelBenchOptions): Promise<void>;
  /** The first of them, and beside it one made of them; on the same sizes with these options. */
  beside(options: Readonly<Record<string, unknown>>, make: MakeKernel): KernelTask;
}

export type MakeKernel = <S extends { readonly dtype: Scalar }>(own: readonly Kernel<S>[], shape: S) => Kernel<S>;

export function kernelTask<S extends { readonly dtype: Scalar }>(table: BenchTable<S>, of: Case<S>): KernelTask {
  const shapeOf = (dtype: Scalar): S => ({ ...of.shape, dtype }) as unknown as S;
  const namesIn = (dtype: Scalar): string[] => table.kernels(shapeOf(dtype)).map(({ name }) => name);
  const [names, namesInF16] = [namesIn("f32"), namesIn("f16")];
  const { operation } = table;
  return {
    operation,
    kernels: [...names, ...namesInF16.filter((name) => !names.includes(name))],
    async measure(engine, select, dtype, options) {
      const shape = shapeOf(dtype);
      const all = table.kernels(shape);
      const kernels = all.filter(({ name }, place) => select(name, place));
      if (kernels.length === 0) return tellOfOther(dtype, dtype === "f32" ? namesInF16 : names, select, options);
      await options.onProgress(`${kernels[0]!.name}: on the CPU`);
      if (options.signal?.aborted) return; // a page hears of a click while it waits
      const data = caseData(kernels[0]!, shape, of);
      const expected = table.reference(shape, { ...data.values, ...zerosOf(data) });
      const tensors = new Map(
        [...data.stored].map(([name, { dtype, data }]) => [name, tensorOf(engine, name, data, dtype)]),
      );
      for (const kernel of kernels) {
        let name = kernel.name;
        try {
          const plan = kernel.plan(shape, engine.device.limits);
          const subject = { kernel: kernel.name, variant: variantOf(plan), shape: plan.label, dtype };
          name = Object.values(subject).filter(Boolean).join(" ");
          await options.onProgress(name);
          if (options.signal?.aborted) break;
          const launch = { kernel, shape, tensors, outputs: data.outputs };
          const check = verify(await runOnce(engine, launch), expected, of.bound(dtype));
          const record = (r: Recorder): void =>
            addTo(r, launch, (name, size, dtype) => r.temporary(name, [size], dtype));
          const timing = await timeLaunch(engine, name, record, options.budget, options.watch);
          const work = workOf(operation, shape, data);
          // Not of matmuls, which move too few bytes for what they compute.
          const isMatmul = operation.startsWith("matmul");
          const copyMs = isMatmul ? undefined : await options.copyTime(work.bytes, timing.clock);
          options.onRow({
            ...rowOf(subject, check, timing, work, options.ceilings),
            ...(copyMs !== undefined && { copyMs }),
            ...(table.engineFirst && kernel === all[0] && { chosen: true }),
          });
        } catch (error) {
          options.onFailure(name, error as Error);
        }
      }
      for (const tensor of tensors.values()) tensor.dispose();
    },
    beside(options, make) {
      const kernels = (shape: S): Kernel<S>[] => {
        const own = table.kernels(shape);
        return [own[0]!, make(own, shape)];
      };
      return kernelTask({ ...table, kernels }, { ...of, shape: { ...of.shape, ...options } });
    },
  };
}

/** A kernel that was asked for by name, and that this device has for the other type alone. */
function tellOfOther(dtype: Scalar, others: readonly string[], select: Select, options: KernelBenchOptions): void {
  const asked = others.filter(select);
  if (asked.length === 0) return;
  const other = dtype === "f32" ? "f16" : "f32";
  const error = new Error(`this device has it for ${other} alone: ask for --dtype ${other}`);
  options.onFailure(`${[...new Set(asked)].join(", ")} ${dtype}`, error);
}

interface Launch<S> {
  readonly kernel: Kernel<S>;
  readonly shape: S;
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly outputs: CaseData["outputs"];
}

/** @param output places what the kernel writes */
function addTo<S>(
  r: Recorder,
  { kernel, shape, tensors, outputs }: Launch<S>,
  output: (name: string, size: number, dtype: DType) => Ref,
): void {
  const refs = outputs.map(({ name, size, dtype }) => [name, output(name, size, dtype)] as const);
  const bound = new Set(bindingsOf(kernel.source).map(({ name }) => name)); // a kernel may do without an operand
  const operands = [...tensors, ...refs].filter(([name]) => bound.has(name));
  r.dispatch(kernel, shape, Object.fromEntries<Tensor | Ref>(operands));
}

/** One launch onto zeros, as the CPU twins start from: what a kernel fails to write shows. */
async function runOnce<S>(engine: Engine, launch: Launch<S>): Promise<Record<string, OutputData>> {
  const program = await engine.record(launch.kernel.name, (r) => {
    const refs = new Map<string, Ref>();
    addTo(r, launch, (name, size, dtype) => {
      refs.set(name, r.input(name, [size], dtype));
      return refs.get(name)!;
    });
    for (const [name, ref] of refs) r.output(name, ref);
  });
  return program.run(zerosOf(launch));
}

function zerosOf({ outputs }: Pick<CaseData, "outputs">): Record<string, InputData> {
  return Object.fromEntries(outputs.map(({ name, size, dtype }) => [name, encode(new Uint8Array(size), dtype)]));
}

/**
 * Holds every element against the expected one. Where that is NaN the CPU has not computed it, and any finite one will do.
 * An error is told in the unit that bounds it: relative to the expected number where that is most of the bound.
 * @throws Error for an element that is not finite, or the one that is furthest off and the first that is wrong
 */
export function verify(
  actual: Readonly<Record<string, ArrayLike<number>>>,
  expected: Readonly<Record<string, ArrayLike<number>>>,
  { absolute, relative }: Bound,
): Check {
  let first = "";
  let wrong = 0;
  let worst = { share: -1, error: 0, bound: 0, size: 0, what: "" };
  let [compared, total] = [0, 0];
  for (const [name, wanted] of Object.entries(expected)) {
    const got = actual[name]!;
    total += wanted.length;
    for (let i = 0; i < wanted.length; i++) {
      const want = wanted[i]!;
      if (!Number.isFinite(got[i])) throw new Error(`${name}[${i}] is ${got[i]}, it must be ${want || "finite"}`);
      if (Number.isNaN(want)) continue;
      compared++;
      const [error, size] = [Math.abs(got[i]! - want), Math.abs(want)];
      const bound = absolute + relative * size;
      const share = error === 0 ? 0 : error / bound;
      if (share > 1 && ++wrong === 1) first = `${name}[${i}] is ${got[i]}, it must be ${want}`;
      if (share > worst.share)
        worst = { share, error, bound, size, what: `${name}[${i}] is ${got[i]}, it must be ${want}` };
    }
  }
  const { share, error, bound, size, what } = worst;
  if (share > 1) {
    const others = wrong > 1 ? `; ${wrong} of ${compared} are wrong, the first ${first}` : "";
    throw new Error(`${what}: off by ${error.toExponential(1)}, allowed is ${bound.toExponential(1)}${others}`);
  }
  const elements = compared === total ? `all ${total}` : `${compared} of ${total} and the rest finite`;
  const isRelative = relative * size > absolute;
  const [kind, unit] = isRelative ? ["relative error", size] : ["error", 1];
  const found = `${kind} ${(error / unit).toExponential(1)} of ${(bound / unit).toExponential(1)} allowed`;
  const how = error === 0 ? "exact" : found;
  return { how: `${elements}, ${how}`, error, bound };
}

function rowOf(
  subject: Pick<KernelRow, "kernel" | "variant" | "shape" | "dtype">,
  check: Check,
  timing: Timing,
  { flops, bytes }: Work,
  ceilings: readonly CeilingRow[],
): KernelRow {
  const seconds = timing.p50 / 1e3;
  const least = (name: CeilingRow["name"], work: number): number => work / ceilingOf(ceilings, name);
  const [arithmetic, memory] = [least("arithmetic", flops), least("memory", bytes)];
  return {
    type: "kernel",
    ...subject,
    check,
    timing,
    flops,
    bytes,
    flopsPerSecond: flops / seconds,
    bytesPerSecond: bytes / seconds,
    share: Math.max(arithmetic, memory) / seconds,
    boundBy: arithmetic > memory ? "arithmetic" : "memory",
  };
}
