/** What stands on the encoder: one function per head, each from hidden states to its own output. */

import {
  gatherRows,
  type LinearWeights,
  l2Normalize,
  layerNorm,
  linear,
  type PackedTokens,
  type PoolMode,
  pool,
} from "../runtime/ops.ts";
import type { Recorder, Ref } from "../runtime/recorder.ts";
import type { BertConfig } from "./config.ts";
import type { BertWeights } from "./weights.ts";

/** tanh(W x + b) of each first token, [sequences, hidden] (`pooler_output`) */
export function pooler(r: Recorder, hidden: Ref, packed: PackedTokens, weights: LinearWeights): Ref {
  return linear(r, pool(r, hidden, packed, "cls"), weights, { activation: "tanh" });
}

/** Vocabulary logits of the tokens in `rows` [n], or of all: [n, vocab] (`prediction_logits`) */
export function maskedLm(
  r: Recorder,
  hidden: Ref,
  rows: Ref | undefined,
  { transform, norm, decoder }: NonNullable<BertWeights["maskedLm"]>,
  { hiddenAct, layerNormEps }: BertConfig,
): Ref {
  if (hidden.dtype === "u32") throw new TypeError("hidden states are floats");
  const chosen = rows ? gatherRows(r, hidden, rows, hidden.dtype) : hidden;
  const transformed = linear(r, chosen, transform, { activation: hiddenAct });
  return linear(r, layerNorm(r, transformed, norm, layerNormEps), decoder);
}

/** A sentence vector, [sequences, hidden] */
export function sentenceEmbedding(
  r: Recorder,
  hidden: Ref,
  packed: PackedTokens,
  { mode, normalize }: { readonly mode: PoolMode; readonly normalize: boolean },
): Ref {
  const pooled = pool(r, hidden, packed, mode);
  return normalize ? l2Normalize(r, pooled) : pooled;
}
