/**
 * Training steps on the GPU: a program for the gradients of a batch, recorded once for a shape, and one for the optimizer's
 * step. Neither is waited for: what is shown is read when it is asked for.
 */

import type { Sequence } from "../bert/batch.ts";
import { packBatch } from "../bert/forward.ts";
import { latest } from "../files/latest.ts";
import { partialsOf, STATE_BYTES } from "../kernels/optimizer/optimizer.ts";
import type { Allocation } from "../runtime/allocation.ts";
import type { Engine } from "../runtime/engine.ts";
import type { PackedTokens } from "../runtime/ops.ts";
import type { Program } from "../runtime/program.ts";
import type { Recorder, Ref } from "../runtime/recorder.ts";
import type { InputData, Tensor } from "../runtime/tensor.ts";
import {
  allocateCache,
  type ChunkOptions,
  type ChunkPlace,
  chunksOf,
  gradientOfChunk,
  keepVectors,
  recordCachedLoss,
  type VectorCache,
} from "./chunks.ts";
import { encode, type TrainedModel } from "./encoder.ts";
import { fillersFor } from "./fillers.ts";
import type { FlatWeights } from "./flat.ts";
import { type Labels, type LossContext, scalesOf } from "./losses.ts";
import { OBJECTIVES, type ObjectiveContext, type ObjectiveName } from "./objectives.ts";
import { add, type EmbeddingSegments, type Tape } from "./operations.ts";
import { segmentsOf, TABLE_INPUTS } from "./segments.ts";
import { isSentenceLoss, SENTENCE_LOSSES } from "./sentence_losses.ts";
import { countedRows, fixedRows, roomFor, rowFillers, rowNumbers, type SentenceRows } from "./sentence_rows.ts";
import { FIRST_SCALE, type OptimizerOptions, recordUpdate, type StepState, stateOf } from "./update.ts";

/** A sequence and what is to be learnt of it. */
export interface Example {
  readonly sequence: Sequence;
  /** Of losses of sentence vectors, what `sequence` is held against: a positive, negatives; as many in all of a batch. */
  readonly more?: readonly Sequence[] | undefined;
  readonly labels: Labels;
}

/** Programs kept for shapes seen lately. */
const KEPT_PROGRAMS = 64;

interface Launch {
  readonly key: string;
  readonly inputs: Readonly<Record<string, InputData | number>>;
  /** Whether it computes a loss: it takes the scales of the counts. */
  readonly loss: boolean;
  /** Whose dropout is drawn; a chunk draws the same each time it is computed. Undefined: none is. */
  readonly chunk: number | undefined;
  record(r: Recorder): void;
}

interface Prepared {
  readonly launches: readonly Launch[];
  /** Each of which draws by a number of its own. */
  readonly chunks: number;
  readonly counts: Readonly<Record<string, number>>;
}

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
  readonly #miniBatchSize: number | undefined;
  #cache: VectorCache | undefined;
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
    miniBatchSize: number | undefined,
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
    this.#miniBatchSize = miniBatchSize;
  }

  /** @param flat filled; it is not disposed with the steps */
  static async create(
    engine: Engine,
    model: TrainedModel,
    flat: FlatWeights,
    objectives: readonly ObjectiveName[],
    options: OptimizerOptions & ChunkOptions,
    seed: number = 0,
  ): Promise<TrainingSteps> {
    const allocation = engine.allocate();
    const count = flat.parts.reduce((sum, part) => sum + partialsOf(part.count), 0);
    try {
      const tensors = {
        state: allocation.tensor("optimizer", [STATE_BYTES / 4], "u32"),
        losses: allocation.tensor("losses", [1], "f32"),
        partials: allocation.tensor("sums of squares", [count], "f32"),
      };
      const scaled = model.dtype === "f16";
      const first = new Uint32Array(STATE_BYTES / 4);
      new Float32Array(first.buffer)[4] = scaled ? FIRST_SCALE : 1;
      tensors.state.write(first);
      await allocation.done();
      const update = await engine.record("optimizer step", (r) => {
        recordUpdate(r, flat, tensors, options, scaled);
        r.output("state", r.state(tensors.state));
      });
      const { miniBatchSize } = options;
      return new TrainingSteps(engine, model, flat, objectives, seed, allocation, tensors, update, miniBatchSize);
    } catch (error) {
      allocation.dispose();
      throw error;
    }
  }

  /** Bytes on the GPU beside the weights and what belongs to them: of the last batches. */
  get bytes(): number {
    return this.#allocation.bytes;
  }

  /** Of them, those of vectors that are kept while a batch is computed in chunks: known once `runBytes` was asked. */
  get cacheBytes(): number {
    return this.#cache?.bytes ?? 0;
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
    for (const batch of batches) await this.#reserve(batch);
    const prepared = batches.map((batch) => this.#prepare(batch));
    const counts: Record<string, number> = {};
    for (const { counts: own } of prepared) {
      for (const [name, count] of Object.entries(own)) counts[name] = (counts[name] ?? 0) + count;
    }
    const scales = scalesOf(counts);
    for (const one of prepared) await this.#submit(one, scales, signal);
    const { read } = await this.#update.submit({}, { readBack, signal });
    return { read: async () => stateOf((await read()).state as Uint32Array) };
  }

  /** Bytes on the GPU that steps take on batches while they run; nothing but a cache is allocated. @throws as `step` */
  async runBytes(batches: readonly (readonly Example[])[]): Promise<number> {
    for (const batch of batches) await this.#reserve(batch);
    const most = new Map(this.#update.memory);
    for (const { key, record } of batches.flatMap((batch) => this.#prepare(batch).launches)) {
      for (const [name, bytes] of (await this.#programFor(key, record)).memory) {
        most.set(name, Math.max(bytes, most.get(name) ?? 0));
      }
    }
    return [...most.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  /** The sum of the gradients of batches that no step was taken on, for tests: those of `step` are gone after it. */
  async gradients(batch: readonly Example[]): Promise<void> {
    await this.#reserve(batch);
    const prepared = this.#prepare(batch);
    await this.#submit(prepared, scalesOf(prepared.counts));
  }

  /** What a step on one batch, in one chunk, runs, to be measured: `gradients` with `inputs`, then `update` without any. */
  async programs(batch: readonly Example[]): Promise<{
    readonly gradients: Program;
    readonly inputs: Readonly<Record<string, InputData | number>>;
    readonly update: Program;
  }> {
    const { launches, counts } = this.#prepare(batch);
    const [{ key, inputs, record }] = launches as [Launch];
    const gradients = await this.#programFor(key, record);
    return { gradients, inputs: { ...inputs, ...scalesOf(counts), step: this.drawn++ }, update: this.#update };
  }

  /** Frees all but the weights. Safe to call twice. */
  dispose(): void {
    this.#recorded.clear();
    this.#cache?.dispose();
    this.#allocation.dispose();
  }

  async #submit({ launches, chunks }: Prepared, scales: Record<string, number>, signal?: AbortSignal): Promise<void> {
    const { drawn } = this;
    this.drawn += chunks;
    for (const { key, inputs, loss, chunk, record } of launches) {
      const program = await this.#programFor(key, record);
      const draw = chunk === undefined ? {} : { step: drawn + chunk };
      await program.submit({ ...inputs, ...(loss && scales), ...draw }, { readBack: false, signal });
    }
  }

  #prepare(examples: readonly Example[]): Prepared {
    if (this.#inChunks(examples)) return this.#prepareChunks(examples);
    const { config, sentence } = this.model;
    const columns = columnsOf(examples, this.#objectives);
    const ofSentences = this.#objectives.some(isSentenceLoss);
    const fillers = this.#fillersOf(examples, columns);
    const { batch, inputs: tokens, key: size } = this.#pack(examples, fillers);
    const labels = (ofSentences ? examples : [...examples, ...fillers]).map(({ labels }) => labels);
    const { room } = ofSentences ? roomFor(examples.length, columns) : { room: examples.length };
    const own = this.#objectives.map((name) => OBJECTIVES[name].prepare(batch, labels, config, { columns, room }));
    const given: Record<string, Uint32Array | Float32Array> = Object.assign({}, ...own.map(({ inputs }) => inputs));
    const inputs = { ...tokens, ...segmentsOf(batch.tokens, config), ...given };
    const sizes = ofSentences ? [columns, room] : Object.values(given).map(({ length }) => length);
    const vectors = { columns, hidden: config.hiddenSize, matryoshka: sentence?.matryoshka };
    const record = (r: Recorder): void => {
      const rows = ofSentences ? countedRows(r, examples.length, vectors) : fixedRows(room, columns);
      this.#record(r, inputs, batch.masked, rows, (context) => {
        const objectives = this.#objectives.map((name) => OBJECTIVES[name]);
        const all = { ...context, ...this.#lossContext(context) };
        const gradients = objectives.map((objective) => objective.record(all));
        return gradients.reduce((sum, gradient) => add(context.tape, sum, gradient));
      });
    };
    return {
      launches: [
        {
          ...{ key: [size, ...sizes].join(), loss: true, chunk: 0, record },
          inputs: { ...inputs, ...(ofSentences && rowNumbers(examples.length, vectors)) },
        },
      ],
      chunks: 1,
      counts: Object.assign({}, ...own.map(({ counts }) => counts)),
    };
  }

  #inChunks({ length }: readonly Example[]): boolean {
    return this.#miniBatchSize !== undefined && length > this.#miniBatchSize;
  }

  /** Sees to it that there is room for the vectors of a batch that is computed in chunks. */
  async #reserve(examples: readonly Example[]): Promise<void> {
    const rows = columnsOf(examples, this.#objectives) * examples.length;
    if (!this.#inChunks(examples) || rows <= (this.#cache?.room ?? 0)) return;
    this.#recorded.clear(); // programs of the cache that goes
    this.#cache?.dispose();
    this.#cache = undefined;
    this.#cache = await allocateCache(this.#engine, rows, this.model.config.hiddenSize);
  }

  #prepareChunks(examples: readonly Example[]): Prepared {
    const { config } = this.model;
    const columns = columnsOf(examples, this.#objectives);
    const [rows, count, cache] = [examples.length, columns * examples.length, this.#cache!];
    const loss = SENTENCE_LOSSES[this.#objectives.find(isSentenceLoss)!];
    const { inputs, counts } = loss.prepare(
      columns,
      examples.map(({ labels }) => labels),
      rows,
    );
    const chunks = chunksOf(examples, this.#miniBatchSize).map((own, chunk) => {
      const { batch, inputs, key: size } = this.#pack(own, this.#fillersOf(own, columns));
      const ownRows = fixedRows(own.length, columns);
      const place = (r: Recorder): ChunkPlace => ({ columns, rows, first: r.scalar("first", "u32") });
      const first = chunk * this.#miniBatchSize! * config.hiddenSize;
      const whole = { ...inputs, ...segmentsOf(batch.tokens, config) };
      const key = [size, own.length, rows].join();
      const keep = (r: Recorder): void =>
        this.#record(r, inputs, batch.masked, ownRows, (context) =>
          keepVectors(context, place(r), r.state(cache.vectors(count))),
        );
      const passOn = (r: Recorder): void =>
        this.#record(r, whole, batch.masked, ownRows, (context) =>
          gradientOfChunk(context, place(r), r.state(cache.gradients(count))),
        );
      return [
        { key: `vectors ${key}`, inputs: { ...inputs, first }, loss: false, chunk, record: keep },
        { key: `chunk ${key}`, inputs: { ...whole, first }, loss: false, chunk, record: passOn },
      ] as const;
    });
    const record = (r: Recorder): void => {
      const refs = inputsIn(r, inputs);
      const tape = this.#tape(r);
      const sentence = this.model.sentence!;
      const context = { ...this.#lossContext({ tape, inputs: refs }), sentence };
      recordCachedLoss(context, loss, rows, r.state(cache.vectors(count)), r.state(cache.gradients(count)));
    };
    return {
      launches: [
        ...chunks.map(([keep]) => keep),
        { key: `loss ${[rows, columns].join()}`, inputs, loss: true, chunk: 0, record },
        ...chunks.map(([, passOn]) => passOn),
      ],
      chunks: chunks.length,
      counts,
    };
  }

  #fillersOf(examples: readonly Example[], columns: number): Example[] {
    const { config } = this.model;
    if (this.#objectives.some(isSentenceLoss)) {
      const lengths = sequencesOf(examples, columns).map(({ inputIds }) => inputIds.length);
      const fillers = rowFillers(lengths, examples.length, config.maxPositionEmbeddings);
      return fillers.map((sequence) => ({ sequence, labels: {} }));
    }
    const objectives = this.#objectives.map((name) => OBJECTIVES[name]);
    if (!objectives.every(({ unlabelled }) => unlabelled)) return [];
    const lengths = examples.map(({ sequence }) => sequence.inputIds.length);
    return fillersFor(lengths, config.maxPositionEmbeddings).map((sequence) => {
      const { length } = sequence.inputIds;
      return { sequence, labels: Object.assign({}, ...objectives.map((own) => own.unlabelled!(length, config))) };
    });
  }

  #pack(examples: readonly Example[], fillers: readonly Example[] = []) {
    const columns = columnsOf(examples, this.#objectives);
    const sequences = [...sequencesOf(examples, columns), ...fillers.map(({ sequence }) => sequence)];
    const batch = packBatch(sequences, this.model.config);
    const { tokens, cuSeqlens, wordIds, masked } = batch;
    const split = this.model.weights.embeddings.word.parts.length > 1;
    return {
      batch,
      inputs: { tokens, cuSeqlens, ...(split && { wordIds }) },
      key: [wordIds.length, sequences.length, masked].join(),
    };
  }

  #programFor(key: string, record: (r: Recorder) => void): Promise<Program> {
    return latest(this.#recorded, key, () => this.#engine.record(`gradients ${key}`, record), KEPT_PROGRAMS);
  }

  #tape(r: Recorder): Tape {
    return {
      r,
      gradientOf: (tensor) => {
        const gradient = this.flat.gradientOf(tensor);
        return gradient && r.state(gradient);
      },
      seed: this.#seed,
      step: r.scalar("step", "u32"),
      drawn: 0,
      learnt: new Set(),
    };
  }

  #lossContext({ tape, inputs }: Pick<LossContext, "tape" | "inputs">): LossContext {
    const { r } = tape;
    const counts = this.#objectives.flatMap((name) => OBJECTIVES[name].counts);
    const scales = Object.fromEntries(counts.map((name) => [name, r.scalar(`scale of ${name}`, "f32")]));
    return { tape, inputs, scales, state: r.state(this.state), losses: r.state(this.#losses) };
  }

  /** The encoder, and what is done with its hidden states. @param use gives their gradient, where it goes back */
  #record(
    r: Recorder,
    inputs: Readonly<Record<string, Uint32Array | Float32Array>>,
    masked: boolean,
    rows: SentenceRows,
    use: (context: Omit<ObjectiveContext, "scales" | "state" | "losses">) => Ref | undefined,
  ): void {
    const { model } = this;
    const refs = inputsIn(r, inputs);
    const tape = this.#tape(r);
    const packed: PackedTokens = { tokens: refs.tokens!, cuSeqlens: refs.cuSeqlens!, masked };
    const segments: EmbeddingSegments = {
      order: refs.order!,
      starts: refs.starts!,
      pieces: refs.pieces!,
      tables: TABLE_INPUTS.map(([starts, targets]) => ({ starts: refs[starts]!, targets: refs[targets]! })),
    };
    const encoded = encode(tape, { packed, wordIds: refs.wordIds, segments }, model);
    const { config, sentence, dropout } = model;
    const dHidden = use({
      ...{ tape, packed, hidden: encoded.out, config, weights: model.weights.heads, inputs: refs },
      ...{ classifierDropout: dropout.classifier, rows, sentence },
    });
    if (dHidden) encoded.backward(dHidden);
  }
}

function inputsIn(r: Recorder, inputs: Readonly<Record<string, Uint32Array | Float32Array>>): Record<string, Ref> {
  const refs: Record<string, Ref> = {};
  for (const [name, data] of Object.entries(inputs)) {
    const shape = name === "tokens" ? [data.length / 4, 4] : [data.length];
    refs[name] = r.input(name, shape, data instanceof Float32Array ? "f32" : "u32");
  }
  return refs;
}

/** Column by column. */
function sequencesOf(examples: readonly Example[], columns: number): Sequence[] {
  return Array.from({ length: columns }, (_, column) =>
    examples.map(({ sequence, more }) => (column === 0 ? sequence : more![column - 1]!)),
  ).flat();
}

/** Sequences of each example. @throws RangeError where examples have unlike many, or more than an objective takes */
function columnsOf(examples: readonly Example[], objectives: readonly ObjectiveName[]): number {
  const [first = 0, ...others] = examples.map(({ more }) => more?.length ?? 0);
  const row = 1 + others.findIndex((count) => count !== first);
  if (row > 0) {
    throw new RangeError(`example ${row} has ${others[row - 1]} more sequences, example 0 has ${first}`);
  }
  if (first > 0 && !objectives.every(isSentenceLoss)) {
    throw new RangeError(`${objectives.join(", ")} takes one sequence of an example; example 0 has ${first} more`);
  }
  return 1 + first;
}
