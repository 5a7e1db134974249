/**
 * The autotuner: times a handful of ways to multiply on this very device, and keeps what beats the built-in choice. Only
 * what was found right is timed: each is held against float64 on the CPU first.
 */

import { requireKnown } from "../../files/options.ts";
import type { Kernel, Scalar } from "../../kernels/kernel.ts";
import { type MatmulShape, matmulKernelOf } from "../../kernels/matmul/matmul.ts";
import { matmulCandidates, shapeClass } from "../../kernels/matmul/matmul_choice.ts";
import type { MatmulConfig, MatmulTuning } from "../../kernels/matmul/matmul_config.ts";
import type { AdapterSummary } from "../device.ts";
import type { Engine } from "../engine.ts";
import { GpuError } from "../errors.ts";
import { type TuneCase, tuneCase } from "./tune_case.ts";
import { median, timeAll } from "./tune_time.ts";

export interface TuneOptions {
  /** Default: `tuningShapes(engine)`. One of each class is measured, the first. */
  readonly shapes?: readonly MatmulShape[] | undefined;
  /** Milliseconds in all, default 2000: what does not fit in is left out, and a compilation under way is finished. */
  readonly budgetMs?: number | undefined;
  /** Rejects with its reason, at the next launch. */
  readonly signal?: AbortSignal | undefined;
  /** Called before each class, of `total` ones. */
  readonly onProgress?: ((progress: { done: number; total: number; name: string }) => void) | undefined;
}

export interface TunedCandidate {
  readonly config: MatmulConfig;
  /**
   * `refused`: its output was wrong; `failed`: it did not compile or run; `skipped`: the budget was spent. Only one that
   * is `timed` is ever chosen.
   */
  readonly status: "timed" | "refused" | "failed" | "skipped";
  /** Of one launch, in milliseconds, where it was timed: the median. */
  readonly ms?: number;
  /** Why it was not. */
  readonly reason?: string;
}

/** What was found for one class of shapes. */
export interface TunedClass {
  readonly name: string;
  /** Measured on behalf of its class. */
  readonly shape: MatmulShape;
  /** The built-in choice first. */
  readonly candidates: readonly TunedCandidate[];
  /** `undefined` when none was both right and timed. */
  readonly chosen: TunedCandidate | undefined;
  /** Whose clock: the GPU's timestamps, or this process's over many launches. */
  readonly clock: "gpu" | "wall";
}

export interface TuningResult {
  /** For `EngineOptions.tuning`, `Engine.tuning` or a place to keep it: the classes whose built-in choice was beaten. */
  readonly tuning: MatmulTuning;
  readonly classes: readonly TunedClass[];
  /** Whether everything was measured within the budget. */
  readonly complete: boolean;
  /** Milliseconds that it took. */
  readonly ms: number;
}

/** The kernel of a config; tests put a wrong one in its place. */
export type KernelOf = (config: MatmulConfig, vec4: boolean) => Kernel<MatmulShape>;

/** By how much another must beat the built-in choice: less is noise. */
const GAIN = 0.05;
/** With fewer times than these, nothing is said to be faster. */
const LEAST_ROUNDS = 3;

/** Of the tables of results: increased whenever a class or a kernel comes to mean something else. */
const FORMAT = 2;

/** Under what to keep the results for an adapter: another driver or another version of the kernels is another key. */
export function tuningKey({ name, vendor, architecture, description }: AdapterSummary): string {
  return [`v${FORMAT}`, vendor, architecture, name, description].join(" | ");
}

/** Shapes of BERT's layers, of hidden size 384 to 768, the most common first; small ones where the CPU computes. */
export function tuningShapes(engine: Engine, dtype: Scalar = "f32"): MatmulShape[] {
  const shape = (m: number, n: number, k: number): MatmulShape => ({
    ...{ m, n, k, dtype },
    ...{ bias: false, residual: false, activation: "none" },
  });
  if (engine.adapter.software) return [shape(128, 384, 384), shape(8, 384, 384)];
  const weights = [
    [768, 768],
    [3072, 768],
    [384, 384],
  ] as const;
  return [128, 1024, 8, 512, 32, 1].flatMap((m) => weights.map(([n, k]) => shape(m, n, k)));
}

/**
 * Finds the fastest way to multiply on this device, for each class of shapes. Other work of the engine may go on, but
 * disturbs the times.
 * @throws RangeError for shapes of f16 on a device without it, TypeError for an unknown option
 */
export function tuneMatmul(engine: Engine, options: TuneOptions = {}): Promise<TuningResult> {
  return tuneMatmulBy(matmulKernelOf, engine, options);
}

/** As `tuneMatmul`, with kernels of one's own. */
export async function tuneMatmulBy(kernelOf: KernelOf, engine: Engine, options: TuneOptions): Promise<TuningResult> {
  requireKnown("tuneMatmul", options, { shapes: 1, budgetMs: 1, signal: 1, onProgress: 1 });
  const { shapes = tuningShapes(engine), budgetMs = 2000, signal, onProgress } = options;
  if (!(budgetMs > 0)) throw new RangeError(`budgetMs is ${budgetMs}, it must be above 0`);
  if (shapes.some(({ dtype }) => dtype === "f16") && !engine.hasF16) {
    throw new RangeError("shapes of f16 need the feature shader-f16, which this device was made without; tune f32");
  }
  const byClass = new Map<string, MatmulShape>();
  for (const shape of shapes) if (!byClass.has(shapeClass(shape))) byClass.set(shapeClass(shape), shape);

  const start = performance.now();
  const clock: Clock = { deadline: start + budgetMs, longest: 0 };
  const classes: TunedClass[] = [];
  for (const [name, shape] of byClass) {
    signal?.throwIfAborted();
    const left = clock.deadline - performance.now();
    if (left <= clock.longest) break; // what is begun would not be finished
    onProgress?.({ done: classes.length, total: byClass.size, name });
    const share = performance.now() + left / (byClass.size - classes.length);
    classes.push(await tuneClass(kernelOf, engine, name, shape, { clock, share, signal }));
  }
  return {
    tuning: Object.fromEntries(
      classes.flatMap(({ name, candidates, chosen }) =>
        chosen === undefined || chosen === candidates[0] ? [] : [[name, chosen.config]],
      ),
    ),
    classes,
    complete:
      classes.length === byClass.size &&
      classes.every(({ candidates }) => candidates.every(({ status }) => status !== "skipped")),
    ms: performance.now() - start,
  };
}

interface Clock {
  readonly deadline: number;
  /** Of the compilations and first launches so far, in milliseconds. */
  longest: number;
}

interface Limits {
  readonly clock: Clock;
  /** When this class should be done. */
  readonly share: number;
  readonly signal: AbortSignal | undefined;
}

async function tuneClass(
  kernelOf: KernelOf,
  engine: Engine,
  name: string,
  shape: MatmulShape,
  { clock, share, signal }: Limits,
): Promise<TunedClass> {
  const configs = matmulCandidates(shape, engine.traits);
  const operands = tuneCase(engine, shape);
  try {
    const verified = new Map<MatmulConfig, Kernel<MatmulShape>>();
    const faults = new Map<MatmulConfig, Pick<TunedCandidate, "status" | "reason">>();
    for (const config of configs) {
      if (config !== configs[0] && performance.now() + clock.longest > clock.deadline) break;
      const before = performance.now();
      const kernel = kernelOf(config, shape.k % 4 === 0);
      const fault = await verify(engine, kernel, shape, operands, signal);
      if (fault === undefined) verified.set(config, kernel);
      else faults.set(config, fault);
      clock.longest = Math.max(clock.longest, performance.now() - before);
    }
    const timed = await timeAll(
      engine,
      [...verified.values()],
      shape,
      operands,
      Math.min(share, clock.deadline),
      signal,
    );
    const times = new Map([...verified.keys()].map((config, i) => [config, timed.samples[i]!]));
    const candidates = configs.map((config): TunedCandidate => {
      const samples = times.get(config);
      if (samples !== undefined && samples.length > 0) return { config, status: "timed", ms: median(samples) };
      return { config, ...(faults.get(config) ?? { status: "skipped", reason: "the budget was spent" }) };
    });
    const rounds = Math.max(0, ...timed.samples.map(({ length }) => length));
    return { name, shape, candidates, chosen: chosenOf(candidates, rounds), clock: timed.clock };
  } finally {
    operands.dispose();
  }
}

/** The fastest, unless the built-in choice (the first) is about as fast. */
function chosenOf(candidates: readonly TunedCandidate[], rounds: number): TunedCandidate | undefined {
  const timed = candidates.filter(({ status }) => status === "timed").sort((a, b) => a.ms! - b.ms!);
  const [fastest] = timed;
  const builtIn = candidates[0];
  if (fastest === undefined || builtIn?.status !== "timed") return fastest;
  return rounds >= LEAST_ROUNDS && fastest.ms! < builtIn.ms! * (1 - GAIN) ? fastest : builtIn;
}

/** What speaks against a kernel: `undefined` when it computes what it should. */
async function verify(
  engine: Engine,
  kernel: Kernel<MatmulShape>,
  shape: MatmulShape,
  operands: TuneCase,
  signal: AbortSignal | undefined,
): Promise<Pick<TunedCandidate, "status" | "reason"> | undefined> {
  try {
    const { x, weight, untouched } = operands;
    const program = await engine.record(`verifying ${kernel.name}`, (r) => {
      const out = r.input("out", [shape.m, shape.n], shape.dtype);
      r.dispatch(kernel, shape, { x, weight, out });
      r.output("out", out);
    });
    // filled anew: what a kernel does not write must not pass for what the one before it wrote there
    const { out } = await program.run({ out: untouched }, { signal });
    const reason = operands.faultOf(out!);
    return reason === undefined ? undefined : { status: "refused", reason };
  } catch (error) {
    if (error instanceof GpuError) return { status: "failed", reason: error.message };
    throw error;
  }
}
