/** Times of kernels that multiply the same, for the autotuner. */

import type { Kernel } from "../../kernels/kernel.ts";
import type { MatmulShape } from "../../kernels/matmul/matmul.ts";
import type { Engine } from "../engine.ts";
import type { KernelTime } from "../profiler.ts";
import type { Program } from "../program.ts";
import type { TuneCase } from "./tune_case.ts";

const MOST_ROUNDS = 25;
/** Launches go into one submission until it takes about this long, in milliseconds. */
const SUBMISSION = 4;
const MOST_LAUNCHES = 64;

/** A program that multiplies `launches` times over. */
function recordLaunches(
  engine: Engine,
  kernel: Kernel<MatmulShape>,
  shape: MatmulShape,
  { x, weight }: TuneCase,
  launches: number,
): Promise<Program> {
  return engine.record(`tuning ${kernel.name}`, (r) => {
    const out = r.temporary("out", [shape.m, shape.n], shape.dtype);
    for (let i = 0; i < launches; i++) r.dispatch(kernel, shape, { x, weight, out });
  });
}

/** Times of one launch of each, taken in turn, so that what disturbs one disturbs all. At least once, then until `end`. */
export async function timeAll(
  engine: Engine,
  kernels: readonly Kernel<MatmulShape>[],
  shape: MatmulShape,
  operands: TuneCase,
  end: number,
  signal: AbortSignal | undefined,
): Promise<{ clock: "gpu" | "wall"; samples: readonly number[][] }> {
  const samples = kernels.map((): number[] => []);
  if (kernels.length === 0) return { clock: "wall", samples };
  const [first] = kernels;
  const probe = await recordLaunches(engine, first!, shape, operands, 1);
  await wallTime(probe, signal);
  const once = Math.max(await wallTime(probe, signal), 0.01);
  const launches = Math.min(MOST_LAUNCHES, Math.max(1, Math.round(SUBMISSION / once)));
  const programs = await Promise.all(
    kernels.map((kernel) => recordLaunches(engine, kernel, shape, operands, launches)),
  );
  // where the GPU's clock stands still for so short a work, this process's is the better one
  const stamped = engine.device.features.has("timestamp-query") && (await gpuTime(programs[0]!, signal)) > 0;
  for (let round = 0; round < MOST_ROUNDS && (round === 0 || performance.now() < end); round++) {
    for (const [i, program] of programs.entries()) {
      samples[i]!.push((await (stamped ? gpuTime : wallTime)(program, signal)) / launches);
    }
  }
  return { clock: stamped ? "gpu" : "wall", samples };
}

async function wallTime(program: Program, signal: AbortSignal | undefined): Promise<number> {
  const before = performance.now();
  await program.run({}, { signal });
  return performance.now() - before;
}

async function gpuTime(program: Program, signal: AbortSignal | undefined): Promise<number> {
  let sum = 0;
  const profile = (times: readonly KernelTime[]): void => {
    for (const { ms } of times) sum += ms;
  };
  await program.run({}, { signal, profile });
  return sum;
}

export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}
