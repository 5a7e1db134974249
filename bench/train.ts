/** A training step of a sequence classifier, beside the inference forward pass of the same batch. */

import type { Sequence } from "../src/bert/batch.ts";
import type { BertConfig } from "../src/bert/config.ts";
import { BertModel, openModel } from "../src/bert/model.ts";
import type { Folder } from "../src/files/bytes.ts";
import type { Engine } from "../src/runtime/engine.ts";
import { type KernelTime, summarise } from "../src/runtime/profiler.ts";
import { allocateFlat, type FlatWeights } from "../src/train/flat.ts";
import { initialWeights, shapesFor } from "../src/train/initial.ts";
import { readStored } from "../src/train/read.ts";
import { type Example, TrainingSteps } from "../src/train/step.ts";
import type { StepState } from "../src/train/update.ts";
import { classifyOnCpu, encodeOnCpu } from "./encoder_reference.ts";
import { type ModelShape, placesOf, randomModel, signOf } from "./random_model.ts";
import type { Check, ModelRow, TrainRow } from "./rows.ts";
import { quantile, type Timing, timeRounds, timingOf, type Watch } from "./timing.ts";
import { denseBatch, tokensOf } from "./workloads.ts";

/** Classes. */
export const LABELS = 2;
export const LEARNING_RATE = 5e-5;
export const WEIGHT_DECAY = 0.01;
export const MAX_NORM = 1;
const NO_DROPOUT = { hidden: 0, attention: 0, classifier: 0 };
export const HEADS = ["classifier"] as const;

/** Rounds that are not counted. */
const WARM_ROUNDS = 1;
const PROFILED_STEPS = 3;
/** By which weights are moved up and down for a difference of losses. */
const NUDGE = 1e-4;
/** Of the loss, and of the gradient's norm. */
const LOSS_BOUND = 1e-4;
const GRADIENT_BOUND = 1e-2;

export interface TrainTask {
  /** `minilm 6x384` */
  readonly name: string;
  readonly shape: ModelShape;
  readonly batch: number;
  readonly tokens: number;
}

export interface TrainBenchOptions {
  /** Milliseconds for the steps, and as many for the forward passes. */
  readonly budget: number;
  /** Called with what begins. */
  readonly onProgress: (text: string) => void;
  readonly watch?: Watch;
}

/** Classes in turn. */
export function labelled(sequences: readonly Sequence[]): Example[] {
  return sequences.map((sequence, i) => ({ sequence, labels: { label: i % LABELS } }));
}

/**
 * Loads the model twice, to train and to run, verifies both and measures them in turn. Frees what it took.
 * @throws Error naming what is wrong
 */
export async function benchTraining(
  engine: Engine,
  { name, shape, batch, tokens }: TrainTask,
  { budget, onProgress, watch }: TrainBenchOptions,
): Promise<TrainRow> {
  onProgress(`${name}: loading`);
  await engine.releaseMemory();
  const folder = randomModel(name, { ...shape, labels: LABELS });
  const { config, checkpoint } = await openModel(folder);
  const loaded = initialWeights(engine, config, HEADS, "f32", checkpoint);
  const { flat } = await loaded.finally(() => checkpoint.close());
  const workload = denseBatch(batch, tokens, config.vocabSize);
  const examples = labelled(workload.sequences);
  const trained = await trainingSteps(engine, config, flat);
  const model = await BertModel.load(engine, folder);
  try {
    const step = async (): Promise<StepState> => (await trained.step([examples])).read();
    const forward = (): Promise<unknown> => model.forward(workload.sequences, { logits: true });
    onProgress(`${name}, ${workload.name}: verifying`);
    const check = await verifyTraining(engine, trained, model, { ...shape, labels: LABELS }, workload.sequences);
    const started = performance.now();
    const { skipped } = await step();
    if (skipped > 0) throw new Error("the gradient is not finite");
    const firstRun = performance.now() - started;
    onProgress(`${name}, ${workload.name}: timing`);
    const others = watch?.();
    const [ofStep, ofForward] = await timeInTurn([step, forward], budget);
    const share = others?.();
    const timing = timingOf("wall", ofStep!.wall, share);
    const forwardTiming = timingOf("wall", ofForward!.wall, share);
    const [stepCpu, forwardCpu] = [ofStep!, ofForward!].map(({ cpu }) => timingOf("wall", cpu).p50) as [number, number];
    const { gradients, update } = await trained.programs(examples);
    const state = await step();
    if (!Number.isFinite(state.loss) || state.skipped > 0) throw new Error(`the loss became ${state.loss}`);
    return {
      type: "train",
      model: name,
      batch: workload.name,
      dtype: "f32",
      sequences: batch,
      tokens: tokensOf(workload),
      check,
      timing,
      forward: forwardTiming,
      ...ratiosOf(timing, forwardTiming),
      ...(engine.adapter.software && {
        cpu: { step: stepCpu, forward: forwardCpu, ratio: stepCpu / forwardCpu },
      }),
      firstRun,
      tokensPerSecond: (tokensOf(workload) * 1e3) / timing.p50,
      dispatches: gradients.dispatches + update.dispatches,
      layerDispatches: await layerDispatches(engine, config, batch, tokens),
      gpuBytes: engine.memoryUse.bytes,
      gpu: await profile(engine, trained, examples, budget),
    };
  } finally {
    model.dispose();
    trained.dispose();
    flat.dispose();
    await engine.releaseMemory();
  }
}

function ratiosOf(step: Timing, forward: Timing): Pick<TrainRow, "ratio" | "leastRatio"> {
  return { ratio: step.p50 / forward.p50, leastRatio: step.min / forward.min };
}

/** Without dropout, at a constant learning rate. */
export function trainingSteps(
  engine: Engine,
  config: BertConfig,
  flat: FlatWeights,
  dtype: "f32" | "f16" = "f32",
): Promise<TrainingSteps> {
  const model = { config, dtype, weights: flat.weights, dropout: NO_DROPOUT } as const;
  const adamw = {
    learningRate: LEARNING_RATE,
    weightDecay: WEIGHT_DECAY,
    maxGradNorm: MAX_NORM,
    schedule: "constant",
  } as const;
  return TrainingSteps.create(engine, model, flat, ["label"], { ...adamw, totalSteps: 1 });
}

/** The mean over the sequences in float64. */
export async function lossOnCpu(folder: Folder, sequences: readonly Sequence[]): Promise<number> {
  let sum = 0;
  for (const { sequence, labels } of labelled(sequences)) {
    const logits = await classifyOnCpu(folder, await encodeOnCpu(folder, sequence));
    sum += lossOfLogits(logits, labels.label as number);
  }
  return sum / sequences.length;
}

interface Taken {
  readonly wall: readonly number[];
  /** Of this process, which is where a software adapter computes. */
  readonly cpu: readonly number[];
}

async function timeInTurn(runs: readonly (() => Promise<unknown>)[], budget: number): Promise<Taken[]> {
  const cpu = runs.map((): number[] => []);
  const timed = runs.map((run, i) => async () => {
    const [own, before] = [process.cpuUsage(), performance.now()];
    await run();
    const ms = performance.now() - before;
    const { user, system } = process.cpuUsage(own); // microseconds
    cpu[i]!.push((user + system) / 1e3);
    return ms;
  });
  const walls = await timeRounds(timed, budget, WARM_ROUNDS);
  return walls.map((wall, i) => {
    if (wall instanceof Error) throw wall;
    return { wall, cpu: cpu[i]!.slice(WARM_ROUNDS) };
  });
}

/**
 * The program that is timed, run on copies of the first sequence, whose loss is that of one: the loss and the logits are
 * held against float64, and the gradient's part in a random direction against a difference of losses in float64.
 */
async function verifyTraining(
  engine: Engine,
  trained: TrainingSteps,
  model: BertModel,
  shape: ModelShape,
  sequences: readonly Sequence[],
): Promise<Check> {
  const lossOf = (nudge: number): Promise<number> =>
    lossOnCpu(randomModel("nudged", shape, 1, nudge), sequences.slice(0, 1));
  const copies = sequences.map((): Example => ({ sequence: sequences[0]!, labels: { label: 0 } }));
  await trained.gradients(copies);
  const places = placesOf(shape);
  let [along, squares] = [0, 0];
  for await (const [name, values] of readStored(engine, trained.flat, "gradients")) {
    const first = places.get(name)!;
    for (const [i, value] of values.entries()) {
      along += value * signOf(first + i);
      squares += value * value;
    }
  }
  const norm = Math.sqrt(squares);
  const { loss, gradNorm } = await (await trained.step([copies])).read(); // added to what is there: twice
  const exact = await lossOf(0);
  const slope = ((await lossOf(NUDGE)) - (await lossOf(-NUDGE))) / (2 * NUDGE);
  const { logits } = await model.forward(
    copies.map(({ sequence }) => sequence),
    { logits: true },
  );
  const error = Math.abs(along - slope) / norm;
  const losses = [
    ["the step's loss", loss / 2, exact, LOSS_BOUND * exact],
    ["the forward pass's loss", lossOfLogits(logits.data.subarray(0, LABELS)), exact, LOSS_BOUND * exact],
    ["the gradient's norm", gradNorm / 2, norm, LOSS_BOUND * norm],
    ["the gradient in a random direction", along, slope, GRADIENT_BOUND * norm],
  ] as const;
  const faults = losses
    .filter(([, found, expected, bound]) => !(Math.abs(found - expected) <= bound))
    .map(
      ([what, found, expected, bound]) =>
        `${what} is ${found}, expected is ${expected}, allowed is a difference of ${bound}`,
    );
  if (faults.length > 0) throw new Error(faults.join("; "));
  return {
    how: `loss within ${(Math.abs(loss / 2 - exact) / exact).toExponential(1)}, gradient in a random direction within ${error.toExponential(1)} of float64's differences`,
    error,
    bound: GRADIENT_BOUND,
  };
}

/** Cross-entropy. */
function lossOfLogits(logits: ArrayLike<number>, label = 0): number {
  const exponentials = Array.from(logits, (logit) => Math.exp(logit - logits[label]!));
  return Math.log(exponentials.reduce((sum, value) => sum + value, 0));
}

/** What a second layer adds. Nothing is run: weights are left zeros. */
async function layerDispatches(engine: Engine, config: BertConfig, batch: number, tokens: number): Promise<number> {
  const few = Math.min(config.vocabSize, 1200);
  const counts: number[] = [];
  for (const numHiddenLayers of [1, 2]) {
    const small = { ...config, numHiddenLayers, vocabSize: few };
    const flat = await allocateFlat(engine, small, HEADS, shapesFor(small, HEADS), "f32");
    const steps = await trainingSteps(engine, small, flat);
    const { gradients } = await steps.programs(labelled(denseBatch(batch, tokens, few).sequences));
    counts.push(gradients.dispatches);
    steps.dispose();
    flat.dispose();
  }
  return counts[1]! - counts[0]!;
}

async function profile(
  engine: Engine,
  trained: TrainingSteps,
  examples: readonly Example[],
  budget: number,
): Promise<ModelRow["gpu"]> {
  if (!engine.device.features.has("timestamp-query")) return undefined;
  const runs: KernelTime[][] = [];
  const started = performance.now();
  for (let i = 0; i < PROFILED_STEPS && (i === 0 || performance.now() - started < budget); i++) {
    const { gradients, inputs, update } = await trained.programs(examples);
    const times: KernelTime[] = [];
    const profile = (more: readonly KernelTime[]): void => void times.push(...more);
    await gradients.run(inputs, { profile });
    await update.run({}, { profile });
    runs.push(times);
  }
  const times = runs[0]!.map(({ label }, i) => {
    const sorted = runs.map((run) => run[i]!.ms).sort((a, b) => a - b);
    return { label, ms: quantile(sorted, 0.5) };
  });
  return { ms: times.reduce((sum, { ms }) => sum + ms, 0), kernels: summarise(times) };
}
