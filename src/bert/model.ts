/**
 * A BERT with its weights on the GPU. `forward` takes sequences of any lengths, without padding, and computes what is
 * asked for; it is recorded once per shape and replayed.
 */

import { type Folder, readText } from "../files/bytes.ts";
import type { Checkpoint } from "../files/checkpoint.ts";
import type { Allocation } from "../runtime/allocation.ts";
import type { BoundProgram } from "../runtime/bound.ts";
import type { Engine } from "../runtime/engine.ts";
import { type Program, type RunOptions, untilAborted } from "../runtime/program.ts";
import { missingForInt8 } from "../runtime/quantize.ts";
import type { Batch, Sequence } from "./batch.ts";
import { type BertConfig, ModelError, parseConfig } from "./config.ts";
import {
  askedOf,
  type Collect,
  headsFor,
  inputsOf,
  type PreparedForward,
  packBatch,
  prepareForward,
  recordForward,
} from "./forward.ts";
import { type ClassifierKind, classifierKind } from "./heads/classifier.ts";
import type { Forward, Wanted } from "./outputs.ts";
import { openWeights } from "./projection.ts";
import { activationsOf, type WeightStorage } from "./stored.ts";
import {
  allocateWeights,
  type BertWeights,
  checkWeights,
  type FillOptions,
  fillWeights,
  type Parts,
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

/** A program and what makes a `Forward` of its outputs. */
interface Recorded {
  readonly program: Program;
  readonly collect: Collect;
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
  readonly #parts: Parts;
  #loaded: LoadedWeights;
  #reloading: Promise<void> | undefined;
  readonly #recorded = new Map<string, Promise<Recorded>>();
  #disposed = false;

  private constructor(
    engine: Engine,
    folder: Folder,
    { config, parts }: OpenedModel,
    storage: WeightStorage,
    loaded: LoadedWeights,
  ) {
    this.#engine = engine;
    this.#folder = folder;
    this.#storage = storage;
    this.name = folder.name;
    this.config = config;
    this.dtype = activationsOf(storage);
    this.#parts = parts;
    this.#loaded = loaded;
    this.classifierKind = this.has("logits") ? classifierKind(config) : undefined;
  }

  /**
   * Loads a model folder in Hugging Face layout: config.json beside model.safetensors or its shards.
   * @throws ModelError or SafetensorsError with every fault, before anything is allocated on the GPU
   */
  static async load(engine: Engine, folder: Folder, options: LoadOptions = {}): Promise<BertModel> {
    const { dtype = "f32", wanted = {}, signal } = options;
    signal?.throwIfAborted();
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
    const opened = await openModel(folder, wanted);
    return new BertModel(engine, folder, opened, dtype, await loadWeights(engine, opened, dtype, options));
  }

  /** Bytes of the weights on the GPU. */
  get weightBytes(): number {
    return this.#loaded.allocation.bytes;
  }

  /** Which outputs this checkpoint has weights for. */
  has(output: keyof Wanted): boolean {
    return headsFor({ [output]: true }).every(([name]) => this.#parts.heads.has(name));
  }

  /**
   * Computes what is wanted for a batch. Sequences do not see each other: a batched row equals the same row alone.
   * @throws RangeError for ids, types or positions out of range, ModelError for an output the checkpoint has no head for
   */
  async forward<const W extends Wanted>(
    sequences: readonly Sequence[],
    wanted: W & Readonly<Record<Exclude<keyof W, keyof Wanted>, never>>, // no other names
    options: RunOptions = {},
  ): Promise<Forward<W>> {
    const { prepared, program, collect, inputs } = await this.#prepare(sequences, wanted);
    return collect(await program.run(inputs, options), prepared) as Forward<W>;
  }

  /**
   * The same computation with GPU memory of its own, to be encoded into the app's own command encoder. The ids of
   * `sequences` are written; outputs are GPU buffers under the names of `Wanted`, with the shapes it gives
   * (`hiddenStates.0`, `topIds`, `spanLogits` [tokens, 2] and the like), in f16 for a model in f16. Nothing is read back.
   * @throws as `forward`
   */
  async bind(sequences: readonly Sequence[], wanted: Wanted): Promise<BoundForward> {
    const { prepared, program, inputs } = await this.#prepare(sequences, wanted);
    const { batch } = prepared;
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
  ): Promise<{ program: Program; inputs: Record<string, Uint32Array> }> {
    return this.#prepare(sequences, wanted);
  }

  /** Frees the weights. Safe to call twice. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#recorded.clear();
    this.#loaded.allocation.dispose();
  }

  async #prepare(
    sequences: readonly Sequence[],
    wanted: Wanted,
  ): Promise<Recorded & { prepared: PreparedForward; inputs: Record<string, Uint32Array> }> {
    this.#requireAlive();
    await this.#onDevice();
    requireHeads(this.name, this.#parts, wanted);
    const prepared = prepareForward(sequences, wanted, this.config);
    const { weights } = this.#loaded;
    return { ...(await this.#recordedFor(prepared)), prepared, inputs: inputsOf(prepared, weights) };
  }

  #requireAlive(): void {
    if (this.#disposed) throw new Error(`${this.name}: the model was disposed; load it again`);
  }

  /** Loads the weights again where the engine had to open another device. */
  async #onDevice(): Promise<void> {
    await this.#engine.ready();
    if (this.#loaded.generation === this.#engine.generation) return;
    this.#reloading ??= this.#reload().finally(() => {
      this.#reloading = undefined;
    });
    await this.#reloading;
    this.#requireAlive();
  }

  async #reload(): Promise<void> {
    const loaded = await loadWeights(this.#engine, await openModel(this.#folder), this.#storage, {});
    if (loaded.fingerprint !== this.#loaded.fingerprint) {
      loaded.allocation.dispose();
      throw new ModelError(this.name, ["config.json or weights have changed since it was loaded; load it anew"]);
    }
    this.#loaded = loaded;
    this.#recorded.clear();
    if (this.#disposed) this.#loaded.allocation.dispose();
  }

  #recordedFor(prepared: PreparedForward): Promise<Recorded> {
    const { key } = prepared;
    const recorded = this.#recorded.get(key) ?? this.#record(prepared);
    this.#recorded.delete(key);
    this.#recorded.set(key, recorded); // now the most recent
    recorded.catch(() => this.#recorded.delete(key));
    const oldest = this.#recorded.keys().next().value;
    if (this.#recorded.size > KEPT_PROGRAMS && oldest !== undefined) this.#recorded.delete(oldest);
    return recorded;
  }

  async #record(prepared: PreparedForward): Promise<Recorded> {
    const { config, dtype } = this;
    let collect: Collect;
    const program = await this.#engine.record(`bert ${prepared.key}`, (r) => {
      collect = recordForward(r, prepared, { config, dtype, weights: this.#loaded.weights });
    });
    return { program, collect: collect! };
  }
}

interface OpenedModel {
  readonly config: BertConfig;
  readonly checkpoint: Checkpoint;
  readonly parts: Parts;
}

interface LoadedWeights {
  readonly weights: BertWeights;
  /** Of them. */
  readonly allocation: Allocation;
  /** Of the engine's device that holds them. */
  readonly generation: number;
  /** Of configuration and weights. */
  readonly fingerprint: string;
}

/**
 * Closes the checkpoint. Shaders depend on the model's sizes, hardly on the batch's: those of a short text will do for most,
 * and all layers have the same. Some drivers compile when a kernel first runs, so it runs now, on whatever the weights hold
 * so far.
 */
async function loadWeights(
  engine: Engine,
  { config, checkpoint }: OpenedModel,
  storage: WeightStorage,
  { wanted = {}, ...options }: LoadOptions,
): Promise<LoadedWeights> {
  let allocation: Allocation | undefined;
  try {
    const short = { inputIds: new Uint8Array(Math.min(16, config.maxPositionEmbeddings)) };
    const rows = wanted.predictionRows && { predictionRows: wanted.predictionRows.map(() => 0) };
    const warmUp = prepareForward([short], { ...wanted, ...rows }, config);
    await engine.ready();
    const { generation } = engine;
    allocation = engine.allocate();
    const allocated = allocateWeights(allocation, config, checkpoint, storage);
    await allocation.done(); // the memory is there
    const dtype = activationsOf(storage);
    const weights = { ...allocated.weights, layers: allocated.weights.layers.slice(0, 1) };
    const compiled = engine
      .record("bert, one layer", (r) => void recordForward(r, warmUp, { config, dtype, weights }))
      .then((program) => program.run(inputsOf(warmUp, weights)));
    const filled = fillWeights(allocation, checkpoint, allocated, dtype, options);
    await untilAborted(Promise.allSettled([compiled, filled]), options.signal);
    await compiled;
    return { ...allocated, allocation, generation, fingerprint: JSON.stringify([config, await filled]) };
  } catch (error) {
    allocation?.dispose();
    throw error;
  } finally {
    await checkpoint.close();
  }
}

/**
 * Reads and checks a model folder without touching the GPU. The caller closes the checkpoint.
 * @param wanted what its heads must be able to
 */
export async function openModel(folder: Folder, wanted: Wanted = {}): Promise<OpenedModel> {
  const text = await readText(folder, "config.json");
  if (text === undefined) throw new ModelError(folder.name, ["there is no config.json; is it a model folder?"]);
  const config = parseConfig(text, `${folder.name}/config.json`);
  const checkpoint = await openWeights(folder, config.architectures);
  try {
    const parts = checkWeights(config, checkpoint);
    requireHeads(folder.name, parts, wanted);
    return { config, checkpoint, parts };
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

/** @throws ModelError for each output that the checkpoint has no weights for */
function requireHeads(name: string, { heads, titles }: Parts, wanted: Wanted): void {
  const faults = headsFor(wanted)
    .filter(([head]) => !heads.has(head))
    .flatMap(([, head]) => askedOf(head, wanted))
    .map((output) => {
      const has = ["the encoder", ...titles].join(", ");
      return `${output} asked, but the checkpoint has no weights for it (it has ${has})`;
    });
  if (faults.length > 0) throw new ModelError(name, faults);
}

function lengthsOf({ cuSeqlens }: Batch): string {
  return Array.from(cuSeqlens.subarray(1), (end, s) => end - cuSeqlens[s]!).join(", ");
}
