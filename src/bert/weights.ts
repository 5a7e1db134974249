/**
 * The weights of a BERT as a typed tree. Only this file and the heads know the names in checkpoints: with and without the
 * `bert.` prefix, LayerNorm as weight/bias or as gamma/beta (TensorFlow's names, in old files).
 */

import type { Checkpoint } from "../files/checkpoint.ts";
import type { Report } from "../files/faults.ts";
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

/** All weights of the encoder. */
export function encoderIn(stored: Stored, config: BertConfig): Omit<BertWeights, "heads"> {
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
  };
}

/** What a checkpoint holds beside the encoder. */
export interface Parts {
  readonly heads: ReadonlySet<HeadName>;
  /** What is wrong with the others that it has something of. */
  readonly flaws: ReadonlyMap<HeadName, readonly string[]>;
  /** The encoder's tensors, by their names in the file. */
  readonly encoder: ReadonlySet<string>;
  /** The heads with weights of their own, in words. */
  readonly titles: readonly string[];
}

/** A checkpoint under the names used here: no `bert.` prefix, LayerNorm.weight and .bias. */
export interface NamedTensors {
  /** Our name -> the name in the file. */
  readonly stored: ReadonlyMap<string, string>;
  readonly shapes: StoredShapes;
  /** Our names that several in the file have, and what is wrong with that. */
  readonly twice: ReadonlyMap<string, string>;
}

export function nameTensors({ tensors }: Checkpoint, { tieWordEmbeddings }: BertConfig): NamedTensors {
  const stored = new Map<string, string>();
  const shapes = new Map<string, Shape>();
  const twice = new Map<string, string>();
  for (const [name, { shape }] of tensors) {
    const ours = name
      .replace(/^bert\./, "")
      .replace(/LayerNorm\.gamma$/, "LayerNorm.weight")
      .replace(/LayerNorm\.beta$/, "LayerNorm.bias");
    if (stored.has(ours)) twice.set(ours, `${name} and ${stored.get(ours)} are the same tensor`);
    stored.set(ours, name);
    shapes.set(ours, shape);
  }
  // what is tied is one tensor, and writers keep it under one name or the other
  if (tieWordEmbeddings && !stored.has(WORD) && stored.has(DECODER)) {
    stored.set(WORD, stored.get(DECODER)!);
    shapes.set(WORD, shapes.get(DECODER)!);
  }
  return { stored, shapes, twice };
}

const WORD = "embeddings.word_embeddings.weight";
const DECODER = "cls.predictions.decoder.weight";

/**
 * The configuration with what the weights alone can tell. Where config.json names no architecture, a classifier without a
 * pooler below it, or with a label O, is one of tokens. A decoder that is said to be the word table and is stored with
 * other values is not: transformers 5 does not tie them either.
 */
export async function settleConfig(
  config: BertConfig,
  checkpoint: Checkpoint,
  warn?: Report,
  signal?: AbortSignal,
): Promise<BertConfig> {
  const { stored, shapes } = nameTensors(checkpoint, config);
  const settled: { -readonly [Key in keyof BertConfig]: BertConfig[Key] } = { ...config };
  if (config.architectures.length === 0) {
    const classifies = shapes.has("classifier.weight");
    const tokens = classifies && (!shapes.has("pooler.dense.weight") || config.labels.includes("O"));
    if (tokens) settled.architectures = ["BertForTokenClassification"];
    const taken = `: its classifier is taken for one of ${tokens ? "tokens" : "sequences"}`;
    warn?.(`config.json names no architectures${classifies ? taken : ""}`);
  }
  const [word, decoder] = [stored.get(WORD), stored.get(DECODER)];
  if (
    config.tieWordEmbeddings &&
    word &&
    decoder &&
    word !== decoder &&
    !(await same(checkpoint, word, decoder, signal))
  ) {
    settled.tieWordEmbeddings = false;
    warn?.(`tie_word_embeddings is true, but ${decoder} and ${word} differ: each is used as it is stored`);
  }
  return settled;
}

/** Whether two tensors are the same, also in their type; of one that is refused anyway nothing is read. */
async function same(checkpoint: Checkpoint, one: string, other: string, signal?: AbortSignal): Promise<boolean> {
  const [a, b] = [one, other].map((name) => checkpoint.tensors.get(name)!);
  if (a!.dtype !== b!.dtype || a!.shape.join() !== b!.shape.join()) return false;
  if (!FLOATS.includes(a!.dtype)) return true;
  for (let offset = 0; offset < a!.elements; offset += SLICE) {
    signal?.throwIfAborted();
    const range = { offset, count: Math.min(SLICE, a!.elements - offset) };
    const [x, y] = [await checkpoint.read(one, range), await checkpoint.read(other, range)];
    if (!x.every((value, i) => Object.is(value, y[i]))) return false;
  }
  return true;
}

/** Elements that are compared at once. */
const SLICE = 1_048_576;

const FLOATS: readonly string[] = ["F32", "F16", "BF16", "F64"];

/**
 * Holds a checkpoint against its configuration: every tensor the model needs is there, in a float type, with the shape
 * that config.json implies. A head of which that is not true is left out. Touches no GPU.
 * @param warn told of what is left out
 * @throws ModelError with every fault
 */
export function checkWeights(config: BertConfig, checkpoint: Checkpoint, warn?: Report): Parts {
  const named = nameTensors(checkpoint, config);
  const { stored, shapes } = named;
  const encoder = new Set<string>();
  const faultsIn = faultFinder(checkpoint, named);
  const faults = faultsIn((into) => encoderIn(into, config), encoder);
  const flaws = new Map<HeadName, readonly string[]>();
  const heads = ALL_HEADS.filter(([name, head]) => {
    if (head.found?.(shapes, config) === false) return false;
    const own = faultsIn((into) => head.weights?.(into, config, shapes));
    if (own.length > 0) flaws.set(name, own);
    return own.length === 0;
  });
  const flawed = new Set([...flaws.values()].flat());
  if (faults.length > 0) throw new ModelError(checkpoint.name, [...new Set([...faults, ...flawed])]);
  for (const flaw of flawed) warn?.(`${flaw}: tasks that need it are refused`);
  const beyond = [...stored.keys()].find(
    (name) => Number(/^encoder\.layer\.(\d+)\./.exec(name)?.[1] ?? -1) >= config.numHiddenLayers,
  );
  if (beyond) {
    warn?.(
      `${beyond} is stored, but config.json has num_hidden_layers ${config.numHiddenLayers}: no later layer is used`,
    );
  }
  return {
    heads: new Set(heads.map(([name]) => name)),
    flaws,
    encoder,
    titles: heads.flatMap(([, { title }]) => (typeof title === "function" ? title(shapes, config) : (title ?? []))),
  };
}

/** Finds what is wrong with the tensors that a function spells: missing, of another shape, no floats, there twice. */
export function faultFinder(
  { tensors }: Pick<Checkpoint, "tensors">,
  { stored, shapes, twice }: NamedTensors,
): (spell: (into: Stored) => unknown, used?: Set<string>) => string[] {
  return (spell, used) => {
    const needed = new Map<string, Shape>();
    spell(listInto(needed));
    return [...needed].flatMap(([name, shape]) => {
      const found = shapes.get(name);
      const wanted = `[${shape.join(", ")}]`;
      if (found === undefined) return [`${name} ${wanted} is missing`];
      const own = twice.has(name) ? [twice.get(name)!] : [];
      if (found.join() !== shape.join()) own.push(`${name} is [${found.join(", ")}], config.json asks for ${wanted}`);
      used?.add(stored.get(name)!);
      const { dtype } = tensors.get(stored.get(name)!)!;
      if (!FLOATS.includes(dtype)) own.push(`${name} is ${dtype}, a float type is needed`);
      return own;
    });
  };
}

/** The weights of a model, allocated on the GPU and still empty. */
export interface AllocatedWeights {
  readonly weights: BertWeights;
  readonly contents: readonly Content[];
  /** Our names -> those in the file. */
  readonly stored: ReadonlyMap<string, string>;
}

/** Allocates everything that `checkWeights` has accepted. */
export function allocateWeights(
  allocation: Allocation,
  config: BertConfig,
  checkpoint: Checkpoint,
  parts: Parts,
  storage: WeightStorage,
): AllocatedWeights {
  const contents: Content[] = [];
  const into = allocateInto(contents, allocation, storage);
  const { stored, shapes } = nameTensors(checkpoint, config);
  const heads = ALL_HEADS.filter(([name]) => parts.heads.has(name)).map(([name, head]) => [
    name,
    head.weights?.(into, config, shapes),
  ]);
  return { weights: { ...encoderIn(into, config), heads: Object.fromEntries(heads) }, contents, stored };
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
  { contents, stored }: Pick<AllocatedWeights, "contents" | "stored">,
  dtype: "f32" | "f16",
  { onProgress, signal }: FillOptions = {},
): Promise<number> {
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
