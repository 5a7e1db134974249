/**
 * Training steps on the GPU: a program for the gradients of a batch, recorded once for a shape, and one for the optimizer's
 * step. Neither is waited for: what is shown is read when it is asked for.
 */

import type { Sequence } from "../bert/batch.ts";
import { packBatch } from "../bert/forward.ts";
import { latest } from "../files/latest.ts";
import {
  adamw,
  optimizerStep,
  partialsOf,
  type Schedule,
  STATE_BYTES,
  sumSquares,
} from "../kernels/optimizer/optimizer.ts";
import type { Allocation } from "../runtime/allocation.ts";
import type { Engine } from "../runtime/engine.ts";
import type { PackedTokens } from "../runtime/ops.ts";
import type { Program } from "../runtime/program.ts";
import type { Recorder, Ref } from "../runtime/recorder.ts";
import type { InputData, Tensor } from "../runtime/tensor.ts";
import { encode, type TrainedModel } from "./encoder.ts";
import type { FlatWeights } from "./flat.ts";
import { type Labels, OBJECTIVES, type ObjectiveName } from "./objectives.ts";
import { add, type EmbeddingSegments, type Tape } from "./operations.ts";
import { segmentsOf, TABLE_INPUTS } from "./segments.ts";

/** A sequence and what is to be learnt of it. */
export interface Example {
  readonly sequence: Sequence;
  readonly labels: Labels;
}

/** Numbers of AdamW and of its schedule, under the names of Hugging Face's Trainer. */
export interface OptimizerOptions {
  /** At its highest. Default 5e-5. */
  readonly learningRate?: number | undefined;
  /** How it falls after the warm-up. Default linear, to 0 at `totalSteps`. */
  readonly schedule?: Schedule | undefined;
  /** Steps in which it rises from 0. Default 0. */
  readonly warmupSteps?: number | undefined;
  readonly totalSteps: number;
  /** Of all but biases and normalisations. Default 0.01. */
  readonly weightDecay?: number | undefined;
  /** Default 1; 0: gradients are not clipped. */
  readonly maxGradNorm?: number | undefined;
  /** Default 0.9 and 0.999. */
  readonly betas?: readonly [number, number] | undefined;
  /** Default 1e-8. */
  readonly eps?: number | undefined;
}

/** What the GPU says of its last step. */
export interface StepState {
  /** Taken. */
  readonly steps: number;
  /** Left out, since the gradient was not finite. */
  readonly skipped: number;
  readonly loss: number;
  /** Of the gradient, before it was clipped. */
  readonly gradNorm: number;
  readonly learningRate: number;
  readonly lossScale: number;
}

/** Programs kept for shapes seen lately. */
const KEPT_PROGRAMS = 64;
/** Steps without an infinity after which the loss scale of f16 doubles, and where it begins: as PyTorch's GradScaler. */
const GROW_AFTER = 2000;
const FIRST_SCALE = 65536;

export class TrainingSteps {
  readonly model: TrainedModel;
  readonly flat: FlatWeights;
  readonly #engine: Engine;
  readonly #objectives: readonly ObjectiveName[];
  readonly #seed: number;
  readonly #allocation: Allocation;
  readonly state: Tensor;
  readonly #losses: Tensor;
  readonly #update: Program;
  readonly #recorded = new Map<string, Promise<Program>>();
  /** Gradients gathered so far, of all steps: what dropout draws by. */
  drawn = 0;

  private constructor(
    engine: Engine,
    model: TrainedModel,
    flat: FlatWeights,
    objectives: readonly ObjectiveName[],
    seed: number,
    allocation: Allocation,
    tensors: { readonly state: Tensor; readonly losses: Tensor; readonly partials: Tensor },
    update: Program,
  ) {
    this.#engine = engine;
    this.model = model;
    this.flat = flat;
    this.#objectives = objectives;
    this.#seed = seed;
    this.#allocation = allocation;
    this.state = tensors.state;
    this.#losses = tensors.losses;
    this.#update = update;
  }

  /** @param flat filled; it is not disposed with the steps */
  static async create(
    engine: Engine,
    model: TrainedModel,
    flat: FlatWeights,
    objectives: readonly ObjectiveName[],
    options: OptimizerOptions,
    seed: number = 0,
  ): Promise<TrainingSteps> {
    const allocation = engine.allocate();
    const count = flat.parts.reduce((sum, part) => sum + partialsOf(part.count), 0);
    const tensors = {
      state: allocation.tensor("optimizer", [STATE_BYTES / 4], "u32"),
      losses: allocation.tensor("losses", [1], "f32"),
      partials: allocation.tensor("sums of squares", [count], "f32"),
    };
    const scaled = model.dtype === "f16";
    const first = new Uint32Array(STATE_BYTES / 4);
    new Float32Array(first.buffer)[4] = scaled ? FIRST_SCALE : 1;
    tensors.state.write(first);
    try {
      await allocation.done();
      const update = await engine.record("optimizer step", (r) => {
        recordUpdate(r, flat, tensors, options, scaled);
        r.output("state", r.state(tensors.state));
      });
      return new TrainingSteps(engine, model, flat, objectives, seed, allocation, tensors, update);
    } catch (error) {
      allocation.dispose();
      throw error;
    }
  }

  /** Bytes on the GPU beside the weights and what belongs to them: of the last batches. */
  get bytes(): number {
    return this.#allocation.bytes;
  }

  /**
   * One step on the batches together: gradients are those of one large batch.
   * @param readBack whether `read` will be called
   * @throws RangeError for labels that make no sense; GpuError, DeviceLostError
   */
  async step(
    batches: readonly (readonly Example[])[],
    { readBack = true, signal }: { readonly readBack?: boolean; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<{ read(): Promise<StepState> }> {
    const prepared = batches.map((batch) => this.#prepare(batch));
    const counts: Record<string, number> = {};
    for (const { counts: own } of prepared) {
      for (const [name, count] of Object.entries(own)) counts[name] = (counts[name] ?? 0) + count;
    }
    const scales = scalesOf(counts);
    for (const { key, inputs, record } of prepared) {
      const program = await this.#programFor(key, record);
      await program.submit({ ...inputs, ...scales, step: this.drawn++ }, { readBack: false, signal });
    }
    const { read } = await this.#update.submit({}, { readBack, signal });
    return { read: async () => stateOf((await read()).state as Uint32Array) };
  }

  /** Bytes on the GPU that a step takes on a batch while it runs; nothing is allocated yet. @throws as `step` */
  async runBytes(batch: readonly Example[]): Promise<number> {
    const { key, record } = this.#prepare(batch);
    const most = new Map(this.#update.memory);
    for (const [name, bytes] of (await this.#programFor(key, record)).memory) {
      most.set(name, Math.max(bytes, most.get(name) ?? 0));
    }
    return [...most.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  /** The sum of the gradients of batches that no step was taken on, for tests: those of `step` are gone after it. */
  async gradients(batch: readonly Example[]): Promise<void> {
    const { gradients, inputs } = await this.programs(batch);
    await gradients.submit(inputs, { readBack: false });
  }

  /** What a step on one batch runs, to be measured: `gradients` with `inputs`, then `update` without any. */
  async programs(batch: readonly Example[]): Promise<{
    readonly gradients: Program;
    readonly inputs: Readonly<Record<string, InputData | number>>;
    readonly update: Program;
  }> {
    const { key, inputs, record, counts } = this.#prepare(batch);
    const gradients = await this.#programFor(key, record);
    return { gradients, inputs: { ...inputs, ...scalesOf(counts), step: this.drawn++ }, update: this.#update };
  }

  /** Frees all but the weights. Safe to call twice. */
  dispose(): void {
    this.#recorded.clear();
    this.#allocation.dispose();
  }

  #prepare(examples: readonly Example[]): {
    readonly key: string;
    readonly inputs: Record<string, Uint32Array | Float32Array>;
    readonly counts: Record<string, number>;
    readonly record: (r: Recorder) => void;
  } {
    const { config } = this.model;
    const batch = packBatch(
      examples.map(({ sequence }) => sequence),
      config,
    );
    const labels = examples.map(({ labels }) => labels);
    const own = this.#objectives.map((name) => OBJECTIVES[name].prepare(batch, labels, config));
    const segments = segmentsOf(batch.tokens, config);
    const split = this.model.weights.embeddings.word.parts.length > 1;
    const given: Record<string, Uint32Array | Float32Array> = Object.assign({}, ...own.map(({ inputs }) => inputs));
    const inputs = {
      tokens: batch.tokens,
      cuSeqlens: batch.cuSeqlens,
      ...(split && { wordIds: batch.wordIds }),
      ...segments,
      ...given,
    };
    const sizes = Object.values(given).map(({ length }) => length);
    const key = [batch.wordIds.length, examples.length, batch.masked, ...sizes].join();
    return {
      key,
      inputs,
      counts: Object.assign({}, ...own.map(({ counts }) => counts)),
      record: (r) => this.#record(r, inputs, batch.masked),
    };
  }

  #programFor(key: string, record: (r: Recorder) => void): Promise<Program> {
    return latest(this.#recorded, key, () => this.#engine.record(`gradients ${key}`, record), KEPT_PROGRAMS);
  }

  #record(r: Recorder, inputs: Record<string, Uint32Array | Float32Array>, masked: boolean): void {
    const { model, flat } = this;
    const refs: Record<string, Ref> = {};
    for (const [name, data] of Object.entries(inputs)) {
      const shape = name === "tokens" ? [data.length / 4, 4] : [data.length];
      refs[name] = r.input(name, shape, data instanceof Float32Array ? "f32" : "u32");
    }
    const tape: Tape = {
      r,
      gradientOf(tensor) {
        const gradient = flat.gradientOf(tensor);
        return gradient && r.state(gradient);
      },
      seed: this.#seed,
      step: r.scalar("step", "u32"),
      drawn: 0,
      learnt: new Set(),
    };
    const packed: PackedTokens = { tokens: refs.tokens!, cuSeqlens: refs.cuSeqlens!, masked };
    const segments: EmbeddingSegments = {
      order: refs.order!,
      starts: refs.starts!,
      pieces: refs.pieces!,
      tables: TABLE_INPUTS.map(([starts, targets]) => ({ starts: refs[starts]!, targets: refs[targets]! })),
    };
    const encoded = encode(tape, { packed, wordIds: refs.wordIds, segments }, model);
    const objectives = this.#objectives.map((name) => OBJECTIVES[name]);
    const scales = Object.fromEntries(
      objectives.flatMap(({ counts }) => counts).map((name) => [name, r.scalar(`scale of ${name}`, "f32")]),
    );
    const context = {
      ...{
        tape,
        packed,
        hidden: encoded.out,
        config: model.config,
        weights: model.weights.heads,
        inputs: refs,
        scales,
      },
      ...{ state: r.state(this.state), losses: r.state(this.#losses), classifierDropout: model.dropout.classifier },
    };
    const gradients = objectives.map((objective) => objective.record(context));
    encoded.backward(gradients.reduce((sum, gradient) => add(tape, sum, gradient)));
  }
}

/** By which losses are multiplied to be means over `counts` labels. */
function scalesOf(counts: Readonly<Record<string, number>>): Record<string, number> {
  const scales = Object.entries(counts).map(([name, count]) => {
    const halves = name === "starts" || name === "ends" ? 2 : 1; // the loss is the mean of both
    return [`scale of ${name}`, count > 0 ? 1 / (halves * count) : 0];
  });
  return Object.fromEntries(scales);
}

function recordUpdate(
  r: Recorder,
  { parts }: FlatWeights,
  { state, losses, partials }: Record<"state" | "losses" | "partials", Tensor>,
  options: OptimizerOptions,
  scaled: boolean,
): void {
  const { learningRate = 5e-5, schedule = "linear", warmupSteps = 0, totalSteps } = options;
  const { weightDecay = 0.01, maxGradNorm = 1, betas = [0.9, 0.999], eps = 1e-8 } = options;
  let first = 0;
  for (const { count, gradients } of parts) {
    r.dispatch(sumSquares, { count, first }, { x: gradients, partials: r.state(partials) });
    first += partialsOf(count);
  }
  r.dispatch(
    optimizerStep,
    {
      ...{ count: first, learningRate, schedule, warmupSteps, totalSteps, betas },
      ...{ maxNorm: maxGradNorm, growAfter: scaled ? GROW_AFTER : 0 },
    },
    { partials: r.state(partials), losses: r.state(losses), state: r.state(state) },
  );
  for (const { count, decayed, copies, ...part } of parts) {
    const shape = { count, betas, eps, decay: decayed ? weightDecay : 0, copies: copies !== undefined };
    r.dispatch(adamw, shape, {
      weights: r.state(part.weights),
      gradients: r.state(part.gradients),
      m: r.state(part.m),
      v: r.state(part.v),
      state: r.state(state),
      copies: copies && r.state(copies),
    });
  }
}

function stateOf(words: Uint32Array): StepState {
  const floats = new Float32Array(words.buffer, words.byteOffset, words.length);
  return {
    steps: words[0]!,
    skipped: words[1]!,
    loss: floats[10]!,
    gradNorm: floats[5]!,
    learningRate: floats[7]!,
    lossScale: floats[4]!,
  };
}
