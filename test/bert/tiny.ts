/** A small BERT with random weights, as a model folder in memory. */

import type { Folder } from "../../src/files/bytes.ts";
import { buildSafetensors, memoryFolder, type TestTensor } from "../files/build.ts";
import { random } from "../support.ts";

const CONFIG = {
  model_type: "bert",
  architectures: ["BertForSequenceClassification"] as readonly string[],
  vocab_size: 50,
  hidden_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  intermediate_size: 32,
  max_position_embeddings: 64,
  type_vocab_size: 2,
  hidden_act: "gelu",
  layer_norm_eps: 1e-12,
};

export type TinyConfig = Record<keyof typeof CONFIG, unknown> & { readonly [name in Sizes]: number };
type Sizes = { [K in keyof typeof CONFIG]: (typeof CONFIG)[K] extends number ? K : never }[keyof typeof CONFIG];

export const TINY: TinyConfig = CONFIG;

/** Names and shapes of every tensor of an encoder with pooler and classifier. */
export function tinyTensors(config: TinyConfig): Record<string, number[]> {
  const { hidden_size: h, intermediate_size: f } = config;
  const tensors: Record<string, number[]> = {
    "embeddings.word_embeddings.weight": [config.vocab_size, h],
    "embeddings.position_embeddings.weight": [config.max_position_embeddings, h],
    "embeddings.token_type_embeddings.weight": [config.type_vocab_size, h],
    "embeddings.LayerNorm.weight": [h],
    "embeddings.LayerNorm.bias": [h],
    "pooler.dense.weight": [h, h],
    "pooler.dense.bias": [h],
  };
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const layer = `encoder.layer.${i}`;
    const dense: [name: string, rows: number, cols: number][] = [
      ["attention.self.query", h, h],
      ["attention.self.key", h, h],
      ["attention.self.value", h, h],
      ["attention.output.dense", h, h],
      ["intermediate.dense", f, h],
      ["output.dense", h, f],
    ];
    for (const [name, rows, cols] of dense) {
      tensors[`${layer}.${name}.weight`] = [rows, cols];
      tensors[`${layer}.${name}.bias`] = [rows];
    }
    for (const norm of ["attention.output.LayerNorm", "output.LayerNorm"]) {
      tensors[`${layer}.${norm}.weight`] = [h];
      tensors[`${layer}.${norm}.bias`] = [h];
    }
  }
  const prefixed = Object.fromEntries(Object.entries(tensors).map(([name, shape]) => [`bert.${name}`, shape]));
  return { ...prefixed, "classifier.weight": [2, h], "classifier.bias": [2] };
}

/** A folder of config.json and model.safetensors; `edit` may rename, add or drop tensors first, `fill` change values. */
export function tinyModel(
  overrides: Partial<TinyConfig> = {},
  edit: (tensors: Record<string, number[]>) => Record<string, number[]> = (tensors) => tensors,
  fill?: (name: string, values: Float32Array) => void,
): Folder {
  const config = { ...TINY, ...overrides };
  const next = random(42);
  const tensors = Object.entries(edit(tinyTensors(config))).map(([name, shape]): [string, TestTensor] => {
    const size = shape.reduce((product, n) => product * n, 1);
    const values = Float32Array.from(
      { length: size },
      () => (next() - 0.5) * 0.4 + (/(Norm.weight|gamma)$/.test(name) ? 1 : 0),
    );
    fill?.(name, values);
    return [name, { dtype: "F32", shape, data: values }];
  });
  return memoryFolder({
    "config.json": JSON.stringify(config),
    "model.safetensors": buildSafetensors(Object.fromEntries(tensors)),
  });
}
