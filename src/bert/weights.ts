/**
 * The weights of a BERT as a typed tree. The only file that knows the names in checkpoints: with and without the `bert.`
 * prefix, LayerNorm as weight/bias or as gamma/beta (TensorFlow's names, in old files), decoders tied or stored.
 */

import type { Checkpoint } from "../runtime/checkpoint.ts";
import type { Engine } from "../runtime/engine.ts";
import type { LinearWeights, NormWeights } from "../runtime/ops.ts";
import type { Shape, Table, Tensor } from "../runtime/tensor.ts";
import { streamTable, streamTensor } from "../runtime/upload.ts";
import { type BertConfig, ModelError } from "./config.ts";

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
  need("embeddings.word_embeddings.weight", v, h);
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
    return { weight: "embeddings.word_embeddings.weight", bias: stored.has(tiedBias) ? tiedBias : ownBias };
  }
  return { weight: "cls.predictions.decoder.weight", bias: stored.has(ownBias) ? ownBias : tiedBias };
}

export interface LoadOptions {
  readonly dtype: "f32" | "f16";
  /** Called as weights arrive, with bytes of the checkpoint. */
  readonly onProgress?: ((progress: { readonly loaded: number; readonly total: number }) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Uploads a checkpoint that `checkWeights` has accepted, slice by slice. What was uploaded is freed if it fails. */
export async function loadWeights(
  engine: Engine,
  config: BertConfig,
  checkpoint: Checkpoint,
  parts: Parts,
  { dtype, onProgress, signal }: LoadOptions,
): Promise<{ weights: BertWeights; tensors: readonly Tensor[] }> {
  const { stored } = nameTensors(checkpoint);
  const { hiddenSize: h, intermediateSize: f, vocabSize: v } = config;
  const tensors: Tensor[] = [];
  const total = [...stored.values()].reduce((sum, name) => sum + checkpoint.tensors.get(name)!.bytes, 0);
  let loaded = 0;
  const source = async function* (names: readonly string[]) {
    for (const name of names) {
      signal?.throwIfAborted();
      yield* checkpoint.chunks(stored.get(name)!, dtype);
      loaded += checkpoint.tensors.get(stored.get(name)!)!.bytes;
      onProgress?.({ loaded, total });
    }
  };
  const tensor = async (shape: Shape, ...names: string[]): Promise<Tensor> => {
    const result = engine.tensor(names.join(" + "), shape, dtype);
    tensors.push(result);
    await streamTensor(engine, result, source(names));
    return result;
  };
  const table = async (
    rows: number,
    cols: number,
    rowsPerPart: number | undefined,
    ...names: string[]
  ): Promise<Table> => {
    const result = engine.table(names.join(" + "), rows, cols, dtype, rowsPerPart);
    tensors.push(...result.parts);
    await streamTable(engine, result, source(names));
    return result;
  };
  const linear = async (rows: number, cols: number, ...names: string[]): Promise<LinearWeights> => {
    const weight = await table(rows, cols, undefined, ...names.map((name) => `${name}.weight`));
    return { weight, bias: await table(rows, 1, weight.rowsPerPart, ...names.map((name) => `${name}.bias`)) };
  };
  const norm = async (name: string): Promise<NormWeights> => ({
    gamma: await tensor([h], `${name}.weight`),
    beta: await tensor([h], `${name}.bias`),
  });

  try {
    const embeddings = {
      word: await table(v, h, undefined, "embeddings.word_embeddings.weight"),
      position: await tensor([config.maxPositionEmbeddings, h], "embeddings.position_embeddings.weight"),
      tokenType: await tensor([config.typeVocabSize, h], "embeddings.token_type_embeddings.weight"),
      norm: await norm("embeddings.LayerNorm"),
    };
    const layers: LayerWeights[] = [];
    for (let i = 0; i < config.numHiddenLayers; i++) {
      const layer = `encoder.layer.${i}`;
      const self = `${layer}.attention.self`;
      layers.push({
        qkv: await linear(3 * h, h, `${self}.query`, `${self}.key`, `${self}.value`),
        attentionOutput: await linear(h, h, `${layer}.attention.output.dense`),
        attentionNorm: await norm(`${layer}.attention.output.LayerNorm`),
        intermediate: await linear(f, h, `${layer}.intermediate.dense`),
        output: await linear(h, f, `${layer}.output.dense`),
        outputNorm: await norm(`${layer}.output.LayerNorm`),
      });
    }
    const decoder = decoderNames(config, stored);
    const tied = decoder.weight === "embeddings.word_embeddings.weight";
    const weights: BertWeights = {
      embeddings,
      layers,
      pooler: parts.pooler ? await linear(h, h, "pooler.dense") : undefined,
      maskedLm: parts.maskedLm
        ? {
            transform: await linear(h, h, "cls.predictions.transform.dense"),
            norm: await norm("cls.predictions.transform.LayerNorm"),
            decoder: {
              weight: tied ? embeddings.word : await table(v, h, undefined, decoder.weight),
              bias: await table(v, 1, embeddings.word.rowsPerPart, decoder.bias),
            },
          }
        : undefined,
      nextSentence: parts.nextSentence ? await linear(2, h, "cls.seq_relationship") : undefined,
      classifier: parts.classifier === undefined ? undefined : await linear(parts.classifier, h, "classifier"),
      qaOutputs: parts.qaOutputs ? await linear(2, h, "qa_outputs") : undefined,
    };
    await engine.flushWrites();
    return { weights, tensors };
  } catch (error) {
    for (const tensor of tensors) tensor.dispose();
    throw error;
  }
}
