/**
 * The examination itself, step by step, in the process that holds the GPU. Whoever calls it is told when a step begins
 * and what it found, so that another process can go on behind a step that took this one with it.
 */

import type { Scalar } from "../../src/kernels/kernel.ts";
import { avoidKernels } from "../../src/kernels/substitutes.ts";
import type { Engine } from "../../src/runtime/engine.ts";
import { DeviceLostError } from "../../src/runtime/errors.ts";
import { shareOf, type Worst, WrongOutputError } from "../../test/kernels/harness.ts";
import type { KernelCheck } from "./checks.ts";
import { type Finding, isFault, type KernelFinding, type Mode, type Status, type Subject } from "./findings.ts";

/** A device and what belongs to it, opened when a step needs one and again after it was lost. */
export interface Patient {
  readonly device: GPUDevice;
  close(): void;
}

/** What can be done on an adapter in one of the modes. */
export interface ModeOf {
  readonly mode: Mode;
  readonly dtype: Scalar;
  readonly checks: readonly KernelCheck[];
  /** A fresh device. */
  open(): Promise<Patient>;
}

/** A kernel against its twin. */
export interface KernelStep {
  readonly mode: ModeOf;
  readonly check: KernelCheck;
  /** By `performance.now()`, when it and the kernels that follow it should be done: each gets its share of the time. */
  readonly until: number;
}

/** A model to hold against what it must give, or something to time. */
export interface EngineStep {
  readonly name: string;
  readonly mode: Mode;
  /** Milliseconds that it may take. */
  readonly limit: number;
  /** An engine on a fresh device. */
  open(): Promise<Engine>;
  run(engine: Engine): Promise<Finding>;
  /** What is told in its place when it fails. */
  fault(status: Status, message: string): Finding;
}

export interface Examination {
  readonly steps: readonly (KernelStep | EngineStep)[];
  /** By `performance.now()`, when all should be done: steps that would begin later are left out. */
  readonly end: number;
  /** Milliseconds for one row of a kernel. */
  readonly limit: number;
  /** Steps that an earlier process has done. */
  readonly done: number;
  /** Kernels that were found faulty by then. */
  readonly faulty: readonly string[];
}

export type Told =
  | { readonly type: "subject"; readonly subject: Subject }
  | {
      readonly type: "begin";
      readonly step: number;
      readonly of: number;
      readonly limit: number;
      readonly fault: Finding;
    }
  | { readonly type: "end"; readonly step: number; readonly finding: Finding }
  | { readonly type: "refused"; readonly message: string }
  | { readonly type: "done" };

export type Tell = (what: Told) => void;

const NO_TIME = "no time was left";

/** Tells of each step when it begins, with what is to be said of it if it ends this process, and what it found. */
export async function examine({ steps, end, limit, done, faulty: before }: Examination, tell: Tell): Promise<void> {
  const faulty = new Set(before);
  let patient: { readonly mode: ModeOf; readonly opened: Patient; lost: boolean } | undefined;
  for (const [i, step] of steps.entries()) {
    if (i < done) continue;
    const isKernel = "check" in step;
    if (performance.now() > end) {
      const finding = isKernel ? kernelFault(step, "skipped", NO_TIME) : step.fault("skipped", NO_TIME);
      tell({ type: "end", step: i, finding });
      continue;
    }
    const share = isKernel ? Math.max(0, (step.until - performance.now()) / sameEnd(steps, i, step.until)) : 0;
    const fault = isKernel ? kernelFault(step, "crashed") : step.fault("crashed", "the process ended");
    tell({ type: "begin", step: i, of: steps.length, limit: isKernel ? limit + share : step.limit, fault });
    if (!isKernel) {
      tell({ type: "end", step: i, finding: await runOnEngine(step, [...faulty]) });
      continue;
    }
    if (patient?.mode !== step.mode || patient.lost) {
      patient?.opened.close();
      const fresh = { mode: step.mode, opened: await step.mode.open(), lost: false };
      fresh.opened.device.lost.then(() => {
        fresh.lost = true;
      });
      patient = fresh;
    }
    const finding = await examineKernel(step, patient.opened.device, performance.now() + share, limit);
    if (isFault(finding)) faulty.add(finding.name);
    // what hangs is still there, and what failed may have left anything behind
    if (isFault(finding) && finding.status !== "wrong") patient.lost = true;
    tell({ type: "end", step: i, finding });
  }
  patient?.opened.close();
  tell({ type: "done" });
}

/** Kernels from this step on that should be done by the same time. */
function sameEnd(steps: Examination["steps"], from: number, until: number): number {
  return steps.slice(from).filter((step) => "check" in step && step.until === until).length;
}

async function runOnEngine(step: EngineStep, faulty: readonly string[]): Promise<Finding> {
  let engine: Engine | undefined;
  const work = async (): Promise<Finding> => {
    engine = await step.open();
    if (faulty.length > 0) engine.avoid = avoidKernels(faulty);
    return step.run(engine);
  };
  try {
    return await within(step.limit, work());
  } catch (error) {
    return step.fault(statusOf(error), messageOf(error));
  } finally {
    engine?.dispose();
  }
}

/** With nothing found: what is said when the process ends. */
function kernelFault({ mode, check }: KernelStep, status: Status, message?: string): KernelFinding {
  const { name, rows, replaceable } = check;
  const words = message === undefined ? {} : { message };
  return { type: "kernel", name, mode: mode.mode, status, rows: 0, of: rows.length, replaceable, ...words };
}

/** Row by row, until one is wrong or its time is over. */
async function examineKernel(
  step: KernelStep,
  device: GPUDevice,
  until: number,
  limit: number,
): Promise<KernelFinding> {
  let rows = 0;
  let worst: (Worst & { readonly shape: string }) | undefined;
  const found = (status: Status, message?: string): KernelFinding => ({
    ...kernelFault(step, status, message),
    rows,
    ...(worst && { worst: { error: worst.error, bound: worst.bound, shape: worst.shape } }),
  });
  const lost = device.lost.then(({ message }): never => {
    throw new DeviceLostError("unknown", message, "another device is opened");
  });
  lost.catch(() => {}); // it is told below, while a row runs
  for (const { shape, run } of step.check.rows) {
    if (rows > 0 && performance.now() > until) break;
    try {
      const each = await within(limit, Promise.race([run(device), lost]));
      if (worst === undefined || shareOf(each) > shareOf(worst)) worst = { ...each, shape };
      rows++;
    } catch (error) {
      const gone = error instanceof DeviceLostError || (await isLost(device));
      return found(gone ? "lost" : statusOf(error), `${shape}: ${messageOf(error)}`);
    }
  }
  return found("right");
}

/** A loss may be told just after what it has made fail. */
function isLost(device: GPUDevice): Promise<boolean> {
  return Promise.race([
    device.lost.then(() => true),
    new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 50)),
  ]);
}

class HungError extends Error {
  override readonly name = "HungError";
}

/** @throws HungError when it takes longer; what was begun may go on */
async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  work.catch(() => {}); // of what is given up nobody hears
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new HungError(`no answer in ${(ms / 1e3).toFixed(0)} s`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function statusOf(error: unknown): Status {
  if (error instanceof HungError) return "hung";
  if (error instanceof DeviceLostError) return "lost";
  return error instanceof WrongOutputError ? "wrong" : "failed";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
