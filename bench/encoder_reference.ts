/** The encoder on the CPU in float64, out of the kernels' CPU twins: what a model's output is held against. */

import type { Sequence } from "../src/bert/batch.ts";
import { openModel } from "../src/bert/model.ts";
import { nameTensors } from "../src/bert/weights.ts";
import type { Folder } from "../src/files/bytes.ts";
import { attention, embedLayernorm, layernorm, matmul, matmulQ8 } from "../src/kernels/reference/twins.ts";
import { quantizeRow } from "../src/runtime/quantize.ts";

type Activation = Parameters<typeof matmul>[0]["activation"];

/**
 * The last hidden state [tokens, hidden] of one sequence whose positions are 0, 1, 2, ... and whose types are 0.
 * @param int8 the encoder's linear layers as a model in q8 has them: weights in int8, their inputs rounded to it
 */
export async function encodeOnCpu(folder: Folder, { inputIds }: Sequence, int8 = false): Promise<Float64Array> {
  const { config, checkpoint } = await openModel(folder);
  const { stored } = nameTensors(checkpoint, config);
  const { hiddenSize: hidden, intermediateSize, numAttentionHeads: heads, layerNormEps: eps } = config;
  const tokens = inputIds.length;
  const dtype = "f32";

  const read = (name: string, offset?: number, count?: number): Promise<Float32Array> =>
    checkpoint.readFloats(stored.get(name)!, count === undefined ? {} : { offset: offset!, count });
  const linear = async (x: Float64Array, name: string, n: number, activation: Activation = "none") => {
    const shape = { m: tokens, n, k: x.length / tokens, dtype, bias: true, residual: false, activation } as const;
    const [weight, bias] = [await read(`${name}.weight`), await read(`${name}.bias`)];
    if (int8) return matmulQ8(shape, { x, ...inInt8(weight, n), bias }).out!;
    return matmul(shape, { x, weight, bias }).out!;
  };
  const norm = async (x: Float64Array, residual: Float64Array, name: string): Promise<Float64Array> => {
    const [gamma, beta] = [await read(`${name}.weight`), await read(`${name}.bias`)];
    const shape = { rows: tokens, cols: hidden, eps, dtype, residual: true } as const;
    return layernorm(shape, { x, residual, gamma, beta }).out!;
  };

  try {
    const word = new Float32Array(tokens * hidden);
    for (let i = 0; i < tokens; i++) {
      word.set(await read("embeddings.word_embeddings.weight", inputIds[i]! * hidden, hidden), i * hidden);
    }
    let x = embedLayernorm(
      { tokens, hidden, eps, dtype, gathered: true },
      {
        tokens: Array.from({ length: tokens }, (_, place) => [inputIds[place]!, 0, place, 1]).flat(),
        word,
        position: await read("embeddings.position_embeddings.weight", 0, tokens * hidden),
        token_type: await read("embeddings.token_type_embeddings.weight", 0, hidden),
        gamma: await read("embeddings.LayerNorm.weight"),
        beta: await read("embeddings.LayerNorm.bias"),
      },
    ).out!;
    for (let i = 0; i < config.numHiddenLayers; i++) {
      const layer = `encoder.layer.${i}`;
      const self = `${layer}.attention.self`;
      const q = await linear(x, `${self}.query`, hidden);
      const k = await linear(x, `${self}.key`, hidden);
      const v = await linear(x, `${self}.value`, hidden);
      const starts = [0, tokens];
      const context = attention(
        { tokens, sequences: 1, heads, headDim: hidden / heads, dtype, mask: false },
        { q, k, v, cu_seqlens: starts, cu_seqlens_k: starts },
      ).out!;
      const projected = await linear(context, `${layer}.attention.output.dense`, hidden);
      const attended = await norm(projected, x, `${layer}.attention.output.LayerNorm`);
      const inner = await linear(attended, `${layer}.intermediate.dense`, intermediateSize, config.hiddenAct);
      const outer = await linear(inner, `${layer}.output.dense`, hidden);
      x = await norm(outer, attended, `${layer}.output.LayerNorm`);
    }
    return x;
  } finally {
    await checkpoint.close();
  }
}

/** Logits of its sequence classifier, from the last hidden state [tokens, hidden]. */
export async function classifyOnCpu(folder: Folder, hidden: Float64Array): Promise<Float64Array> {
  const { config, checkpoint } = await openModel(folder);
  const { stored } = nameTensors(checkpoint, config);
  const read = (name: string): Promise<Float32Array> => checkpoint.readFloats(stored.get(name)!);
  const linear = async (x: Float64Array, name: string, n: number, activation: Activation) => {
    const shape = { m: 1, n, k: x.length, dtype: "f32", bias: true, residual: false, activation } as const;
    return matmul(shape, { x, weight: await read(`${name}.weight`), bias: await read(`${name}.bias`) }).out!;
  };
  try {
    const first = hidden.subarray(0, config.hiddenSize);
    const pooled = await linear(first, "pooler.dense", config.hiddenSize, "tanh");
    return await linear(pooled, "classifier", config.labels.length, "none");
  } finally {
    await checkpoint.close();
  }
}

/** Rows of `weight` as the engine stores them. */
function inInt8(weight: Float32Array, rows: number): { weight: Uint32Array; scales: Float32Array } {
  const cols = weight.length / rows;
  const words = Math.ceil(cols / 4);
  const codes = new Uint32Array(rows * words);
  const scales = Float32Array.from({ length: rows }, (_, row) =>
    quantizeRow(weight.subarray(row * cols, (row + 1) * cols), codes.subarray(row * words, (row + 1) * words)),
  );
  return { weight: codes, scales };
}
