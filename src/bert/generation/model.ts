/** A model that writes text, with its weights on the GPU. */

import type { Folder } from "../../files/bytes.ts";
import { type Checkpoint, openCheckpoint } from "../../files/checkpoint.ts";
import { latest } from "../../files/latest.ts";
import { requireKnown } from "../../files/options.ts";
import type { Allocation } from "../../runtime/allocation.ts";
import type { Engine } from "../../runtime/engine.ts";
import { DisposedError } from "../../runtime/errors.ts";
import { type Program, type RunOptions, untilAborted } from "../../runtime/program.ts";
import { missingForInt8 } from "../../runtime/quantize.ts";
import { ModelError } from "../config.ts";
import { activationsOf, type StorageName, storageOf, type WeightStorage } from "../stored.ts";
import { type FillOptions, fillWeights } from "../weights.ts";
import { type GenerationModelConfig, readGenerationConfig } from "./config.ts";
import { unsettled } from "./settings.ts";
import {
  type CollectPairs,
  type GenerationForward,
  type GenerationParts,
  type GenerationWanted,
  type Pair,
  pairInputs,
  preparePairs,
  recordPairs,
} from "./teacher_forced.ts";
import {
  allocateParts,
  checkGenerationWeights,
  type GenerationWeights,
  type NamedParts,
  nameParts,
  settleParts,
} from "./weights.ts";
import type { Workspace } from "./workspace.ts";

export interface GenerationLoadOptions extends FillOptions {
  /** As of `BertModel.load`. Default f32. */
  readonly dtype?: StorageName | undefined;
  /** Told once of each thing that is wrong with the model's files and does not keep it from being used. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

interface Loaded {
  readonly config: GenerationModelConfig;
  readonly weights: GenerationWeights;
  readonly allocation: Allocation;
  /** Of the engine's device that holds them. */
  readonly generation: number;
  readonly fingerprint: string;
}

interface Recorded {
  readonly program: Program;
  readonly collect: CollectPairs;
}

/** Programs kept for shapes seen lately. */
const KEPT_PROGRAMS = 16;

export class GenerationModel {
  readonly name: string;
  readonly config: GenerationModelConfig;
  readonly engine: Engine;
  /** Storage of activations: f32 for a model in q8. */
  readonly dtype: "f32" | "f16";
  readonly storage: WeightStorage;
  /** Workspaces of batches that are over, for those that come. */
  readonly idle: Workspace[] = [];
  #loaded: Loaded;
  readonly #load: () => Promise<Loaded>;
  #reloading: Promise<void> | undefined;
  readonly #recorded = new Map<string, Promise<Recorded>>();
  readonly #disposal = new AbortController();

  /** Use `load`. */
  constructor(engine: Engine, name: string, storage: WeightStorage, loaded: Loaded, load: () => Promise<Loaded>) {
    this.engine = engine;
    this.name = name;
    this.storage = storage;
    this.dtype = activationsOf(storage);
    this.config = loaded.config;
    this.#loaded = loaded;
    this.#load = load;
  }

  /**
   * Loads a model folder in Hugging Face layout, of an encoder-decoder of two BERTs or of a causal BERT.
   * @throws ModelError or CheckpointError with every fault, before anything is allocated on the GPU; TypeError for an
   * unknown option, RangeError for an unknown dtype
   */
  static async load(engine: Engine, folder: Folder, options: GenerationLoadOptions = {}): Promise<GenerationModel> {
    requireKnown("load", options, { dtype: 1, onProgress: 1, signal: 1, onWarning: 1 });
    const storage = storageOf(options.dtype ?? "f32");
    options.signal?.throwIfAborted();
    if (storage === "f16" && !engine.hasF16) {
      throw new ModelError(folder.name, [
        `dtype f16 needs the feature shader-f16, which ${engine.adapter.name} lacks; use f32`,
      ]);
    }
    const missing = storage === "q8" ? missingForInt8() : undefined;
    if (missing) {
      throw new ModelError(folder.name, [
        `dtype q8 needs the WGSL language feature ${missing}, which this browser lacks; use f32 or f16`,
      ]);
    }
    const loaded = await loadParts(engine, folder, storage, options);
    return new GenerationModel(engine, folder.name, storage, loaded, () => loadParts(engine, folder, storage, {}));
  }

  /** Bytes of the weights on the GPU. */
  get weightBytes(): number {
    return this.#loaded.allocation.bytes;
  }

  /**
   * Computes what is wanted for sources and the texts that follow from them, all tokens at once.
   * @throws RangeError for ids or positions out of range, TypeError for a pair without a source or with one too many,
   * DisposedError
   */
  forward(pairs: readonly Pair[], wanted: GenerationWanted, options: RunOptions = {}): Promise<GenerationForward> {
    return this.untilDisposed(async () => {
      const parts = await this.parts();
      const prepared = preparePairs(pairs, wanted, this.config);
      const record = async (): Promise<Recorded> => {
        let collect: CollectPairs;
        const program = await this.engine.record(`pairs ${prepared.key}`, (r) => {
          collect = recordPairs(r, prepared, parts);
        });
        return { program, collect: collect! };
      };
      const { program, collect } = await latest(this.#recorded, prepared.key, record, KEPT_PROGRAMS);
      return collect(await program.run(pairInputs(prepared, parts), options), prepared);
    });
  }

  /** Frees the weights; calls that are pending reject with DisposedError. Safe to call twice. */
  dispose(): void {
    this.#disposal.abort(new DisposedError(`${this.name}: the model was disposed; load it again`));
    this.#recorded.clear();
    for (const { allocation } of this.idle.splice(0)) allocation.dispose();
    this.#loaded.allocation.dispose();
  }

  /** Aborted by `dispose`. */
  get disposal(): AbortSignal {
    return this.#disposal.signal;
  }

  /** Does `work`. @throws DisposedError at once when the model is disposed, before it or meanwhile */
  untilDisposed<T>(work: () => Promise<T>): Promise<T> {
    const { signal } = this.#disposal;
    return untilAborted(signal.aborted ? Promise.reject(signal.reason) : work(), signal);
  }

  /** What is recorded of, its weights loaded again where the engine had to open another device. */
  async parts(): Promise<GenerationParts & { readonly generation: number }> {
    await this.engine.ready();
    if (this.#loaded.generation !== this.engine.generation) {
      this.#reloading ??= this.#reload().finally(() => {
        this.#reloading = undefined;
      });
      await this.#reloading;
    }
    const { config, weights, generation } = this.#loaded;
    return { config, weights, generation, dtype: this.dtype };
  }

  async #reload(): Promise<void> {
    const loaded = await this.#load();
    if (loaded.fingerprint !== this.#loaded.fingerprint) {
      loaded.allocation.dispose();
      throw new ModelError(this.name, ["config.json or weights have changed since it was loaded; load it anew"]);
    }
    this.#loaded = loaded;
    this.#recorded.clear();
    if (this.#disposal.signal.aborted) loaded.allocation.dispose();
  }
}

interface Opened {
  readonly config: GenerationModelConfig;
  readonly checkpoint: Checkpoint;
  readonly names: NamedParts;
}

/**
 * Reads and checks a model folder without touching the GPU. The caller closes the checkpoint.
 * @throws ModelError or CheckpointError with every fault
 */
export async function openGenerationModel(
  folder: Folder,
  { onWarning, signal }: Pick<GenerationLoadOptions, "onWarning" | "signal"> = {},
): Promise<Opened> {
  const warnings = new Set<string>();
  const warn = (warning: string): unknown => warnings.add(`${folder.name}: ${warning}`);
  const written = await readGenerationConfig(folder, warn);
  for (const warning of unsettled(written)) warn(warning);
  const checkpoint = await openCheckpoint(folder);
  try {
    checkpoint.warnings.forEach(warn);
    const config = await settleParts(written, checkpoint, warn, signal);
    const names = nameParts(config, checkpoint);
    checkGenerationWeights(config, checkpoint, names);
    for (const warning of warnings) onWarning?.(warning);
    return { config, checkpoint, names };
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

async function loadParts(
  engine: Engine,
  folder: Folder,
  storage: WeightStorage,
  options: GenerationLoadOptions,
): Promise<Loaded> {
  const { onWarning, ...fill } = options;
  const { config, checkpoint, names } = await openGenerationModel(folder, options);
  let allocation: Allocation | undefined;
  try {
    await engine.ready();
    const { generation } = engine;
    allocation = engine.allocate();
    const allocated = allocateParts(allocation, config, names, storage);
    await allocation.done(); // the memory is there
    const filled = await fillWeights(allocation, checkpoint, allocated, activationsOf(storage), fill);
    const fingerprint = JSON.stringify([config, filled]);
    return { config, weights: allocated.weights, allocation, generation, fingerprint };
  } catch (error) {
    allocation?.dispose();
    throw error;
  } finally {
    await checkpoint.close();
  }
}
