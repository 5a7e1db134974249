/** Fixtures of training: gradients, weights after steps and whole curves against PyTorch's in float64. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { prepareForward, recordForward } from "../../src/bert/forward.ts";
import type { Engine } from "../../src/runtime/engine.ts";
import type { FlatKind, FlatWeights } from "../../src/train/flat.ts";
import { initialWeights } from "../../src/train/initial.ts";
import { readStored } from "../../src/train/read.ts";
import { TrainingSteps } from "../../src/train/step.ts";
import type { OptimizerOptions, StepState } from "../../src/train/update.ts";
import { exactFinding, type Finding, numberFinding } from "../reference/fixture.ts";
import {
  checkpointOf,
  curveBatches,
  type ExpectedCurve,
  type ExpectedRun,
  examplesOf,
  type Fixture,
  groupedExamples,
  tensorsIn,
} from "./fixtures.ts";

type Tensors = Map<string, Float32Array>;
type Dtype = "f32" | "f16";

export const NO_DROPOUT = { hidden: 0, attention: 0, classifier: 0 };

/**
 * What the values of a step may be off, in f32: of each gradient the largest element, or by its norm; of weights the
 * largest element, or by the norm of what they moved.
 */
export const LOSS = 1e-5;
const GRADIENT_NORM = 1e-4;
const WEIGHT = 1e-5;
const MOVED_NORM = 1e-3;
/** Of each loss of a curve, and of what is computed with its last weights. */
const CURVE_LOSS = 1e-4;
const CURVE_LOGITS = 1e-3;
/**
 * In f16. Each stored number is off by up to 2^-11 of itself; forward and backward through these models of two layers
 * that happens some forty times between a weight and its gradient, so that a gradient is off by up to 40 * 2^-11 = 2% of the
 * norm of all that it sums. A weight whose gradient is a small difference of large terms is held to the norm of the whole.
 */
const F16_GRADIENT = 40 * 2 ** -11;
/** Of the first loss a share: of outputs that are off by 1%, through a factor of 20. */
const F16_LOSS = 0.05;
const F16_CURVE_LOSS = 0.05;
/** Six of 128: some texts lie as close to the border as the logits are off. */
const F16_ACCURACY = 0.05;
export const F16_SCALE = 1024;
/** Where the state has its loss scale. */
export const SCALE_AT = 4;

interface Training {
  readonly steps: TrainingSteps;
  readonly flat: FlatWeights;
  dispose(): void;
}

export async function beginTraining(
  engine: Engine,
  { folder, config, heads, objectives, sentence }: Fixture<unknown>,
  dtype: Dtype,
  options: Partial<OptimizerOptions> = {},
): Promise<Training> {
  const checkpoint = await checkpointOf(folder);
  const { flat, random } = await initialWeights(engine, config, heads, dtype, checkpoint);
  await checkpoint.close();
  if (random.length > 0) throw new Error(`the checkpoint lacks ${random.join(", ")}`);
  const model = { config, dtype, weights: flat.weights, dropout: NO_DROPOUT, sentence };
  const steps = await TrainingSteps.create(engine, model, flat, objectives, { totalSteps: 10, ...options });
  return {
    steps,
    flat,
    dispose() {
      steps.dispose();
      flat.dispose();
    },
  };
}

/** The first step's gradients, in f16 with a loss scale that they do not overflow at. */
export async function* gradientFindings(engine: Engine, fixture: Fixture, dtype: Dtype): AsyncGenerator<Finding> {
  const { expected, objectives, folder } = fixture;
  const { steps, flat, dispose } = await beginTraining(engine, fixture, dtype);
  const { groups, labels } = expected;
  const examples = groups ? groupedExamples(groups, labels) : examplesOf(expected.inputs, objectives);
  if (dtype === "f16") steps.state.write(new Uint32Array(Float32Array.of(F16_SCALE).buffer), SCALE_AT);
  const lossScale = dtype === "f16" ? F16_SCALE : 1;
  await steps.gradients(examples);
  const got = await valuesOf(engine, flat, "gradients", 1 / lossScale);
  yield* compareGradients("gradient of", got, await tensorsIn(join(folder, "grads.safetensors")), expected, dtype);
  if (groups) {
    const { loss } = await (await steps.step([examples])).read(); // together with that of the gradients
    yield numberFinding("loss", Math.abs(loss / 2 - expected.loss), dtype === "f32" ? LOSS : F16_LOSS * expected.loss);
  }
  const parts = join(folder, "grads_tied_parts.safetensors");
  if (dtype === "f32" && existsSync(parts)) yield* compareTied(got, await tensorsIn(parts), expected, fixture);
  dispose();
  const micro = join(folder, "grads_micro_batch_0.safetensors");
  if (dtype === "f32" && existsSync(micro)) {
    const own = await beginTraining(engine, fixture, dtype);
    await own.steps.gradients(examples.slice(0, examples.length / 2));
    const half = await valuesOf(engine, own.flat, "gradients");
    yield* compareGradients("micro-batch 0, gradient of", half, await tensorsIn(micro), expected, dtype);
    own.dispose();
  }
}

/** The sum of the two parts, and of the padding's row, which is not looked up, the decoder's alone. */
function* compareTied(
  got: Tensors,
  parts: Tensors,
  expected: Fixture["expected"],
  { config: { padTokenId, hiddenSize } }: Fixture,
): Generator<Finding> {
  const [name] = [...parts.keys()].map((key) => key.replace(/\.from_\w+$/, ""));
  const [lookup, decoder] = ["lookup", "decoder"].map((part) => parts.get(`${name}.from_${part}`)!);
  const values = got.get(ourName(name!))!;
  const most = expected.gradient.suggested_max_abs_tolerance;
  const sum = lookup!.map((value, i) => value + decoder![i]!);
  yield numberFinding(`${name}, both parts`, largestApart(values, sum), most);
  const row = (of: Float32Array): Float32Array => of.subarray(padTokenId * hiddenSize, (padTokenId + 1) * hiddenSize);
  yield numberFinding(`${name}, the padding's row`, largestApart(row(values), row(decoder!)), most);
}

export function* compareGradients(
  what: string,
  got: Tensors,
  want: Tensors,
  { gradient }: Fixture["expected"],
  dtype: Dtype,
): Generator<Finding> {
  const { suggested_max_abs_tolerance: most, total_l2_norm: total, mathematically_zero = [] } = gradient;
  const zero = new Set(mathematically_zero.flat());
  for (const [name, goal] of want) {
    const values = got.get(ourName(name));
    if (!values) yield exactFinding(`${what} ${name}`, "is missing");
    else if (dtype === "f32") {
      const relative = normApart(values, goal) / Math.max(norm(goal), 1e-6 * total);
      yield eitherFinding(`${what} ${name}`, largestApart(values, goal), most, relative, GRADIENT_NORM);
    } else {
      const own = zero.has(name) ? 0 : norm(goal);
      const relative = normApart(values, goal) / Math.max(own, F16_GRADIENT * total);
      yield numberFinding(`${what} ${name}, relative`, relative, F16_GRADIENT);
    }
  }
}

/** Steps on one batch; with `halves` each on two micro-batches of which the batch consists. */
export async function* runFindings(
  engine: Engine,
  fixture: Fixture,
  run: string,
  { lr, schedule, steps: wanted }: ExpectedRun,
  halves = false,
): AsyncGenerator<Finding> {
  const { expected, objectives, folder } = fixture;
  const training = await beginTraining(engine, fixture, "f32", optionsOf(lr, schedule));
  const { steps, flat } = training;
  const examples = examplesOf(expected.inputs, objectives);
  const half = examples.length / 2;
  const batches = halves ? [examples.slice(0, half), examples.slice(half)] : [examples];
  const zero = new Set((expected.gradient.mathematically_zero ?? []).flat());
  const before = await tensorsIn(join(folder, "model.safetensors"));
  const title = halves ? `${run} on micro-batches` : run;
  for (const { step, lr, loss, grad_norm_before_clip: gradNorm } of wanted) {
    const state = await (await steps.step(batches)).read();
    const where = `${title}, step ${step}`;
    const counted = state.steps === step && state.skipped === 0;
    yield exactFinding(where, counted ? undefined : `${state.steps} steps taken, ${state.skipped} skipped`);
    yield numberFinding(`${where}, loss`, Math.abs(state.loss - loss), LOSS);
    yield numberFinding(`${where}, norm`, Math.abs(state.gradNorm - gradNorm), GRADIENT_NORM * gradNorm);
    yield numberFinding(`${where}, learning rate`, Math.abs(state.learningRate - lr), 1e-6 * Math.max(lr, 1e-6));
    if (halves && step === 1) {
      // before the first step the moments are 0
      const factor = (1 - 0.9) * Math.min(1, 1 / (gradNorm + 1e-6));
      const got = await valuesOf(engine, flat, "m", 1 / factor);
      const want = await tensorsIn(join(folder, "grads.safetensors"));
      yield* compareGradients(`${where}, gradient of`, got, want, expected, "f32");
    }
    const file = join(folder, `${run}.step${step}.safetensors`);
    const same = schedule.includes("warmup") && step === 1; // its learning rate is 0
    if (!same && !existsSync(file)) continue;
    const want = await tensorsIn(same ? join(folder, "model.safetensors") : file);
    yield* compareWeights(where, await valuesOf(engine, flat, "weights"), want, before, zero);
  }
  training.dispose();
}

export function* compareWeights(
  where: string,
  got: Tensors,
  want: Tensors,
  before: Tensors,
  zero: ReadonlySet<string>,
): Generator<Finding> {
  for (const [name, goal] of want) {
    if (zero.has(name)) continue;
    const values = got.get(ourName(name));
    if (!values) {
      yield exactFinding(`${where}, ${name}`, "is missing");
      continue;
    }
    const moved = Math.max(normApart(goal, before.get(name)!), Number.MIN_VALUE);
    const relative = normApart(values, goal) / moved;
    yield eitherFinding(`${where}, ${name}`, largestApart(values, goal), WEIGHT, relative, MOVED_NORM);
  }
}

export async function* curveFindings(
  engine: Engine,
  fixture: Fixture<ExpectedCurve>,
  dtype: Dtype,
): AsyncGenerator<Finding> {
  const { expected, folder } = fixture;
  const { lr, schedule } = expected.optimizer;
  const training = await beginTraining(engine, fixture, dtype, optionsOf(lr, schedule));
  const { steps, flat } = training;
  const reads: Promise<StepState>[] = [];
  for (const batch of curveBatches(expected)) {
    const { read } = await steps.step([batch]);
    const state = read();
    reads.push(state);
    if (reads.length % 8 === 0) await state;
  }
  const states = await Promise.all(reads);
  const taken = states.at(-1)!;
  yield exactFinding("steps", taken.steps === expected.losses.length ? undefined : `${taken.skipped} skipped`);
  const largest = (of: (state: StepState) => number, want: readonly number[]): number =>
    largestApart(states.map(of), want);
  yield numberFinding(
    "losses",
    largest(({ loss }) => loss, expected.losses),
    dtype === "f16" ? F16_CURVE_LOSS : CURVE_LOSS,
  );
  yield numberFinding(
    "learning rates",
    largest(({ learningRate }) => learningRate, expected.lrs),
    1e-6 * lr,
  );
  const { test_accuracy: accuracy, test_logits: logits } = expected.evaluation_float64;
  if (dtype === "f32") {
    const relative = states.map(({ gradNorm }, i) => gradNorm / expected.grad_norms[i]!);
    yield numberFinding(
      "norms, relative",
      largestApart(
        relative,
        relative.map(() => 1),
      ),
      1e-3,
    );
    const files = [join(folder, "final.safetensors"), join(folder, "model.safetensors")];
    const [want, before] = await Promise.all(files.map(tensorsIn));
    const zero = new Set([...want!.keys()].filter((name) => name.endsWith("self.key.bias")));
    yield* compareWeights("at the end", await valuesOf(engine, flat, "weights"), want!, before!, zero);
  }
  if (logits && accuracy !== undefined) {
    const sequences = expected.test_input_ids.map((inputIds) => ({ inputIds }));
    const { model } = steps;
    const prepared = prepareForward(sequences, { logits: true }, model.config);
    const program = await engine.record("evaluation", (r) => void recordForward(r, prepared, model));
    const { batch } = prepared;
    const own = (await program.run({ tokens: batch.tokens, cuSeqlens: batch.cuSeqlens })).logits as Float32Array;
    if (dtype === "f32") yield numberFinding("logits", largestApart(own, logits), CURVE_LOGITS);
    const right = expected.test_labels.filter((label, i) => Number(own[2 * i + 1]! > own[2 * i]!) === label).length;
    const most = dtype === "f32" ? 0 : F16_ACCURACY;
    const fits = Math.abs(right / expected.test_labels.length - accuracy) <= most;
    yield exactFinding("accuracy", fits ? undefined : `${right} of ${expected.test_labels.length}, not ${accuracy}`);
  }
  training.dispose();
}

function optionsOf(learningRate: number, schedule: string): Partial<OptimizerOptions> {
  const warm = /warmup\((\d+), ?(\d+)\)/.exec(schedule);
  if (!warm) return { learningRate, schedule: "constant" };
  return { learningRate, schedule: "linear", warmupSteps: Number(warm[1]), totalSteps: Number(warm[2]) };
}

export async function valuesOf(
  engine: Engine,
  flat: FlatWeights,
  kind: Exclude<FlatKind, "copies">,
  factor = 1,
): Promise<Tensors> {
  const tensors: Tensors = new Map();
  for await (const [name, values] of readStored(engine, flat, kind))
    tensors.set(
      name,
      values.map((x) => x * factor),
    );
  return tensors;
}

const ourName = (name: string): string => name.replace(/^bert\./, "");

const norm = (values: ArrayLike<number>): number => Math.sqrt(Array.from(values).reduce((sum, x) => sum + x * x, 0));

function apartOf(got: ArrayLike<number>, want: ArrayLike<number>): number[] {
  return got.length === want.length ? Array.from(want, (value, i) => value - got[i]!) : [Number.NaN];
}

const normApart = (got: ArrayLike<number>, want: ArrayLike<number>): number => norm(apartOf(got, want));

/** NaN where anything is, or where the lengths differ. */
export function largestApart(got: ArrayLike<number>, want: ArrayLike<number>): number {
  return apartOf(got, want).reduce((worst, value) => Math.max(worst, Math.abs(value)), 0);
}

/** Passes if either error is allowed. */
function eitherFinding(what: string, error: number, most: number, relative: number, share: number): Finding {
  const own = numberFinding(what, error, most);
  const other = numberFinding(`${what}, relative`, relative, share);
  return other.share < own.share ? other : own;
}
