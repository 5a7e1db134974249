/**
 * A model folder with random weights that nobody stores: the bytes of its model.safetensors are computed where they are
 * read, each from its place in the file, so that a read gives the same bytes whatever the slices.
 */

import { type ByteSource, bytesSource, type Folder } from "../src/files/bytes.ts";

export interface ModelShape {
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly intermediate: number;
  /** Default 30522. */
  readonly vocab?: number;
  /** Default 512. */
  readonly positions?: number;
  /** Classes of a sequence classifier; none where not given. */
  readonly labels?: number;
}

/** Published models by their sizes. */
export const MODEL_SHAPES: Readonly<Record<"mini" | "minilm" | "base" | "large", ModelShape>> = {
  mini: { layers: 4, hidden: 256, heads: 4, intermediate: 1024 },
  minilm: { layers: 6, hidden: 384, heads: 12, intermediate: 1536 },
  base: { layers: 12, hidden: 768, heads: 12, intermediate: 3072 },
  large: { layers: 24, hidden: 1024, heads: 16, intermediate: 4096 },
};

export type ModelShapeName = keyof typeof MODEL_SHAPES;

/** As BERT is initialised, but uniform: the same deviation, and no logarithms. */
const DEVIATION = 0.02;
const TYPES = 2;

interface RandomTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** What all elements are; random where not given. */
  readonly value?: number;
}

/**
 * A BERT encoder with its pooler in Hugging Face layout, f32. The same seed gives the same weights.
 * @param nudge by which each weight is moved, up or down by its `signOf`
 */
export function randomModel(name: string, shape: ModelShape, seed = 1, nudge = 0): Folder {
  const { vocab = 30522, positions = 512, labels } = shape;
  const config = JSON.stringify({
    model_type: "bert",
    architectures: [labels === undefined ? "BertModel" : "BertForSequenceClassification"],
    vocab_size: vocab,
    hidden_size: shape.hidden,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    intermediate_size: shape.intermediate,
    hidden_act: "gelu",
    max_position_embeddings: positions,
    type_vocab_size: TYPES,
    layer_norm_eps: 1e-12,
    pad_token_id: 0,
    ...(labels !== undefined && {
      id2label: Object.fromEntries(Array.from({ length: labels }, (_, i) => [i, `${i}`])),
    }),
  });
  const tensors = tensorsOf(shape);
  return {
    name: `${name} (random weights)`,
    async open(path) {
      if (path === "config.json") return bytesSource(path, new TextEncoder().encode(config));
      return path === "model.safetensors" ? randomSafetensors(path, tensors, seed, nudge) : undefined;
    },
  };
}

/** The first element of each tensor, counted from the start of the data. */
export function placesOf(shape: ModelShape): ReadonlyMap<string, number> {
  let at = 0;
  return new Map(
    tensorsOf(shape).map(({ name, shape }) => {
      const begin = at;
      at += shape.reduce((product, size) => product * size, 1);
      return [name, begin];
    }),
  );
}

/** 1 or -1, at random, for the element at a place. */
export function signOf(place: number): number {
  return randomWeight(place, 7) < 0 ? -1 : 1;
}

function tensorsOf({
  layers,
  hidden,
  intermediate,
  vocab = 30522,
  positions = 512,
  labels,
}: ModelShape): RandomTensor[] {
  const linear = (name: string, rows: number, cols: number): RandomTensor[] => [
    { name: `${name}.weight`, shape: [rows, cols] },
    { name: `${name}.bias`, shape: [rows] },
  ];
  const norm = (name: string): RandomTensor[] => [
    { name: `${name}.weight`, shape: [hidden], value: 1 },
    { name: `${name}.bias`, shape: [hidden], value: 0 },
  ];
  const layer = (prefix: string): RandomTensor[] => [
    ...["query", "key", "value"].flatMap((part) => linear(`${prefix}.attention.self.${part}`, hidden, hidden)),
    ...linear(`${prefix}.attention.output.dense`, hidden, hidden),
    ...norm(`${prefix}.attention.output.LayerNorm`),
    ...linear(`${prefix}.intermediate.dense`, intermediate, hidden),
    ...linear(`${prefix}.output.dense`, hidden, intermediate),
    ...norm(`${prefix}.output.LayerNorm`),
  ];
  return [
    { name: "embeddings.word_embeddings.weight", shape: [vocab, hidden] },
    { name: "embeddings.position_embeddings.weight", shape: [positions, hidden] },
    { name: "embeddings.token_type_embeddings.weight", shape: [TYPES, hidden] },
    ...norm("embeddings.LayerNorm"),
    ...Array.from({ length: layers }, (_, i) => layer(`encoder.layer.${i}`)).flat(),
    ...linear("pooler.dense", hidden, hidden),
    ...(labels === undefined ? [] : linear("classifier", labels, hidden)),
  ];
}

/** Elements that are all of one value, counted from the start of the data. */
interface Stretch {
  readonly begin: number;
  readonly end: number;
  readonly value: number;
}

function randomSafetensors(name: string, tensors: readonly RandomTensor[], seed: number, nudge: number): ByteSource {
  const entries: Record<string, unknown> = {};
  const stretches: Stretch[] = [];
  let at = 0;
  for (const { name, shape, value } of tensors) {
    const end = at + shape.reduce((product, size) => product * size, 1);
    entries[name] = { dtype: "F32", shape, data_offsets: [at * 4, end * 4] };
    if (value !== undefined) stretches.push({ begin: at, end, value });
    at = end;
  }
  const header = safetensorsHeader(entries);
  const size = header.byteLength + at * 4;
  return {
    name,
    size,
    async read(offset, length) {
      if (offset < 0 || length < 0 || offset + length > size) {
        throw new RangeError(`${name}: bytes ${offset}..${offset + length} asked, the file has ${size}`);
      }
      const bytes = new Uint8Array(length);
      if (offset < header.byteLength) bytes.set(header.subarray(offset, offset + length));
      // Whole elements that cover what is asked of the data, of which the ends are cut off.
      const from = Math.max(offset - header.byteLength, 0);
      const to = offset + length - header.byteLength;
      if (to > from) {
        const first = Math.floor(from / 4);
        const elements = new Float32Array(Math.ceil(to / 4) - first);
        fill(elements, first, stretches, seed);
        if (nudge !== 0) for (let i = 0; i < elements.length; i++) elements[i]! += nudge * signOf(first + i);
        const covered = new Uint8Array(elements.buffer, from - first * 4, to - from);
        bytes.set(covered, length - covered.byteLength);
      }
      return bytes;
    },
    async close() {},
  };
}

/** Length, JSON, and blanks so that the data begins at a multiple of 8. */
function safetensorsHeader(entries: Readonly<Record<string, unknown>>): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(entries));
  const header = new Uint8Array(Math.ceil((8 + json.byteLength) / 8) * 8).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.byteLength - 8), true);
  header.set(json, 8);
  return header;
}

/** Elements from `first` on. Safetensors are little-endian, as every machine that Node runs WebGPU on. */
function fill(elements: Float32Array, first: number, stretches: readonly Stretch[], seed: number): void {
  for (let i = 0; i < elements.length; i++) elements[i] = randomWeight(first + i, seed);
  for (const { begin, end, value } of stretches) {
    if (end > first) elements.fill(value, Math.max(begin - first, 0), end - first);
  }
}

/** Uniform with the deviation of BERT's initialisation, from the element's place: an integer hash with good low bits. */
function randomWeight(place: number, seed: number): number {
  let h = (place + Math.imul(seed, 0x9e3779b9)) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x21f0aaad);
  h = Math.imul(h ^ (h >>> 15), 0x735a2d97);
  h ^= h >>> 15;
  return h * (2 ** -31 * Math.sqrt(3) * DEVIATION);
}
