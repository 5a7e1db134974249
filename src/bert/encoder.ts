/** The BERT encoder (Devlin et al. 2018, section 3), recorded launch by launch. Seven a layer. */

import { attentionProbabilities, embed, layerNorm, linear, type PackedTokens, selfAttention } from "../runtime/ops.ts";
import type { Recorder, Ref } from "../runtime/recorder.ts";
import type { BertConfig } from "./config.ts";
import type { BertWeights, LayerWeights } from "./weights.ts";

/** What a recorded encoder reads: filled by `packBatch`. */
export interface EncoderInputs extends PackedTokens {
  /** u32 [tokens]; present when the word table is split over several bindings. */
  readonly wordIds: Ref | undefined;
  /** u32 [sequences]: present when attention probabilities are asked for; `probSize` elements a layer. */
  readonly probOffsets: Ref | undefined;
  readonly probSize: number;
}

export interface EncoderOutputs {
  /** [tokens, hidden] after the embeddings and after each layer; the last is the last hidden state. */
  readonly hiddenStates: readonly Ref[];
  /** Per layer [heads, length, length] of each sequence, where asked for. */
  readonly attentions: readonly Ref[];
}

export function encode(
  r: Recorder,
  inputs: EncoderInputs,
  weights: BertWeights,
  config: BertConfig,
  dtype: "f32" | "f16",
): EncoderOutputs {
  const { embeddings } = weights;
  let x = embed(r, inputs, inputs.wordIds, embeddings, embeddings.norm, config.layerNormEps, dtype); // [tokens, hidden]
  const hiddenStates = [x];
  const attentions: Ref[] = [];
  for (const layer of weights.layers) {
    x = encodeLayer(r, x, inputs, layer, config, attentions);
    hiddenStates.push(x);
  }
  return { hiddenStates, attentions };
}

function encodeLayer(
  r: Recorder,
  x: Ref,
  inputs: EncoderInputs,
  layer: LayerWeights,
  { numAttentionHeads: heads, layerNormEps: eps, hiddenAct }: BertConfig,
  attentions: Ref[],
): Ref {
  const qkv = linear(r, x, layer.qkv); // [tokens, 3 * hidden]
  if (inputs.probOffsets) {
    attentions.push(attentionProbabilities(r, qkv, inputs, heads, inputs.probOffsets, inputs.probSize));
  }
  const context = selfAttention(r, qkv, inputs, heads); // [tokens, hidden]
  const projected = linear(r, context, layer.attentionOutput);
  const attended = layerNorm(r, projected, layer.attentionNorm, eps, x); // LayerNorm(projected + x)
  const inner = linear(r, attended, layer.intermediate, { activation: hiddenAct }); // [tokens, intermediate]
  const outer = linear(r, inner, layer.output); // [tokens, hidden]
  return layerNorm(r, outer, layer.outputNorm, eps, attended);
}
