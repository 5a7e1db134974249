/** A model as its users run it: latency, throughput, and where the GPU's time goes. */

import { BertModel, openModel } from "../src/bert/model.ts";
import type { Folder } from "../src/files/bytes.ts";
import type { Engine } from "../src/runtime/engine.ts";
import { type KernelTime, type ProfileRow, summarise } from "../src/runtime/profiler.ts";
import type { Program } from "../src/runtime/program.ts";
import type { InputData } from "../src/runtime/tensor.ts";
import { MODEL_SHAPES, type ModelShapeName, randomModel } from "./random_model.ts";
import { type CeilingRow, type Check, ceilingOf, type ModelRow } from "./rows.ts";
import { quantile, type Timing, timeRuns, type Watch } from "./timing.ts";
import { type Compared, type Storage, verifyModel } from "./verify_model.ts";
import { denseBatch, encoderFlops, evenedBatch, raggedBatch, tokensOf, type Workload } from "./workloads.ts";

/** What is timed: ids in, the last hidden state out. */
const WANTED = { lastHiddenState: true };
/** As many, if the budget lets them. */
const PROFILED_RUNS = 3;

export interface ModelTask {
  /** `minilm 6x384`; rows of one in q8, whose activations are f32, say so behind it. */
  readonly name: string;
  readonly folder: Folder;
  readonly dtype: Storage;
}

/** With random weights. */
export function randomTask(shape: ModelShapeName, dtype: Storage): ModelTask {
  const { layers, hidden } = MODEL_SHAPES[shape];
  const name = `${shape} ${layers}x${hidden}`;
  return { name, folder: randomModel(name, MODEL_SHAPES[shape]), dtype };
}

/** `batch` x `tokens`; the ragged batch where it is given as "ragged". */
export type BatchTask = { readonly batch: number; readonly tokens: number } | "ragged";

export interface ModelBenchOptions {
  /** Milliseconds for a row. */
  readonly budget: number;
  readonly ceilings: readonly CeilingRow[];
  readonly onRow: (row: ModelRow) => void;
  /** Called with what begins. */
  readonly onProgress: (text: string) => void;
  /** Called for a batch that could not be verified or run. The others go on. */
  readonly onFailure: (name: string, error: Error) => void;
  /** Watches the rest of the machine while a batch is timed. */
  readonly watch?: Watch;
}

/** @throws RangeError for sequences that are longer than the model has positions, ModelError for no model */
export async function requirePositions({ name, folder }: ModelTask, batches: readonly BatchTask[]): Promise<void> {
  if (batches.length === 0) return;
  const { config, checkpoint } = await openModel(folder);
  await checkpoint.close();
  const { maxPositionEmbeddings: most, vocabSize } = config;
  for (const batch of batches) {
    const ragged = batch === "ragged" ? raggedBatch(vocabSize).sequences : [];
    const tokens = batch === "ragged" ? Math.max(...ragged.map(({ inputIds }) => inputIds.length)) : batch.tokens;
    if (tokens <= most) continue;
    const what = batch === "ragged" ? `--ragged has a text of ${tokens} tokens` : `--tokens ${tokens}`;
    throw new RangeError(`${what}: ${name} has ${most} positions; give --tokens ${most} at most`);
  }
}

/** Loads the model once and measures each batch. Frees what it took. */
export async function benchModel(
  engine: Engine,
  { name, folder, dtype }: ModelTask,
  batches: readonly BatchTask[],
  options: ModelBenchOptions,
): Promise<void> {
  options.onProgress(`${name}: loading`);
  await engine.releaseMemory();
  const started = performance.now();
  const model = await BertModel.load(engine, folder, { dtype });
  const load = performance.now() - started;
  const bench: Bench = {
    engine,
    model,
    folder,
    name: dtype === "q8" ? `${name} q8` : name,
    dtype,
    load,
    options,
    compared: new Map(),
  };
  try {
    for (const batch of batches) {
      const vocab = model.config.vocabSize;
      const workload = batch === "ragged" ? raggedBatch(vocab) : denseBatch(batch.batch, batch.tokens, vocab);
      try {
        await benchWorkloads(bench, batch === "ragged" ? [workload, evenedBatch(workload, vocab)] : [workload]);
      } catch (error) {
        options.onFailure(`${bench.name}, ${workload.name}`, error as Error);
      }
    }
  } finally {
    model.dispose();
    await engine.releaseMemory();
  }
}

interface Bench {
  readonly engine: Engine;
  readonly model: BertModel;
  readonly name: string;
  readonly folder: Folder;
  readonly dtype: Storage;
  readonly load: number;
  readonly options: ModelBenchOptions;
  readonly compared: Compared;
}

/** Several in turn, so that the ratio of the first to the second can be trusted. */
async function benchWorkloads(bench: Bench, workloads: readonly Workload[]): Promise<void> {
  const { budget, watch, onRow } = bench.options;
  const tasks: Prepared[] = [];
  for (const workload of workloads) tasks.push(await prepare(bench, workload));
  const runs = tasks.map(({ run }) => run);
  const timings = await timeRuns(runs, budget, watch);
  const [first, second] = timings;
  for (const [i, task] of tasks.entries()) {
    const row = rowOf(bench, task, timings[i]!, await profile(bench, task));
    onRow(i === 0 && second ? { ...row, overEven: first!.min / second.min } : row);
  }
}

interface Prepared {
  readonly workload: Workload;
  readonly check: Check;
  readonly firstRun: number;
  readonly program: Program;
  readonly inputs: Record<string, InputData>;
  readonly run: () => Promise<unknown>;
}

/** The first run, which compiles, and the verification. */
async function prepare(
  { model, folder, dtype, name, compared, options }: Bench,
  workload: Workload,
): Promise<Prepared> {
  const { sequences } = workload;
  options.onProgress(`${name}, ${workload.name}: first run`);
  const run = (): Promise<unknown> => model.forward(sequences, WANTED);
  const started = performance.now();
  await run();
  const firstRun = performance.now() - started;
  options.onProgress(`${name}, ${workload.name}: verifying`);
  const verified = await verifyModel(model, folder, dtype, workload, compared);
  options.onProgress(`${name}, ${workload.name}: timing`);
  return { workload, check: verified, firstRun, run, ...(await model.program(sequences, WANTED)) };
}

async function profile({ engine, options }: Bench, { program, inputs }: Prepared): Promise<ModelRow["gpu"]> {
  if (!engine.device.features.has("timestamp-query")) return undefined;
  const runs: KernelTime[][] = [];
  const started = performance.now();
  for (let i = 0; i < PROFILED_RUNS && (i === 0 || performance.now() - started < options.budget); i++) {
    await program.run(inputs, { profile: (times) => runs.push([...times]) });
  }
  const times = runs[0]!.map(({ label }, i) => {
    const sorted = runs.map((run) => run[i]!.ms).sort((a, b) => a - b);
    return { label, ms: quantile(sorted, 0.5) };
  });
  const kernels: ProfileRow[] = summarise(times);
  return { ms: times.reduce((sum, { ms }) => sum + ms, 0), kernels };
}

function rowOf(bench: Bench, prepared: Prepared, timing: Timing, gpu: ModelRow["gpu"]): ModelRow {
  const { engine, model, name, load, options } = bench;
  const { workload, check, firstRun, program } = prepared;
  const flops = encoderFlops(model.config, workload);
  const perSecond = 1e3 / timing.p50;
  return {
    type: "model",
    model: name,
    batch: workload.name,
    dtype: model.dtype,
    sequences: workload.sequences.length,
    tokens: tokensOf(workload),
    check,
    timing,
    sequencesPerSecond: workload.sequences.length * perSecond,
    flops,
    flopsPerSecond: flops * perSecond,
    share: (flops * perSecond) / ceilingOf(options.ceilings, "arithmetic"),
    firstRun,
    load,
    dispatches: program.dispatches,
    bytes: program.bytesMoved,
    weightBytes: model.weightBytes,
    gpuBytes: engine.memoryUse.bytes,
    peakMemory: process.resourceUsage().maxRSS * 1024,
    gpu,
    overEven: undefined,
  };
}
