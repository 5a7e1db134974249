/**
 * The weights of a BERT as a typed tree. Only this file and the heads know the names in checkpoints: with and without the
 * `bert.` prefix, LayerNorm as weight/bias or as gamma/beta (TensorFlow's names, in old files).
 */

import type { Checkpoint } from "../files/checkpoint.ts";
import type { Allocation } from "../runtime/allocation.ts";
import type { LinearWeights, NormWeights } from "../runtime/ops.ts";
import { streamQuantized } from "../runtime/quantize.ts";
import { streamTable, type Table } from "../runtime/table.ts";
import type { Shape, Tensor } from "../runtime/tensor.ts";
import { type BertConfig, ModelError } from "./config.ts";
import type { StoredShapes } from "./heads/head.ts";
import { ALL_HEADS, type HeadName } from "./heads/index.ts";
import {
  allocateInto,
  type Content,
  encoderLinear,
  listInto,
  norm,
  type Stored,
  type WeightStorage,
} from "./stored.ts";

export interface LayerWeights {
  /** Query, key and value in one matrix [3 * hidden, hidden]. */
  readonly qkv: LinearWeights;
  readonly attentionOutput: LinearWeights;
  readonly attentionNorm: NormWeights;
  readonly intermediate: LinearWeights;
  readonly output: LinearWeights;
  readonly outputNorm: NormWeights;
}

export interface BertWeights {
  readonly embeddings: {
    readonly word: Table;
    readonly position: Tensor;
    readonly tokenType: Tensor;
    readonly norm: NormWeights;
  };
  readonly layers: readonly LayerWeights[];
  /** Of the heads that have weights, and that the checkpoint has. */
  readonly heads: Partial<Readonly<Record<HeadName, unknown>>>;
}

/**
 * All weights: the encoder's, and those of heads.
 * @param heads by default those that the checkpoint has
 */
export function weightsIn(
  stored: Stored,
  config: BertConfig,
  shapes: StoredShapes,
  heads: typeof ALL_HEADS = headsIn(config, shapes),
): BertWeights {
  const { hiddenSize: h, intermediateSize: f } = config;
  const layer = (_: unknown, i: number): LayerWeights => {
    const name = `encoder.layer.${i}`;
    const self = `${name}.attention.self`;
    return {
      qkv: encoderLinear(stored, [h, h], `${self}.query`, `${self}.key`, `${self}.value`),
      attentionOutput: encoderLinear(stored, [h, h], `${name}.attention.output.dense`),
      attentionNorm: norm(stored, h, `${name}.attention.output.LayerNorm`),
      intermediate: encoderLinear(stored, [f, h], `${name}.intermediate.dense`),
      output: encoderLinear(stored, [h, f], `${name}.output.dense`),
      outputNorm: norm(stored, h, `${name}.output.LayerNorm`),
    };
  };
  return {
    embeddings: {
      word: stored.table([config.vocabSize, h], ["embeddings.word_embeddings.weight"]),
      position: stored.tensor([config.maxPositionEmbeddings, h], "embeddings.position_embeddings.weight"),
      tokenType: stored.tensor([config.typeVocabSize, h], "embeddings.token_type_embeddings.weight"),
      norm: norm(stored, h, "embeddings.LayerNorm"),
    },
    layers: Array.from({ length: config.numHiddenLayers }, layer),
    heads: Object.fromEntries(heads.map(([name, head]) => [name, head.weights?.(stored, config, shapes)])),
  };
}

function headsIn(config: BertConfig, shapes: StoredShapes): typeof ALL_HEADS {
  return ALL_HEADS.filter(([, { found }]) => found?.(shapes, config) ?? true);
}

/** What a checkpoint holds beside the encoder. */
export interface Parts {
  readonly heads: ReadonlySet<HeadName>;
  /** The heads with weights of their own, in words. */
  readonly titles: readonly string[];
}

/** A checkpoint under the names used here: no `bert.` prefix, LayerNorm.weight and .bias. */
export interface NamedTensors {
  /** Our name -> the name in the file. */
  readonly stored: ReadonlyMap<string, string>;
  readonly shapes: StoredShapes;
}

export function nameTensors(checkpoint: Checkpoint): NamedTensors {
  const stored = new Map<string, string>();
  const shapes = new Map<string, Shape>();
  const faults: string[] = [];
  for (const [name, { shape }] of checkpoint.tensors) {
    const ours = name
      .replace(/^bert\./, "")
      .replace(/LayerNorm\.gamma$/, "LayerNorm.weight")
      .replace(/LayerNorm\.beta$/, "LayerNorm.bias");
    if (stored.has(ours)) faults.push(`${name} and ${stored.get(ours)} are the same tensor`);
    stored.set(ours, name);
    shapes.set(ours, shape);
  }
  if (faults.length > 0) throw new ModelError(checkpoint.name, faults);
  return { stored, shapes };
}

/**
 * Holds a checkpoint against its configuration: every tensor the model needs is there, in a float type, with the shape
 * that config.json implies. Touches no GPU.
 * @throws ModelError with every fault
 */
export function checkWeights(config: BertConfig, checkpoint: Checkpoint): Parts {
  const { stored, shapes } = nameTensors(checkpoint);
  const faults: string[] = [];
  const needed = new Map<string, Shape>();
  weightsIn(listInto(needed), config, shapes);
  for (const [name, shape] of needed) {
    const found = shapes.get(name);
    const wanted = `[${shape.join(", ")}]`;
    if (found === undefined) {
      faults.push(`${name} ${wanted} is missing`);
      continue;
    }
    if (found.join() !== shape.join()) faults.push(`${name} is [${found.join(", ")}], config.json asks for ${wanted}`);
    const { dtype } = checkpoint.tensors.get(stored.get(name)!)!;
    if (!["F32", "F16", "BF16", "F64"].includes(dtype)) faults.push(`${name} is ${dtype}, a float type is needed`);
  }
  const beyond = [...stored.keys()].find(
    (name) => Number(/^encoder\.layer\.(\d+)\./.exec(name)?.[1] ?? -1) >= config.numHiddenLayers,
  );
  if (beyond) faults.push(`${beyond} is stored, but config.json has num_hidden_layers ${config.numHiddenLayers}`);
  if (faults.length > 0) throw new ModelError(checkpoint.name, faults);
  const heads = headsIn(config, shapes);
  return {
    heads: new Set(heads.map(([name]) => name)),
    titles: heads.flatMap(([, { title }]) => (typeof title === "function" ? title(shapes, config) : (title ?? []))),
  };
}

/** The weights of a model, allocated on the GPU and still empty. */
export interface AllocatedWeights {
  readonly weights: BertWeights;
  readonly contents: readonly Content[];
}

/** Allocates everything that `checkWeights` has accepted. */
export function allocateWeights(
  allocation: Allocation,
  config: BertConfig,
  checkpoint: Checkpoint,
  storage: WeightStorage,
): AllocatedWeights {
  const contents: Content[] = [];
  const stored = allocateInto(contents, allocation, storage);
  return { weights: weightsIn(stored, config, nameTensors(checkpoint).shapes), contents };
}

export interface FillOptions {
  /** Called as weights arrive, with bytes of the checkpoint. */
  readonly onProgress?: ((progress: { readonly loaded: number; readonly total: number }) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Uploads the checkpoint into what was allocated for it, slice by slice.
 * @returns a fingerprint: the sum of every 97th value of each slice, weighed by its place
 */
export async function fillWeights(
  allocation: Allocation,
  checkpoint: Checkpoint,
  { contents }: AllocatedWeights,
  dtype: "f32" | "f16",
  { onProgress, signal }: FillOptions = {},
): Promise<number> {
  const { stored } = nameTensors(checkpoint);
  const bytesOf = (name: string): number => checkpoint.tensors.get(stored.get(name)!)!.bytes;
  const total = contents.reduce((sum, { names }) => names.reduce((part, name) => part + bytesOf(name), sum), 0);
  let [loaded, fingerprint] = [0, 0];
  const elements = async function* (names: readonly string[]) {
    for (const name of names) {
      signal?.throwIfAborted();
      for await (const chunk of checkpoint.chunks(stored.get(name)!, dtype)) {
        for (let i = 0; i < chunk.length; i += 97) fingerprint += chunk[i]! * (loaded + i + 1);
        yield chunk;
      }
      loaded += bytesOf(name);
      onProgress?.({ loaded, total });
    }
  };
  for (const { into, names } of contents) {
    if ("codes" in into) await streamQuantized(allocation, into, elements(names));
    else await streamTable(allocation, into, elements(names));
  }
  await allocation.done();
  return fingerprint;
}
