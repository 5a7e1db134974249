/**
 * A BERT with its weights on the GPU. `forward` takes sequences of any lengths, without padding, and computes what is
 * asked for; it is recorded once per shape and replayed.
 */

import { type Folder, readText } from "../files/bytes.ts";
import { type Checkpoint, openCheckpoint } from "../files/checkpoint.ts";
import type { Allocation } from "../runtime/allocation.ts";
import type { BoundProgram } from "../runtime/bound.ts";
import type { Engine } from "../runtime/engine.ts";
import type { Program, RunOptions } from "../runtime/program.ts";
import { missingForInt8 } from "../runtime/quantize.ts";
import type { Recorder } from "../runtime/recorder.ts";
import type { InputData } from "../runtime/tensor.ts";
import { type Batch, packBatch, type Sequence } from "./batch.ts";
import { type BertConfig, ModelError, parseConfig } from "./config.ts";
import { type ClassifierKind, type ForwardShape, recordForward } from "./forward.ts";
import { collect, type Forward, type Wanted } from "./outputs.ts";
import {
  type AllocatedWeights,
  activationsOf,
  allocateWeights,
  type BertWeights,
  checkWeights,
  type FillOptions,
  fillWeights,
  type Parts,
  type WeightStorage,
} from "./weights.ts";

export interface LoadOptions extends FillOptions {
  /**
   * Storage of weights and activations; arithmetic is f32. Default f32. `q8`: the encoder's linear layers in int8, a
   * quarter of the memory, and their inputs rounded to int8 as they are multiplied; all else in f32.
   */
  readonly dtype?: WeightStorage | undefined;
  /** What will be asked for: its kernels compile while the weights load. The encoder's do in any case. */
  readonly wanted?: Wanted | undefined;
}

interface Loaded {
  readonly weights: BertWeights;
  /** Of them. */
  readonly allocation: Allocation;
}

/** A forward pass with GPU memory of its own: see `BertModel.bind`. */
export interface BoundForward extends Omit<BoundProgram, "write"> {
  /** Where each sequence's tokens begin, [sequences + 1]. */
  readonly cuSeqlens: Uint32Array;
  /**
   * Writes other sequences of the same lengths through the device's queue. An app may also fill `inputs.tokens` itself:
   * u32 [tokens, 4] of word id, token type, position, 1 unless masked; ids are not checked then.
   * @throws RangeError for other lengths, and as `forward`
   */
  write(sequences: readonly Sequence[]): void;
}

/** Programs kept for shapes seen lately; the least recently used goes first. They hold no GPU memory of their own. */
const KEPT_PROGRAMS = 64;

export class BertModel {
  readonly name: string;
  readonly config: BertConfig;
  /** Storage of activations: f32 for a model in q8. */
  readonly dtype: "f32" | "f16";
  readonly classifierKind: ClassifierKind | undefined;
  readonly #engine: Engine;
  readonly #folder: Folder;
  readonly #storage: WeightStorage;
  #weights: BertWeights;
  #allocation: Allocation;
  /** Of the engine's device that holds the weights. */
  #generation: number;
  #reloading: Promise<void> | undefined;
  readonly #programs = new Map<string, Promise<Program>>();
  #disposed = false;

  private constructor(engine: Engine, folder: Folder, config: BertConfig, storage: WeightStorage, loaded: Loaded) {
    this.#engine = engine;
    this.#folder = folder;
    this.#storage = storage;
    this.name = folder.name;
    this.config = config;
    this.dtype = activationsOf(storage);
    this.#weights = loaded.weights;
    this.#allocation = loaded.allocation;
    this.#generation = engine.generation;
    this.classifierKind = loaded.weights.classifier && classifierKind(config);
  }

  /**
   * Loads a model folder in Hugging Face layout: config.json beside model.safetensors or its shards.
   * @throws ModelError or SafetensorsError with every fault, before anything is allocated on the GPU
   */
  static async load(engine: Engine, folder: Folder, options: LoadOptions = {}): Promise<BertModel> {
    const { dtype = "f32", wanted = {} } = options;
    if (dtype === "f16" && !engine.hasF16) {
      throw new ModelError(folder.name, [
        `dtype f16 needs the feature shader-f16, which ${engine.adapter.name} lacks; use f32`,
      ]);
    }
    const missing = dtype === "q8" ? missingForInt8() : undefined;
    if (missing) {
      throw new ModelError(folder.name, [
        `dtype q8 needs the WGSL language feature ${missing}, which this browser lacks; use f32 or f16`,
      ]);
    }
    const { config, checkpoint, parts } = await openModel(folder);
    try {
      await engine.ready();
      const { allocated, allocation } = await allocate(engine, config, checkpoint, parts, dtype);
      const model = new BertModel(engine, folder, config, dtype, { ...allocated, allocation });
      // Shaders depend on the model's sizes, hardly on the batch's: those of a short text will do for most, and all layers
      // have the same. Some drivers compile when a kernel first runs, so it runs now, on whatever the weights hold so far.
      const layers = allocated.weights.layers.slice(0, 1);
      const oneLayer = { allocation: engine.allocate(), weights: { ...allocated.weights, layers } };
      const short = { ...config, numHiddenLayers: layers.length };
      const compiled = new BertModel(engine, folder, short, dtype, oneLayer).forward(
        [{ inputIds: new Uint8Array(Math.min(16, config.maxPositionEmbeddings)) }],
        wanted,
      );
      const filled = fillWeights(allocation, checkpoint, allocated, activationsOf(dtype), options);
      const failed = (await Promise.allSettled([compiled, filled])).find(({ status }) => status === "rejected");
      if (failed) {
        model.dispose();
        throw (failed as PromiseRejectedResult).reason;
      }
      return model;
    } finally {
      await checkpoint.close();
    }
  }

  /** Bytes of the weights on the GPU. */
  get weightBytes(): number {
    return this.#allocation.bytes;
  }

  /** Which outputs this checkpoint has weights for. */
  has(output: keyof Wanted): boolean {
    const { pooler, maskedLm, nextSentence, classifier, qaOutputs } = this.#weights;
    if (output === "poolerOutput") return pooler !== undefined;
    if (output.startsWith("prediction") || output === "layerPredictionTopK") return maskedLm !== undefined;
    if (output === "seqRelationshipLogits") return nextSentence !== undefined && pooler !== undefined;
    if (output === "logits") {
      return classifier !== undefined && (this.classifierKind === "token" || pooler !== undefined);
    }
    if (output === "spanLogits") return qaOutputs !== undefined;
    return true;
  }

  /**
   * Computes what is wanted for a batch. Sequences do not see each other: a batched row equals the same row alone.
   * @throws RangeError for ids, types or positions out of range, ModelError for an output the checkpoint has no head for
   */
  async forward(sequences: readonly Sequence[], wanted: Wanted, options: RunOptions = {}): Promise<Forward> {
    const { batch, program, inputs } = await this.#prepare(sequences, wanted);
    return collect(await program.run(inputs, options), batch.cuSeqlens, wanted, {
      ...this.config,
      labels: this.#weights.classifier?.weight.rows ?? 0,
    });
  }

  /**
   * The same computation with GPU memory of its own, to be encoded into the app's own command encoder. The ids of
   * `sequences` are written; outputs are GPU buffers under the names of `Wanted`, with the shapes it gives
   * (`hiddenStates.0`, `topIds`, `spanLogits` [tokens, 2] and the like), in f16 for a model in f16. Nothing is read back.
   * @throws as `forward`
   */
  async bind(sequences: readonly Sequence[], wanted: Wanted): Promise<BoundForward> {
    const { batch, program, inputs } = await this.#prepare(sequences, wanted);
    const bound = await program.bind();
    bound.write(inputs);
    return {
      ...bound,
      cuSeqlens: batch.cuSeqlens,
      write: (others) => {
        const next = packBatch(others, this.config);
        const { cuSeqlens, masked } = batch;
        if (next.cuSeqlens.length !== cuSeqlens.length || next.cuSeqlens.some((start, i) => start !== cuSeqlens[i])) {
          throw new RangeError(
            `sequences of ${lengthsOf(next)} tokens, bound are ${lengthsOf(batch)}; bind the others as well`,
          );
        }
        if (next.masked && !masked) {
          throw new RangeError("a token is masked, bound are sequences without masked tokens; bind these as well");
        }
        bound.write(
          "wordIds" in bound.inputs ? { tokens: next.tokens, wordIds: next.wordIds } : { tokens: next.tokens },
        );
      },
      encode: (target) => {
        this.#requireAlive();
        bound.encode(target);
      },
    };
  }

  /** The recorded program for these shapes, its inputs and what it will do: for benches and for profiling. */
  async program(
    sequences: readonly Sequence[],
    wanted: Wanted,
  ): Promise<{ program: Program; inputs: Record<string, InputData> }> {
    return this.#prepare(sequences, wanted);
  }

  /** Frees the weights. Safe to call twice. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#programs.clear();
    this.#allocation.dispose();
  }

  async #prepare(
    sequences: readonly Sequence[],
    wanted: Wanted,
  ): Promise<{ batch: Batch; program: Program; inputs: Record<string, InputData> }> {
    this.#requireAlive();
    await this.#onDevice();
    this.#requireHeads(wanted);
    const batch = packBatch(sequences, this.config);
    const total = batch.wordIds.length;
    const rows = wanted.predictionRows;
    const bad = rows?.find((row) => !Number.isInteger(row) || row < 0 || row >= total);
    if (bad !== undefined) throw new RangeError(`predictionRows holds ${bad}, the batch has tokens 0 to ${total - 1}`);
    for (const name of ["predictionTopK", "layerPredictionTopK"] as const) {
      const k = wanted[name];
      if (k !== undefined && !(Number.isInteger(k) && k >= 1 && k <= this.config.vocabSize)) {
        throw new RangeError(`${name} is ${k}, it must be from 1 to the vocabulary's ${this.config.vocabSize}`);
      }
    }
    const probOffsets = wanted.attentions
      ? probabilityOffsets(batch.cuSeqlens, this.config.numAttentionHeads)
      : undefined;
    const shape: ForwardShape = {
      tokens: total,
      sequences: sequences.length,
      masked: batch.masked,
      rows: rows?.length,
      probSize: probOffsets?.at(-1) ?? 0,
    };
    const key = JSON.stringify([shape, { ...wanted, predictionRows: undefined }]);
    const { config, dtype, classifierKind } = this;
    const model = { config, dtype, classifierKind, weights: this.#weights };
    const program = await this.#programFor(key, (r) => recordForward(r, shape, wanted, model));
    const inputs: Record<string, InputData> = { tokens: batch.tokens, cuSeqlens: batch.cuSeqlens };
    if (this.#weights.embeddings.word.parts.length > 1) inputs.wordIds = batch.wordIds;
    if (probOffsets) inputs.probOffsets = probOffsets.subarray(0, sequences.length);
    if (rows) inputs.predictionRows = Uint32Array.from(rows);
    return { batch, program, inputs };
  }

  #requireAlive(): void {
    if (this.#disposed) throw new Error(`${this.name}: the model was disposed; load it again`);
  }

  /** Loads the weights again where the engine had to open another device. */
  async #onDevice(): Promise<void> {
    await this.#engine.ready();
    if (this.#generation === this.#engine.generation) return;
    this.#reloading ??= this.#reload().finally(() => {
      this.#reloading = undefined;
    });
    await this.#reloading;
    this.#requireAlive();
  }

  async #reload(): Promise<void> {
    const { config, checkpoint, parts } = await openModel(this.#folder);
    try {
      if (JSON.stringify(config) !== JSON.stringify(this.config)) {
        throw new ModelError(this.name, ["config.json has changed since the model was loaded; load it anew"]);
      }
      const engine = this.#engine;
      const { generation } = engine;
      const { allocated, allocation } = await allocate(engine, config, checkpoint, parts, this.#storage);
      try {
        await fillWeights(allocation, checkpoint, allocated, this.dtype);
        this.#requireAlive();
      } catch (error) {
        allocation.dispose();
        throw error;
      }
      this.#weights = allocated.weights;
      this.#allocation = allocation;
      this.#generation = generation;
      this.#programs.clear();
    } finally {
      await checkpoint.close();
    }
  }

  #programFor(key: string, build: (r: Recorder) => void): Promise<Program> {
    const program = this.#programs.get(key) ?? this.#engine.record(`bert ${key}`, build);
    this.#programs.delete(key);
    this.#programs.set(key, program); // now the most recent
    program.catch(() => this.#programs.delete(key));
    const oldest = this.#programs.keys().next().value;
    if (this.#programs.size > KEPT_PROGRAMS && oldest !== undefined) this.#programs.delete(oldest);
    return program;
  }

  #requireHeads(wanted: Wanted): void {
    const faults = (Object.keys(wanted) as (keyof Wanted)[])
      .filter((output) => wanted[output] && !this.has(output))
      .map((output) => `${output} asked, but the checkpoint has no weights for it (${describeHeads(this.#weights)})`);
    if (faults.length > 0) throw new ModelError(this.name, faults);
  }
}

/** Reads and checks a model folder without touching the GPU. The caller closes the checkpoint. */
export async function openModel(folder: Folder): Promise<{
  config: BertConfig;
  checkpoint: Awaited<ReturnType<typeof openCheckpoint>>;
  parts: Parts;
}> {
  const text = await readText(folder, "config.json");
  if (text === undefined) throw new ModelError(folder.name, ["there is no config.json; is it a model folder?"]);
  const config = parseConfig(text, `${folder.name}/config.json`);
  const checkpoint = await openCheckpoint(folder);
  try {
    return { config, checkpoint, parts: checkWeights(config, checkpoint) };
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

/** Memory for the weights, which is there when this resolves. */
async function allocate(
  engine: Engine,
  ...model: [BertConfig, Checkpoint, Parts, WeightStorage]
): Promise<{ allocated: AllocatedWeights; allocation: Allocation }> {
  const allocation = engine.allocate();
  try {
    const allocated = allocateWeights(allocation, ...model);
    await allocation.done();
    return { allocated, allocation };
  } catch (error) {
    allocation.dispose();
    throw error;
  }
}

function classifierKind({ architectures }: BertConfig): ClassifierKind {
  if (architectures.includes("BertForTokenClassification")) return "token";
  return architectures.includes("BertForMultipleChoice") ? "choice" : "sequence";
}

function describeHeads({ pooler, maskedLm, nextSentence, classifier, qaOutputs }: BertWeights): string {
  const heads = Object.entries({ pooler, maskedLm, nextSentence, classifier, qaOutputs });
  return `it has the encoder${heads.map(([name, head]) => (head ? `, ${name}` : "")).join("")}`;
}

function lengthsOf({ cuSeqlens }: Batch): string {
  return Array.from(cuSeqlens.subarray(1), (end, s) => end - cuSeqlens[s]!).join(", ");
}

/** First element of each sequence's probabilities, and the number of all: [sequences + 1] */
function probabilityOffsets(cuSeqlens: Uint32Array, heads: number): Uint32Array {
  const offsets = new Uint32Array(cuSeqlens.length);
  for (let s = 0; s + 1 < cuSeqlens.length; s++) {
    offsets[s + 1] = offsets[s]! + heads * (cuSeqlens[s + 1]! - cuSeqlens[s]!) ** 2;
  }
  return offsets;
}
