/**
 * A run of training: epochs of batches, a step on each or on several, what is told of them, evaluations and checkpoints.
 * A run may end after any step and be gone on with from a checkpoint: its weights are then the same bits as if it had not.
 */

import type { Folder } from "../files/bytes.ts";
import type { Engine } from "../runtime/engine.ts";
import { batchesOf, inOrder, tokensOf } from "./batches.ts";
import { checkpointFiles, modelFiles, readsStart, restoreFlat } from "./checkpoint.ts";
import { type Evaluation, type EvaluationForward, forwardOf } from "./evaluation.ts";
import { type TrainerEvent, TrainingError } from "./events.ts";
import type { FlatWeights } from "./flat.ts";
import { type InitialWeights, initialWeights } from "./initial.ts";
import { type MemoryPart, memoryOf, requireMemory } from "./memory.ts";
import { openStart, type StartingModel } from "./model_folder.ts";
import { requireOptions, type TrainerOptions, type TrainingData } from "./options.ts";
import { readTensor } from "./read.ts";
import { decisionsOf, type Plan, planOf } from "./run_plan.ts";
import { type Example, TrainingSteps } from "./step.ts";
import type { Store, StoredFile } from "./store.ts";
import {
  type Best,
  differences,
  type LogRow,
  type Place,
  type RunState,
  readState,
  writeState,
} from "./trainer_state.ts";
import type { StepState } from "./update.ts";

/** What a run has beside its model and its data. */
export interface TrainerParts {
  readonly evaluation?: Evaluation | undefined;
  /**
   * What tells it from other evaluations: which step is the best, and whether a run ends early, follows from it, so that a
   * run is gone on with by an evaluation of the same fingerprint alone.
   */
  readonly evaluationFingerprint?: string | undefined;
  /** Where checkpoints go; without it there are none. */
  readonly store?: Store | undefined;
}

/** A step that is submitted, and whose numbers are not read yet. */
interface Pending {
  readonly step: number;
  readonly epoch: number;
  readonly tokens: number;
  read(): Promise<StepState>;
}

/** Steps that may be submitted before the numbers of the first are waited for. */
const AHEAD = 3;
const CHECKPOINT = /^checkpoint-(\d+)$/;

export class Trainer {
  readonly options: TrainerOptions;
  readonly totalSteps: number;
  /** Names of tensors that the checkpoint lacked, and that began random. */
  readonly random: readonly string[];
  readonly #engine: Engine;
  readonly #start: StartingModel;
  readonly #flat: FlatWeights;
  readonly #steps: TrainingSteps;
  readonly #data: TrainingData;
  readonly #parts: TrainerParts;
  readonly #forward: EvaluationForward;
  readonly #decisions: RunState["decisions"];
  /** Of each epoch, as far as they are known. */
  #batchCounts: number[];
  readonly #largest: Plan["largest"];
  readonly #generation: number;
  #place: Place = { step: 0, epoch: 0, batches: 0, drawn: 0, tokens: 0 };
  #history: LogRow[] = [];
  #best: Best | undefined;
  #waited = 0;
  #saved: string | undefined;
  #pending: Pending[] = [];
  #shown = { losses: 0, steps: 0, tokens: 0, since: 0 };
  #running = false;
  #failure: unknown;

  private constructor(made: {
    readonly engine: Engine;
    readonly start: StartingModel;
    readonly steps: TrainingSteps;
    readonly data: TrainingData;
    readonly options: TrainerOptions;
    readonly parts: TrainerParts;
    readonly plan: Plan;
    readonly begun: InitialWeights;
  }) {
    const { engine, start, steps, data, options, parts, plan, begun } = made;
    const { flat, random } = begun;
    this.#engine = engine;
    this.#start = start;
    this.#flat = flat;
    this.#steps = steps;
    this.#data = data;
    this.#parts = parts;
    this.options = options;
    this.random = random;
    this.totalSteps = plan.totalSteps;
    this.#batchCounts = plan.batchCounts;
    this.#largest = plan.largest;
    this.#generation = engine.generation;
    this.#forward = forwardOf(engine, steps.model);
    this.#decisions = decisionsOf(engine, start, data, parts, options, plan.totalSteps, begun.fingerprint);
  }

  /**
   * Loads a model folder, counts the steps and looks at the largest batches; nothing is trained yet.
   * @param folder config.json, and unless `fromScratch` weights, in Hugging Face's layout
   * @throws ModelError, CheckpointError for the folder; TypeError, RangeError for options, for data without examples, and
   * for more memory than `memoryLimit`, with both numbers; GpuError
   */
  static async create(
    engine: Engine,
    folder: Folder,
    data: TrainingData,
    options: TrainerOptions,
    parts: TrainerParts = {},
  ): Promise<Trainer> {
    requireOptions(options);
    const { objectives, dtype = "f32", seed = 0, warmupSteps: warmup = 0, memoryLimit } = options;
    if (dtype === "f16" && !engine.hasF16) {
      throw new RangeError(`dtype f16 needs the feature shader-f16, which ${engine.adapter.name} lacks; use f32`);
    }
    const start = await openStart(folder, options);
    const { config, heads, deviation, checkpoint, dropout, partly } = start;
    let kept = false;
    let flat: FlatWeights | undefined;
    let steps: TrainingSteps | undefined;
    try {
      const plan = await planOf(data, options);
      await engine.ready();
      const begun = await initialWeights(engine, config, heads, dtype, checkpoint, { seed, deviation, ...partly });
      flat = begun.flat;
      const { totalSteps } = plan;
      const warmupSteps = warmup < 1 ? Math.ceil(warmup * totalSteps) : warmup;
      const { recompute } = options;
      const model = { config, dtype, weights: flat.weights, dropout, sentence: start.sentence?.settings, recompute };
      steps = await TrainingSteps.create(
        engine,
        model,
        flat,
        objectives,
        { ...options, totalSteps, warmupSteps },
        seed >>> 0,
      );
      const trainer = new Trainer({ engine, start, steps, data, options, parts, plan, begun });
      if (memoryLimit !== undefined) requireMemory(await trainer.memory(), memoryLimit);
      kept = readsStart(start, flat);
      return trainer;
    } catch (error) {
      steps?.dispose();
      flat?.dispose();
      throw error;
    } finally {
      if (!kept) await checkpoint?.close();
    }
  }

  /** Steps so far. */
  get step(): number {
    return this.#place.step;
  }

  get finished(): boolean {
    const { earlyStopping } = this.options;
    return this.#place.step >= this.totalSteps || (earlyStopping !== undefined && this.#waited >= earlyStopping);
  }

  /** By `metric`, of the evaluations so far. */
  get best(): Best | undefined {
    return this.#best;
  }

  /** What is told of steps and evaluations, as trainer_state.json has it. */
  get history(): readonly LogRow[] {
    return this.#history;
  }

  /** Bytes on the GPU: those that are taken, and those of a step on the largest batches. */
  memory(): Promise<MemoryPart[]> {
    return memoryOf(this.#flat, this.#steps, this.#largest);
  }

  /**
   * Trains to the end, or until the signal is aborted: then it ends after the step that is under way, and a later call goes
   * on.
   * @throws TrainingError for a loss that is not finite, for a lost device and for what else the GPU could not do: this
   * trainer is of no use then, a new one may go on from a checkpoint. RangeError for labels, and what the data, the
   * evaluation and the store throw: a later call goes on
   */
  async *run({ signal }: { readonly signal?: AbortSignal | undefined } = {}): AsyncGenerator<TrainerEvent> {
    if (this.#running) throw new Error("this trainer runs already");
    this.#running = true;
    this.#shown = { ...this.#shown, tokens: 0, since: Date.now() };
    try {
      if (this.#saved !== undefined) await this.#prune(); // of a run that was killed before it had
      while (!this.finished && !signal?.aborted) yield* this.#epoch(signal);
      yield* this.#settle(0);
    } finally {
      this.#running = false;
    }
  }

  /**
   * Writes a checkpoint to the store, and removes those beyond `saveLimit`.
   * @returns its folder
   */
  async save(): Promise<string> {
    const { store } = this.#parts;
    if (!store) throw new TypeError("there is no store: give one to Trainer.create");
    for await (const _ of this.#settle(0)); // a step that went wrong is told before anything is written
    const folder = `checkpoint-${this.#place.step}`;
    await this.#onDevice(() => store.write(folder, this.snapshot()));
    this.#saved = folder;
    await this.#prune();
    return folder;
  }

  /** The files of a checkpoint. Read each to its end, between two steps. */
  async *snapshot(): AsyncGenerator<StoredFile> {
    this.#requireUsable();
    for await (const _ of this.#settle(0));
    const { step, epoch, batches } = this.#place;
    const { options, totalSteps } = this;
    const optimizer = [...(await readTensor(this.#engine, this.#steps.state))];
    const untold = { losses: this.#shown.losses, steps: this.#shown.steps };
    const state = {
      ...{ place: { ...this.#place, drawn: this.#steps.drawn }, optimizer, decisions: this.#decisions },
      ...{ batchCounts: this.#batchCounts, untold },
      ...{ best: this.#best, waited: this.#waited, history: this.#history },
    };
    const totals = {
      ...{ totalSteps, progress: this.#progress(epoch, batches), epochs: options.epochs ?? Math.max(1, epoch) },
      ...{ batchSize: options.batchSize ?? 8, loggingSteps: options.loggingSteps ?? 10, step },
      ...{ evalSteps: options.evalSteps, saveSteps: options.saveSteps },
    };
    yield* checkpointFiles(this.#engine, this.#start, this.#flat, writeState(state, totals));
  }

  /** The files of the model as it is now, as transformers writes them. Read each to its end, between two steps. */
  async *model(): AsyncGenerator<StoredFile> {
    this.#requireUsable();
    for await (const _ of this.#settle(0));
    yield* modelFiles(this.#engine, this.#start, this.#flat);
  }

  /**
   * Takes up a run where a checkpoint left it.
   * @param folder default: the last checkpoint of the store
   * @returns its name; undefined where there is none, and nothing is changed
   * @throws CheckpointError for one that is damaged, RangeError for one of another run, with all that is different, before
   * anything is changed
   */
  async restore(folder?: Folder | string): Promise<string | undefined> {
    this.#requireUsable();
    if (this.#running) throw new Error("this trainer runs: end it before it is restored");
    const { store } = this.#parts;
    const name = typeof folder === "object" ? undefined : (folder ?? numbered((await store?.list()) ?? []).at(-1));
    if (name === undefined && folder === undefined) return undefined;
    const opened = typeof folder === "object" ? folder : await store?.open(name!);
    if (!opened) throw new RangeError(`${store?.name ?? "no store"}: there is no checkpoint ${name}`);
    const state = await readState(opened);
    const changed = differences(state.decisions, this.#decisions);
    if (changed.length > 0)
      throw new RangeError(`${opened.name} is of another run; go on with what that began with: ${changed.join("; ")}`);
    await restoreFlat(this.#engine, this.#start, this.#flat, opened);
    this.#steps.state.write(Uint32Array.from(state.optimizer));
    await this.#steps.state.ready();
    this.#steps.drawn = state.place.drawn;
    this.#place = { ...state.place };
    this.#batchCounts = [...state.batchCounts];
    this.#shown = { ...this.#shown, ...state.untold };
    this.#history = [...state.history];
    this.#best = state.best;
    this.#waited = state.waited;
    this.#saved = name ?? opened.name;
    this.#pending = [];
    return this.#saved;
  }

  /** Frees all that is on the GPU, and closes what is read. Safe to call twice. */
  dispose(): void {
    this.#failure ??= new Error("the trainer was disposed; create a new one");
    void this.#start.checkpoint?.close();
    this.#steps.dispose();
    this.#flat.dispose();
  }

  async *#epoch(signal: AbortSignal | undefined): AsyncGenerator<TrainerEvent> {
    const { gradientAccumulation = 1, evalSteps, saveSteps } = this.options;
    const place = this.#place;
    const { evaluation, store } = this.#parts;
    let seen = 0;
    for await (const group of inOrder(batchesOf(this.#data.epoch(place.epoch), this.options), gradientAccumulation)) {
      seen += group.length;
      if (seen <= place.batches) continue; // steps were taken on these before
      if (this.finished || signal?.aborted) break;
      await this.#take(group);
      yield* this.#settle(AHEAD);
      if (place.step === this.totalSteps) continue; // what is due then is done below: no run is resumed in between
      const evaluated = evalSteps !== undefined && place.step % evalSteps === 0;
      const due = saveSteps !== undefined && place.step % saveSteps === 0;
      yield* this.#pause(evaluated, due);
    }
    if (seen === 0) throw new RangeError(`epoch ${place.epoch} has no examples`);
    const over = seen <= place.batches;
    if (!over && !this.finished) return; // aborted
    if (over) {
      this.#batchCounts[place.epoch] ??= seen;
      place.epoch++;
      place.batches = 0;
    }
    const ended = place.step === this.totalSteps;
    yield* this.#pause(
      evaluation !== undefined && (evalSteps === undefined || (ended && place.step % evalSteps === 0)),
      store !== undefined && (saveSteps === undefined || ended),
    );
  }

  /** A step on these batches together. */
  async #take(batches: readonly (readonly Example[])[]): Promise<void> {
    this.#requireUsable();
    const place = this.#place;
    const step = place.step + 1;
    const { drawn } = this.#steps;
    try {
      const { read } = await this.#steps.step(batches);
      const tokens = batches.reduce((sum, batch) => sum + tokensOf(batch), 0);
      place.step = step;
      place.batches += batches.length;
      place.tokens += tokens;
      this.#pending.push({ step, epoch: this.#progress(place.epoch, place.batches), tokens, read });
    } catch (error) {
      if (error instanceof RangeError && this.#steps.drawn === drawn) throw error; // labels: nothing was submitted
      throw this.#fail(step, (error as Error).message, error);
    }
  }

  /** Reads the numbers of steps until so many are left, and tells of those that are due. */
  async *#settle(left: number): AsyncGenerator<TrainerEvent> {
    const { loggingSteps = 10, dtype = "f32" } = this.options;
    while (this.#pending.length > left) {
      this.#requireUsable();
      const { step, epoch, tokens, read } = this.#pending.shift()!;
      let state: StepState;
      try {
        state = await read();
      } catch (error) {
        throw this.#fail(step, (error as Error).message, error);
      }
      const { loss, gradNorm, learningRate, skipped, lossScale } = state;
      const lost = Number.isFinite(gradNorm) ? undefined : `the gradient is not finite (its norm is ${gradNorm})`;
      if (!Number.isFinite(loss))
        throw this.#fail(step, `the loss is ${loss}: lower the learning rate, look at the data`);
      if (lost && (dtype === "f32" || lossScale <= 1)) throw this.#fail(step, `${lost}: lower the learning rate`);
      const shown = this.#shown;
      shown.losses += loss;
      shown.steps++;
      shown.tokens += tokens;
      if (step % loggingSteps !== 0 && step !== this.totalSteps) continue;
      const mean = shown.losses / shown.steps;
      const now = Date.now();
      const tokensPerSecond = shown.tokens / (Math.max(1, now - shown.since) / 1000);
      this.#shown = { losses: 0, steps: 0, tokens: 0, since: now };
      this.#history.push({ epoch, grad_norm: gradNorm, learning_rate: learningRate, loss: mean, step });
      yield { kind: "step", step, epoch, loss: mean, gradNorm, learningRate, tokensPerSecond, skipped, lossScale };
    }
  }

  /** Between two steps: an evaluation, and a checkpoint where one is due or this is the best. */
  async *#pause(evaluated: boolean, due: boolean): AsyncGenerator<TrainerEvent> {
    const { evaluation, store } = this.#parts;
    const { step, epoch: at, batches } = this.#place;
    const epoch = this.#progress(at, batches);
    let best = false;
    if (evaluated && evaluation) {
      yield* this.#settle(0);
      const metrics = await this.#onDevice(() => evaluation(this.#forward));
      const row = Object.entries(metrics).map(([name, value]) => [`eval_${name}`, value]);
      this.#history.push({ epoch, step, ...Object.fromEntries(row) });
      best = this.#judge(metrics);
      yield { kind: "evaluation", step, epoch, metrics, best };
    }
    if (!store || !(due || best)) return;
    yield* this.#settle(0);
    yield { kind: "saved", step, folder: await this.save() };
  }

  /** Removes checkpoints beyond `saveLimit`, oldest first: never the best, nor the one that a later run would go on from. */
  async #prune(): Promise<void> {
    const { store } = this.#parts;
    const { saveLimit } = this.options;
    if (!store || saveLimit === undefined) return;
    for (const name of numbered(await store.list()).slice(0, -saveLimit)) {
      if (name !== this.#best?.checkpoint && name !== this.#saved) await store.remove(name);
    }
  }

  /** @returns whether it is the best so far */
  #judge(metrics: Readonly<Record<string, number>>): boolean {
    const { metric: name, greaterIsBetter = !/(loss|perplexity|error)$/i.test(name ?? "") } = this.options;
    if (name === undefined) return false;
    const metric = metrics[name];
    if (metric === undefined) {
      throw new RangeError(`the evaluation gives no ${name}; it gives ${Object.keys(metrics).join(", ")}`);
    }
    const before = this.#best?.metric;
    const better = before === undefined ? !Number.isNaN(metric) : greaterIsBetter ? metric > before : metric < before;
    this.#waited = better ? 0 : this.#waited + 1;
    if (!better) return false;
    const { step } = this.#place;
    this.#best = { step, metric, checkpoint: this.#parts.store && `checkpoint-${step}` };
    return true;
  }

  #progress(epoch: number, batches: number): number {
    const count = this.#batchCounts[epoch] ?? this.#batchCounts[epoch - 1];
    return count ? epoch + batches / count : epoch;
  }

  #fail(step: number, fault: string, cause?: unknown): TrainingError {
    // of an engine that has another device by now, what went wrong was that its tensors are not there
    const lost =
      this.#engine.generation !== this.#generation || (cause as Error | undefined)?.name === "DeviceLostError";
    const error = new TrainingError(step, lost ? "the GPU device was lost" : fault, this.#saved, cause);
    this.#failure ??= error;
    return error;
  }

  #requireUsable(): void {
    if (this.#failure) throw this.#failure;
    if (this.#engine.generation !== this.#generation) throw this.#fail(this.step, "");
  }

  /** Work of which a fault is the caller's, unless the device was lost over it. */
  async #onDevice<T>(work: () => Promise<T>): Promise<T> {
    this.#requireUsable();
    try {
      return await work();
    } catch (error) {
      if ((error as Error | undefined)?.name === "DeviceLostError") throw this.#fail(this.step, "", error);
      this.#requireUsable();
      throw error;
    }
  }
}

/** Names of checkpoints, oldest first. */
function numbered(names: readonly string[]): string[] {
  const stepOf = (name: string): number => Number(CHECKPOINT.exec(name)![1]);
  return names.filter((name) => CHECKPOINT.test(name)).sort((a, b) => stepOf(a) - stepOf(b));
}
