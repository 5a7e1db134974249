/**
 * SPLADE (Formal et al. 2021): what a text is about as weights of word pieces, the greatest over its tokens of
 * log(1 + relu(masked-LM logits)).
 */

import { pool } from "../../runtime/ops.ts";
import type { Head, Values } from "./head.ts";
import { hasMaskedLm, type MaskedLmWeights, maskedLmWeights, predict } from "./masked_lm.ts";

export interface SparseEmbeddingWanted {
  /**
   * SPLADE's weights of all word pieces [sequences, vocab], over tokens that are not masked. What `bind` leaves on the GPU
   * is relu of the greatest logits, x: the weight is log(1 + x).
   */
  readonly sparseEmbedding?: boolean | undefined;
}

export const sparseEmbedding: Head<SparseEmbeddingWanted, MaskedLmWeights> = {
  outputs: { sparseEmbedding: "sequence" },
  found: hasMaskedLm,
  weights: maskedLmWeights,
  record(r, _, context) {
    const logits = predict(r, context.hidden, undefined, context.weights, context.config, "relu"); // [tokens, vocab]
    return { sparseEmbedding: pool(r, logits, context, "max") };
  },
  // the logarithm grows with its argument, so it may come after the maximum: once a sequence instead of once a token
  give(raw) {
    const { shape, data } = raw.sparseEmbedding as Values;
    return { sparseEmbedding: { shape, data: data.map(Math.log1p) } };
  },
  elements: (_, length, __, { vocabSize }) => length * vocabSize,
};
