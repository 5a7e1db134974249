/**
 * The weights of a BERT as a typed tree. The only file that knows the names in checkpoints: with and without the `bert.`
 * prefix, LayerNorm as weight/bias or as gamma/beta (TensorFlow's names, in old files), decoders tied or stored.
 */

import type { Checkpoint } from "../files/checkpoint.ts";
import type { Allocation } from "../runtime/allocation.ts";
import type { LinearWeights, NormWeights } from "../runtime/ops.ts";
import { type QuantizedTable, quantizedTable, streamQuantized } from "../runtime/quantize.ts";
import { allocateTable, asTable, streamTable, type Table } from "../runtime/table.ts";
import type { Shape, Tensor } from "../runtime/tensor.ts";
import { type BertConfig, ModelError } from "./config.ts";

const WORD_TABLE = "embeddings.word_embeddings.weight";

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
  readonly pooler: LinearWeights | undefined;
  readonly maskedLm:
    | { readonly transform: LinearWeights; readonly norm: NormWeights; readonly decoder: LinearWeights }
    | undefined;
  readonly nextSentence: LinearWeights | undefined;
  /** Of sequences, tokens or choices: the architecture decides. */
  readonly classifier: LinearWeights | undefined;
  readonly qaOutputs: LinearWeights | undefined;
}

/** Which parts a checkpoint holds beside the encoder. */
export interface Parts {
  readonly pooler: boolean;
  readonly maskedLm: boolean;
  readonly nextSentence: boolean;
  readonly classifier: number | undefined;
  readonly qaOutputs: boolean;
}

/** A checkpoint under the names used here: no `bert.` prefix, LayerNorm.weight and .bias. */
export interface NamedTensors {
  /** Our name -> the name in the file. */
  readonly stored: ReadonlyMap<string, string>;
  readonly shapes: ReadonlyMap<string, Shape>;
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
  const { hiddenSize: h, intermediateSize: f, vocabSize: v } = config;
  const faults: string[] = [];
  const need = (name: string, ...shape: number[]): void => {
    const found = shapes.get(name);
    const wanted = `[${shape.join(", ")}]`;
    if (found === undefined) {
      faults.push(`${name} ${wanted} is missing`);
      return;
    }
    if (found.length !== shape.length || shape.some((size, i) => size !== found[i])) {
      faults.push(`${name} is [${found.join(", ")}], config.json asks for ${wanted}`);
    }
    const { dtype } = checkpoint.tensors.get(stored.get(name)!)!;
    if (!["F32", "F16", "BF16", "F64"].includes(dtype)) faults.push(`${name} is ${dtype}, a float type is needed`);
  };
  const needNorm = (name: string): void => {
    need(`${name}.weight`, h);
    need(`${name}.bias`, h);
  };
  const needLinear = (name: string, rows: number, cols: number): void => {
    need(`${name}.weight`, rows, cols);
    need(`${name}.bias`, rows);
  };
  need(WORD_TABLE, v, h);
  need("embeddings.position_embeddings.weight", config.maxPositionEmbeddings, h);
  need("embeddings.token_type_embeddings.weight", config.typeVocabSize, h);
  needNorm("embeddings.LayerNorm");
  for (let i = 0; i < config.numHiddenLayers; i++) {
    const layer = `encoder.layer.${i}`;
    for (const part of ["query", "key", "value"]) needLinear(`${layer}.attention.self.${part}`, h, h);
    needLinear(`${layer}.attention.output.dense`, h, h);
    needNorm(`${layer}.attention.output.LayerNorm`);
    needLinear(`${layer}.intermediate.dense`, f, h);
    needLinear(`${layer}.output.dense`, h, f);
    needNorm(`${layer}.output.LayerNorm`);
  }
  const beyond = [...stored.keys()].find(
    (name) => Number(/^encoder\.layer\.(\d+)\./.exec(name)?.[1] ?? -1) >= config.numHiddenLayers,
  );
  if (beyond) faults.push(`${beyond} is stored, but config.json has num_hidden_layers ${config.numHiddenLayers}`);

  const parts: Parts = {
    pooler: stored.has("pooler.dense.weight"),
    maskedLm: stored.has("cls.predictions.transform.dense.weight"),
    nextSentence: stored.has("cls.seq_relationship.weight"),
    classifier: shapes.get("classifier.weight")?.[0],
    qaOutputs: stored.has("qa_outputs.weight"),
  };
  if (parts.pooler) needLinear("pooler.dense", h, h);
  if (parts.maskedLm) {
    needLinear("cls.predictions.transform.dense", h, h);
    needNorm("cls.predictions.transform.LayerNorm");
    const decoder = decoderNames(config, stored);
    need(decoder.weight, v, h);
    need(decoder.bias, v);
  }
  if (parts.nextSentence) needLinear("cls.seq_relationship", 2, h);
  if (parts.qaOutputs) needLinear("qa_outputs", 2, h);
  if (parts.classifier !== undefined) needLinear("classifier", parts.classifier, h);
  if (faults.length > 0) throw new ModelError(checkpoint.name, faults);
  return parts;
}

/** A tied decoder reads the word table; an untied one has a matrix and a bias of its own, and leaves the tied bias unused. */
function decoderNames(
  { tieWordEmbeddings }: BertConfig,
  stored: ReadonlyMap<string, string>,
): { weight: string; bias: string } {
  const [tiedBias, ownBias] = ["cls.predictions.bias", "cls.predictions.decoder.bias"];
  if (tieWordEmbeddings) {
    return { weight: WORD_TABLE, bias: stored.has(tiedBias) ? tiedBias : ownBias };
  }
  return { weight: "cls.predictions.decoder.weight", bias: stored.has(ownBias) ? ownBias : tiedBias };
}

/** Storage of weights. `q8` is f32, but for the encoder's linear layers: int8 with a scale for each output. */
export type WeightStorage = "f32" | "f16" | "q8";

/** Storage of everything that is not int8. */
export function activationsOf(storage: WeightStorage): "f32" | "f16" {
  return storage === "q8" ? "f32" : storage;
}

/** The weights of a model, allocated on the GPU and still empty. */
export interface AllocatedWeights {
  readonly weights: BertWeights;
  /** What goes where: our names of the stored tensors, end to end, into a table. */
  readonly contents: readonly { readonly into: Table | QuantizedTable; readonly names: readonly string[] }[];
}

/** Allocates everything that `checkWeights` has accepted: `dtype` "q8" is f32 with the linear layers of the encoder in int8. */
export function allocateWeights(
  allocation: Allocation,
  config: BertConfig,
  checkpoint: Checkpoint,
  parts: Parts,
  storage: WeightStorage,
): AllocatedWeights {
  const dtype = activationsOf(storage);
  const { hiddenSize: h, intermediateSize: f, vocabSize: v } = config;
  const contents: { into: Table | QuantizedTable; names: readonly string[] }[] = [];
  const table = (rows: number, cols: number, names: readonly string[], rowsPerPart?: number): Table => {
    const into = allocateTable(allocation, names.join(" + "), rows, cols, dtype, rowsPerPart);
    contents.push({ into, names });
    return into;
  };
  const tensor = (shape: Shape, name: string): Tensor => {
    const result = allocation.tensor(name, shape, dtype);
    contents.push({ into: asTable(result), names: [name] });
    return result;
  };
  const linear = (rows: number, cols: number, ...names: string[]): LinearWeights => {
    const weight = table(
      rows,
      cols,
      names.map((name) => `${name}.weight`),
    );
    return {
      weight,
      bias: table(
        rows,
        1,
        names.map((name) => `${name}.bias`),
        weight.rowsPerPart,
      ),
    };
  };
  const encoderLinear = (rows: number, cols: number, ...names: string[]): LinearWeights => {
    if (storage !== "q8") return linear(rows, cols, ...names);
    const weights = names.map((name) => `${name}.weight`);
    const into = quantizedTable(allocation, weights.join(" + "), rows, cols);
    contents.push({ into, names: weights });
    const biases = names.map((name) => `${name}.bias`);
    return { weight: into.codes, scales: into.scales, bias: table(rows, 1, biases, into.codes.rowsPerPart) };
  };
  const norm = (name: string): NormWeights => ({
    gamma: tensor([h], `${name}.weight`),
    beta: tensor([h], `${name}.bias`),
  });
  const maskedLm = (word: Table): NonNullable<BertWeights["maskedLm"]> => {
    const names = decoderNames(config, nameTensors(checkpoint).stored);
    const weight = names.weight === WORD_TABLE ? word : table(v, h, [names.weight]);
    return {
      transform: linear(h, h, "cls.predictions.transform.dense"),
      norm: norm("cls.predictions.transform.LayerNorm"),
      decoder: { weight, bias: table(v, 1, [names.bias], weight.rowsPerPart) },
    };
  };
  const layer = (i: number): LayerWeights => {
    const name = `encoder.layer.${i}`;
    const self = `${name}.attention.self`;
    return {
      qkv: encoderLinear(3 * h, h, `${self}.query`, `${self}.key`, `${self}.value`),
      attentionOutput: encoderLinear(h, h, `${name}.attention.output.dense`),
      attentionNorm: norm(`${name}.attention.output.LayerNorm`),
      intermediate: encoderLinear(f, h, `${name}.intermediate.dense`),
      output: encoderLinear(h, f, `${name}.output.dense`),
      outputNorm: norm(`${name}.output.LayerNorm`),
    };
  };
  const embeddings = {
    word: table(v, h, [WORD_TABLE]),
    position: tensor([config.maxPositionEmbeddings, h], "embeddings.position_embeddings.weight"),
    tokenType: tensor([config.typeVocabSize, h], "embeddings.token_type_embeddings.weight"),
    norm: norm("embeddings.LayerNorm"),
  };
  const weights: BertWeights = {
    embeddings,
    layers: Array.from({ length: config.numHiddenLayers }, (_, i) => layer(i)),
    pooler: parts.pooler ? linear(h, h, "pooler.dense") : undefined,
    maskedLm: parts.maskedLm ? maskedLm(embeddings.word) : undefined,
    nextSentence: parts.nextSentence ? linear(2, h, "cls.seq_relationship") : undefined,
    classifier: parts.classifier === undefined ? undefined : linear(parts.classifier, h, "classifier"),
    qaOutputs: parts.qaOutputs ? linear(2, h, "qa_outputs") : undefined,
  };
  return { weights, contents };
}

export interface FillOptions {
  /** Called as weights arrive, with bytes of the checkpoint. */
  readonly onProgress?: ((progress: { readonly loaded: number; readonly total: number }) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Uploads the checkpoint into what was allocated for it, slice by slice. */
export async function fillWeights(
  allocation: Allocation,
  checkpoint: Checkpoint,
  { contents }: AllocatedWeights,
  dtype: "f32" | "f16",
  { onProgress, signal }: FillOptions = {},
): Promise<void> {
  const { stored } = nameTensors(checkpoint);
  const bytesOf = (name: string): number => checkpoint.tensors.get(stored.get(name)!)!.bytes;
  const total = contents.reduce((sum, { names }) => names.reduce((part, name) => part + bytesOf(name), sum), 0);
  let loaded = 0;
  const elements = async function* (names: readonly string[]) {
    for (const name of names) {
      signal?.throwIfAborted();
      yield* checkpoint.chunks(stored.get(name)!, dtype);
      loaded += bytesOf(name);
      onProgress?.({ loaded, total });
    }
  };
  for (const { into, names } of contents) {
    if ("codes" in into) await streamQuantized(allocation, into, elements(names));
    else await streamTable(allocation, into, elements(names));
  }
  await allocation.done();
}
