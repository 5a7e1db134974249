/** What the adapter can do at best: arithmetic by a loop of multiply-adds, memory traffic by a copy. */

import { foldWorkgroups, type Kernel } from "../src/kernels/kernel.ts";
import type { Engine } from "../src/runtime/engine.ts";
import type { DType, InputData, Tensor } from "../src/runtime/tensor.ts";
import copySource from "./copy.wgsl";
import fmaSource from "./fma_loop.wgsl";
import type { CeilingRow } from "./rows.ts";
import { type Timing, timeLaunch, type Watch } from "./timing.ts";

const WORKGROUP_SIZE = 64;
/** Enough to fill any GPU. */
const THREADS = 1 << 18;
/** Elements of a thread of the loop. */
const OWNED = 8;
const FEW_ITERATIONS = 128;
/** Beyond some of it `x + iterations` could not be told exactly. */
const MOST_ITERATIONS = 1 << 16;
/** Milliseconds: a launch this long hides what launching costs. */
const LONG_LAUNCH = 5;
/** Bytes: more than the caches hold. A software adapter works from a CPU's. */
const COPIED = { software: 64 << 20, hardware: 128 << 20 };
/** What suits GPUs, and what suits CPUs that play one. */
const VECTORS_PER_THREAD = [1, 16];

interface FmaShape {
  readonly iterations: number;
}

const fmaLoop: Kernel<FmaShape> = {
  name: "fma_loop",
  source: fmaSource,
  plan: ({ iterations }, limits) => ({
    constants: { WORKGROUP_SIZE },
    params: { threads: THREADS, iterations, scale: 1, step: 1 },
    workgroups: foldWorkgroups(THREADS / WORKGROUP_SIZE, limits),
    label: `${THREADS}x${iterations}`,
  }),
};

interface CopyShape {
  readonly vectors: number;
  readonly perThread: number;
}

const copy: Kernel<CopyShape> = {
  name: "copy",
  source: copySource,
  plan: ({ vectors, perThread }, limits) => ({
    constants: { WORKGROUP_SIZE, PER_THREAD: perThread },
    params: { vectors },
    workgroups: foldWorkgroups(Math.ceil(vectors / (perThread * WORKGROUP_SIZE)), limits),
    label: `${(vectors * 16) >> 20} MiB, ${perThread} a thread`,
  }),
};

/** @param budget milliseconds for each of the two. @throws Error when the adapter computes wrongly */
export async function measureCeilings(engine: Engine, budget: number, watch?: Watch): Promise<CeilingRow[]> {
  const rows = [await arithmeticCeiling(engine, budget, watch), await memoryCeiling(engine, budget, watch)];
  await engine.releaseMemory(); // their buffers are far larger than a kernel's
  return rows;
}

async function arithmeticCeiling(engine: Engine, budget: number, watch?: Watch): Promise<CeilingRow> {
  const values = Float32Array.from({ length: THREADS * OWNED }, (_, i) => i % 4096);
  const x = tensorOf(engine, "x", values);
  const probe = await time(engine, fmaLoop, { iterations: FEW_ITERATIONS }, x, 0);
  const wanted = 2 ** Math.round(Math.log2((FEW_ITERATIONS * LONG_LAUNCH) / probe.min));
  const shape = { iterations: Math.min(MOST_ITERATIONS, Math.max(FEW_ITERATIONS, wanted)) };
  await verify(engine, fmaLoop, shape, x, (i) => values[i]! + shape.iterations);
  const timing = await time(engine, fmaLoop, shape, x, budget, watch);
  x.dispose();
  return {
    type: "ceiling",
    name: "arithmetic",
    how: `fused multiply-adds in ${THREADS} threads`,
    perSecond: (THREADS * OWNED * shape.iterations * 2 * 1e3) / timing.min,
    timing,
  };
}

async function memoryCeiling(engine: Engine, budget: number, watch?: Watch): Promise<CeilingRow> {
  const wanted = COPIED[engine.adapter.software ? "software" : "hardware"];
  const bytes = Math.min(wanted, engine.device.limits.maxStorageBufferBindingSize);
  const timing = await timeCopy(engine, bytes / 16, "min", budget, watch);
  return {
    type: "ceiling",
    name: "memory",
    how: `copy of ${bytes >> 20} MiB`,
    perSecond: (2 * bytes * 1e3) / timing.min,
    timing,
  };
}

/** Milliseconds of a copy that moves this many bytes, half of them read and half written; undefined where it does not fit. */
export type CopyTime = (bytes: number, clock: Timing["clock"]) => Promise<number | undefined>;

/**
 * Times plain copies as they are asked for, each number of bytes once: the least that a kernel of as many bytes could
 * take. The median of the better of the two ways to copy.
 * @param budget milliseconds for each number of bytes
 */
export function copyTimes(engine: Engine, budget: number): CopyTime {
  const timed = new Map<number, Promise<Timing>>();
  return async (bytes, clock) => {
    const vectors = Math.max(1, Math.round(bytes / 32));
    if (vectors * 16 > engine.device.limits.maxStorageBufferBindingSize) return undefined;
    const timing = timed.get(vectors) ?? timeCopy(engine, vectors, "p50", budget);
    timed.set(vectors, timing);
    const { clock: ownClock, p50 } = await timing;
    return ownClock === clock ? p50 : undefined;
  };
}

/** @returns of the ways to copy the one whose `least` is less */
async function timeCopy(
  engine: Engine,
  vectors: number,
  least: "min" | "p50",
  budget: number,
  watch?: Watch,
): Promise<Timing> {
  const values = Float32Array.from({ length: vectors * 4 }, (_, i) => i % 16777213);
  const x = tensorOf(engine, "x", values);
  try {
    const timings: Timing[] = [];
    for (const perThread of VECTORS_PER_THREAD) {
      const shape = { vectors, perThread };
      await verify(engine, copy, shape, x, (i) => values[i]!);
      timings.push(await time(engine, copy, shape, x, budget / VECTORS_PER_THREAD.length, watch));
    }
    return timings.reduce((best, timing) => (timing[least] < best[least] ? timing : best));
  } finally {
    x.dispose();
  }
}

export function tensorOf(engine: Engine, label: string, values: InputData, dtype: DType = "f32"): Tensor {
  const tensor = engine.tensor(label, [values.length], dtype);
  tensor.write(values);
  return tensor;
}

async function verify<S>(
  engine: Engine,
  kernel: Kernel<S>,
  shape: S,
  x: Tensor,
  expected: (i: number) => number,
): Promise<void> {
  const program = await engine.record(kernel.name, (r) => {
    const out = r.temporary("out", x.shape, "f32");
    r.dispatch(kernel, shape, { x, out });
    r.output("out", out);
  });
  const out = (await program.run({})).out!;
  const wrong = out.findIndex((value, i) => value !== expected(i));
  if (wrong >= 0) {
    throw new Error(
      `${kernel.name}: element ${wrong} is ${out[wrong]}, ${expected(wrong)} is right: ${engine.adapter.name} computes wrongly`,
    );
  }
}

function time<S>(
  engine: Engine,
  kernel: Kernel<S>,
  shape: S,
  x: Tensor,
  budget: number,
  watch?: Watch,
): Promise<Timing> {
  const launch = (r: Parameters<Parameters<Engine["record"]>[1]>[0]): void =>
    r.dispatch(kernel, shape, { x, out: r.temporary("out", x.shape, "f32") });
  return timeLaunch(engine, kernel.name, launch, budget, watch);
}
