/** A small encoder-decoder of two BERTs with random weights and a vocabulary, as a model folder in memory. */

import type { Folder } from "../../../src/files/bytes.ts";
import { buildSafetensors, memoryFolder, type TestTensor } from "../../files/build.ts";
import { random } from "../../support.ts";
import { TINY, tinyTensors } from "../tiny.ts";

const WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a an the film movie was is good bad long dull and not so it i we".split(
  " ",
);
const VOCABULARY = [...WORDS, ...Array.from({ length: 50 - WORDS.length }, (_, i) => `##${i}`)];

const H = TINY.hidden_size;

export type Tensors = Record<string, number[]>;

/** Of both parts, with a head that is tied to the word table. */
export function writerTensors(): Tensors {
  const encoder = Object.entries(tinyTensors(TINY)).filter(([name]) => !/pooler|classifier/.test(name));
  const linear = (name: string): [string, number[]][] => [
    [`${name}.weight`, [H, H]],
    [`${name}.bias`, [H]],
  ];
  const norm = (name: string): [string, number[]][] => [
    [`${name}.weight`, [H]],
    [`${name}.bias`, [H]],
  ];
  const cross = "decoder.bert.encoder.layer.0.crossattention";
  return Object.fromEntries([
    ...encoder.map(([name, shape]) => [name.replace(/^bert\./, "encoder."), shape]),
    ...encoder.map(([name, shape]) => [`decoder.${name}`, shape]),
    ...["query", "key", "value"].flatMap((part) => linear(`${cross}.self.${part}`)),
    ...linear(`${cross}.output.dense`),
    ...norm(`${cross}.output.LayerNorm`),
    ...linear("decoder.cls.predictions.transform.dense"),
    ...norm("decoder.cls.predictions.transform.LayerNorm"),
    ["decoder.cls.predictions.bias", [TINY.vocab_size]],
  ]) as Tensors;
}

export const WRITER: Readonly<Record<string, unknown>> = {
  model_type: "encoder-decoder",
  is_encoder_decoder: true,
  decoder_start_token_id: 2,
  eos_token_id: 3,
  pad_token_id: 0,
  encoder: TINY,
  decoder: { ...TINY, is_decoder: true, add_cross_attention: true, decoder_start_token_id: null, max_length: 20 },
};

interface Writer {
  /** In place of entries of config.json. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly generation?: Readonly<Record<string, unknown>>;
  readonly edit?: (tensors: Tensors) => Tensors;
  readonly fill?: (name: string, values: Float32Array) => void;
  /** Of other numbers. */
  readonly seed?: number;
}

/** The files of such a folder. */
export function writerFiles(of: Writer = {}): Record<string, string | Uint8Array> {
  const next = random(of.seed ?? 5);
  const tensors = Object.entries((of.edit ?? ((same) => same))(writerTensors())).map(
    ([name, shape]): [string, TestTensor] => {
      const size = shape.reduce((product, n) => product * n, 1);
      const scale = /embeddings|predictions.bias/.test(name) ? 4 : 1; // so that one token does not follow from all
      const data = Float32Array.from(
        { length: size },
        () => (next() - 0.5) * scale + (/Norm.weight$/.test(name) ? 1 : 0),
      );
      of.fill?.(name, data);
      return [name, { dtype: "F32", shape, data }];
    },
  );
  return {
    "config.json": JSON.stringify({ ...WRITER, ...of.config }),
    ...(of.generation && { "generation_config.json": JSON.stringify(of.generation) }),
    "model.safetensors": buildSafetensors(Object.fromEntries(tensors)),
    "vocab.txt": VOCABULARY.join("\n"),
  };
}

/** The decoder alone, as a causal language model. */
export const CAUSAL: Writer = {
  config: { ...TINY, model_type: "bert", architectures: ["BertLMHeadModel"], is_decoder: true },
  edit: (tensors) =>
    Object.fromEntries(
      Object.entries(tensors)
        .filter(([name]) => name.startsWith("decoder.") && !name.includes("crossattention"))
        .map(([name, shape]) => [name.slice("decoder.".length), shape]),
    ),
};

export function tinyWriter(of: Writer = {}): Folder {
  return memoryFolder(writerFiles(of));
}
