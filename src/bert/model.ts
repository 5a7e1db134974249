/**
 * A BERT with its weights on the GPU. `forward` takes sequences of any lengths, without padding, and computes what is
 * asked for; it is recorded once per shape and replayed.
 */

import { type Folder, readText } from "../files/bytes.ts";
import type { Checkpoint } from "../files/checkpoint.ts";
import { latest } from "../files/latest.ts";
import { requireKnown } from "../files/options.ts";
import type { Allocation } from "../runtime/allocation.ts";
import type { BoundProgram } from "../runtime/bound.ts";
import type { Engine } from "../runtime/engine.ts";
import { DisposedError } from "../runtime/errors.ts";
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
import { activationsOf, type StorageName, storageOf, type WeightStorage } from "./stored.ts";
import {
  allocateWeights,
  type BertWeights,
  checkWeights,
  type FillOptions,
  fillWeights,
  type Parts,
  settleConfig,
} from "./weights.ts";

export interface LoadOptions extends FillOptions {
  /**
   * Storage of weights and activations; arithmetic is f32. Default f32. `q8`: the encoder's linear layers in int8, a
   * quarter of the memory, and their inputs rounded to int8 as they are multiplied; all else in f32. fp32 and fp16 are
   * f32 and f16.
   */
  readonly dtype?: StorageName | undefined;
  /** What will be asked for: its kernels compile while the weights load. The encoder's do in any case. */
  readonly wanted?: Wanted | undefined;
  /** Told once of each thing that is wrong with the model's files and does not keep it from being used. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

export interface ForwardOptions extends RunOptions {
  /** Whether an output that holds NaN or an infinity is an error. Default true. */
  readonly checkFinite?: boolean | undefined;
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
  /** That it was loaded on. */
  readonly engine: Engine;
  /** Storage of activations: f32 for a model in q8. */
  readonly dtype: "f32" | "f16";
  /** What it was loaded as. */
  readonly storage: WeightStorage;
  readonly classifierKind: ClassifierKind | undefined;
  #loaded: LoadedWeights;
  readonly #load: () => Promise<LoadedWeights>;
  #reloading: Promise<void> | undefined;
  readonly #recorded = new Map<string, Promise<Recorded>>();
  readonly #disposal = new AbortController();

  /** Use `load`. @param load makes what `loaded` is once more, on another device */
  constructor(
    engine: Engine,
    name: string,
    storage: WeightStorage,
    loaded: LoadedWeights,
    load: () => Promise<LoadedWeights>,
  ) {
    this.engine = engine;
    this.name = name;
    this.storage = storage;
    this.config = loaded.config;
    this.dtype = activationsOf(storage);
    this.#loaded = loaded;
    this.#load = load;
    this.classifierKind = this.has("logits") ? classifierKind(loaded.config) : undefined;
  }

  /**
   * Loads a model folder in Hugging Face layout: config.json beside model.safetensors or its shards.
   * @throws ModelError or SafetensorsError with every fault, before anything is allocated on the GPU; TypeError for an
   * unknown option or output, RangeError for an unknown dtype
   */
  static async load(engine: Engine, folder: Folder, options: LoadOptions = {}): Promise<BertModel> {
    requireKnown("load", options, { dtype: 1, wanted: 1, onProgress: 1, signal: 1, onWarning: 1 });
    const { wanted = {}, signal } = options;
    const dtype = storageOf(options.dtype ?? "f32");
    headsFor(wanted); // refuses what no head has, before a file is read
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
    const loaded = await loadWeights(engine, await openModel(folder, wanted, options), dtype, options);
    const load = async () => loadWeights(engine, await openModel(folder), dtype, {});
    return new BertModel(engine, folder.name, dtype, loaded, load);
  }

  /** Bytes of the weights on the GPU. */
  get weightBytes(): number {
    return this.#loaded.allocation.bytes;
  }

  /** Which outputs this checkpoint has weights for. @throws TypeError for what is no output of any */
  has(output: keyof Wanted): boolean {
    return headsFor({ [output]: true }).every(([name]) => this.#loaded.parts.heads.has(name));
  }

  /** What is wrong with the weights of an output that this checkpoint has some for, and so does not have. */
  flaws(output: keyof Wanted): readonly string[] {
    return headsFor({ [output]: true }).flatMap(([name]) => this.#loaded.parts.flaws.get(name) ?? []);
  }

  /**
   * Computes what is wanted for a batch. Sequences do not see each other: a batched row equals the same row alone, up to
   * rounding, or to the bit on an engine that is `batchInvariant`.
   * @throws RangeError for ids, types or positions out of range and for outputs that are more than the device can hold,
   * ModelError for an output the checkpoint has no head for, TypeError for an unknown output or option and for an attention
   * mask that is not of 0 and 1, DisposedError when the model is disposed meanwhile, NonFiniteError for an output with NaN
   * or an infinity
   */
  async forward<const W extends Wanted>(
    sequences: readonly Sequence[],
    wanted: W & Readonly<Record<Exclude<keyof W, keyof Wanted>, never>>, // no other names
    options: ForwardOptions = {},
  ): Promise<Forward<W>> {
    requireKnown("forward", options, { signal: 1, profile: 1, checkFinite: 1 });
    const { checkFinite = true, ...run } = options;
    return this.#untilDisposed(async () => {
      const { prepared, program, collect, inputs } = await this.#prepare(sequences, wanted, checkFinite);
      return collect(await program.run(inputs, run), prepared) as Forward<W>;
    });
  }

  /**
   * The same computation with GPU memory of its own, to be encoded into the app's own command encoder. The ids of
   * `sequences` are written; outputs are GPU buffers under the names of `Wanted`, with the shapes it gives
   * (`hiddenStates.0`, `topIds`, `spanLogits` [tokens, 2] and the like), in f16 for a model in f16. Nothing is read back.
   * @throws as `forward`
   */
  async bind(sequences: readonly Sequence[], wanted: Wanted): Promise<BoundForward> {
    return this.#untilDisposed(() => this.#bind(sequences, wanted));
  }

  /** The recorded program for these shapes, without the check for NaN, and its inputs: for benches and for profiling. */
  async program(
    sequences: readonly Sequence[],
    wanted: Wanted,
  ): Promise<{ program: Program; inputs: Record<string, Uint32Array> }> {
    return this.#untilDisposed(() => this.#prepare(sequences, wanted, false));
  }

  /** Frees the weights; calls that are pending reject with DisposedError. Safe to call twice. */
  dispose(): void {
    this.#disposal.abort(new DisposedError(`${this.name}: the model was disposed; load it again`));
    this.#recorded.clear();
    this.#loaded.allocation.dispose();
  }

  async #bind(sequences: readonly Sequence[], wanted: Wanted): Promise<BoundForward> {
    const { signal } = this.#disposal;
    const { prepared, program, inputs } = await this.#prepare(sequences, wanted, false);
    const { batch } = prepared;
    const bound = await program.bind();
    if (signal.aborted) bound.dispose(); // nobody is there to do it
    signal.throwIfAborted();
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
        signal.throwIfAborted();
        bound.encode(target);
      },
    };
  }

  async #prepare(
    sequences: readonly Sequence[],
    wanted: Wanted,
    checked: boolean,
  ): Promise<Recorded & { prepared: PreparedForward; inputs: Record<string, Uint32Array> }> {
    const { parts, weights } = await this.loaded();
    requireHeads(this.name, parts, wanted);
    const { config, dtype, engine } = this;
    const prepared = prepareForward(sequences, wanted, config, checked);
    const { key } = prepared;
    const record = async (): Promise<Recorded> => {
      let collect: Collect;
      const program = await engine.record(`bert ${key}`, (r) => {
        collect = recordForward(r, prepared, { config, dtype, weights });
      });
      return { program, collect: collect! };
    };
    const recorded = await latest(this.#recorded, key, record, KEPT_PROGRAMS);
    return { ...recorded, prepared, inputs: inputsOf(prepared, weights) };
  }

  /** Does `work`. @throws DisposedError at once when the model is disposed, before it or meanwhile */
  #untilDisposed<T>(work: () => Promise<T>): Promise<T> {
    const { signal } = this.#disposal;
    return untilAborted(signal.aborted ? Promise.reject(signal.reason) : work(), signal);
  }

  /** Its weights, loaded again where the engine had to open another device. @throws as `load` */
  async loaded(): Promise<LoadedWeights> {
    await this.engine.ready();
    if (this.#loaded.generation !== this.engine.generation) {
      this.#reloading ??= this.#reload().finally(() => {
        this.#reloading = undefined;
      });
      await this.#reloading;
    }
    return this.#loaded;
  }

  async #reload(): Promise<void> {
    const loaded = await this.#load();
    if (loaded.fingerprint !== this.#loaded.fingerprint) {
      loaded.allocation.dispose();
      throw new ModelError(this.name, ["config.json or weights have changed since it was loaded; load it anew"]);
    }
    this.#loaded = loaded;
    this.#recorded.clear();
    if (this.#disposal.signal.aborted) this.#loaded.allocation.dispose();
  }
}

interface OpenedModel {
  readonly config: BertConfig;
  readonly checkpoint: Checkpoint;
  readonly parts: Parts;
}

/** Weights on the GPU, and what they are of. */
export interface LoadedWeights extends Omit<OpenedModel, "checkpoint"> {
  readonly weights: BertWeights;
  /** Of them. */
  readonly allocation: Pick<Allocation, "bytes" | "dispose">;
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
  { config, checkpoint, parts }: OpenedModel,
  storage: WeightStorage,
  { wanted = {}, ...options }: LoadOptions,
): Promise<LoadedWeights> {
  let allocation: Allocation | undefined;
  try {
    const short = { inputIds: new Uint8Array(Math.min(16, config.maxPositionEmbeddings)) };
    const rows = wanted.predictionRows && { predictionRows: wanted.predictionRows.map(() => 0) };
    const warmUp = prepareForward([short], { ...wanted, ...rows }, config, true);
    await engine.ready();
    const { generation } = engine;
    allocation = engine.allocate();
    const allocated = allocateWeights(allocation, config, checkpoint, parts, storage);
    await allocation.done(); // the memory is there
    const dtype = activationsOf(storage);
    const weights = { ...allocated.weights, layers: allocated.weights.layers.slice(0, 1) };
    const compiled = engine
      .record("bert, one layer", (r) => void recordForward(r, warmUp, { config, dtype, weights }))
      .then((program) => program.run(inputsOf(warmUp, weights)));
    const filled = fillWeights(allocation, checkpoint, allocated, dtype, options);
    await untilAborted(Promise.allSettled([compiled, filled]), options.signal);
    await compiled;
    return { ...allocated, config, parts, allocation, generation, fingerprint: JSON.stringify([config, await filled]) };
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
export async function openModel(
  folder: Folder,
  wanted: Wanted = {},
  { onWarning, signal }: Pick<LoadOptions, "onWarning" | "signal"> = {},
): Promise<OpenedModel> {
  const text = await readText(folder, "config.json");
  if (text === undefined) throw new ModelError(folder.name, ["there is no config.json; is it a model folder?"]);
  const warnings = new Set<string>();
  const warn = (warning: string): unknown => warnings.add(`${folder.name}: ${warning}`);
  const written = parseConfig(text, `${folder.name}/config.json`, (warning) => warn(`config.json: ${warning}`));
  const checkpoint = await openWeights(folder, written.architectures);
  try {
    checkpoint.warnings.forEach(warn);
    const config = await settleConfig(written, checkpoint, warn, signal);
    const parts = checkWeights(config, checkpoint, warn);
    requireHeads(folder.name, parts, wanted);
    for (const warning of warnings) onWarning?.(warning);
    return { config, checkpoint, parts };
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

/** @throws ModelError for each output that the checkpoint has no weights for, or none that can be used */
function requireHeads(name: string, { heads, flaws, titles }: Parts, wanted: Wanted): void {
  const faults = headsFor(wanted)
    .filter(([head]) => !heads.has(head))
    .flatMap(([name, head]) => {
      const has = ["the encoder", ...titles].join(", ");
      const lacks = (output: string): string =>
        `${output} asked, but the checkpoint has no weights for it (it has ${has})`;
      return flaws.get(name) ?? askedOf(head, wanted).map(lacks);
    });
  if (faults.length > 0) throw new ModelError(name, faults);
}

function lengthsOf({ cuSeqlens }: Batch): string {
  return Array.from(cuSeqlens.subarray(1), (end, s) => end - cuSeqlens[s]!).join(", ");
}
