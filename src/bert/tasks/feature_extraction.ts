/** feature-extraction: vectors of texts, one per token or one per text (sentence embeddings). */

import type { PoolMode } from "../../runtime/ops.ts";
import type { Values } from "../outputs.ts";
import {
  batchesOf,
  encodeInputs,
  type Pretrained,
  sequenceOf,
  type TaskOptions,
  type TextInput,
} from "./pretrained.ts";

export interface EmbedOptions extends TaskOptions {
  /** How tokens become one vector; default `mean`. */
  readonly pooling?: PoolMode | undefined;
  /** Scale vectors to length 1, so that a dot product is the cosine; default true. */
  readonly normalize?: boolean | undefined;
}

/** @returns one vector [hidden] per text */
export async function embedText(
  pretrained: Pretrained,
  inputs: readonly TextInput[],
  options: EmbedOptions = {},
): Promise<Float32Array[]> {
  const embedding = { pooling: options.pooling ?? "mean", normalize: options.normalize ?? true };
  const encodings = encodeInputs(pretrained, inputs, options);
  const vectors: Float32Array[] = [];
  for (const { begin, end } of batchesOf(
    encodings.map(({ ids }) => ids.length),
    options.tokenBudget,
  )) {
    const batch = encodings.slice(begin, end).map(sequenceOf);
    const forward = await pretrained.model.forward(batch, { embedding }, options);
    const { shape, data } = forward.embedding!;
    const hidden = shape[1]!;
    for (let row = 0; row < shape[0]!; row++) vectors.push(data.slice(row * hidden, (row + 1) * hidden));
  }
  return vectors;
}

/** @returns per text the last hidden state of its tokens, special tokens included: [tokens, hidden] */
export async function extractFeatures(
  pretrained: Pretrained,
  inputs: readonly TextInput[],
  options: TaskOptions = {},
): Promise<Values[]> {
  const encodings = encodeInputs(pretrained, inputs, options);
  const features: Values[] = [];
  for (const { begin, end } of batchesOf(
    encodings.map(({ ids }) => ids.length),
    options.tokenBudget,
  )) {
    const batch = encodings.slice(begin, end).map(sequenceOf);
    const { lastHiddenState, cuSeqlens } = await pretrained.model.forward(batch, { lastHiddenState: true }, options);
    const hidden = lastHiddenState!.shape[1]!;
    batch.forEach((_, i) => {
      const data = lastHiddenState!.data.slice(cuSeqlens[i]! * hidden, cuSeqlens[i + 1]! * hidden);
      features.push({ shape: [data.length / hidden, hidden], data });
    });
  }
  return features;
}
