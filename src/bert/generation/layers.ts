/** A decoder's layers and its head, recorded: over whole texts that are given, or over one token of each. */

import { layerNorm, linear } from "../../runtime/ops.ts";
import type { Recorder, Ref } from "../../runtime/recorder.ts";
import type { BertConfig } from "../config.ts";
import type { DecoderLayerWeights, LanguageHeadWeights } from "./weights.ts";

/** How the layers attend. */
export interface LayerAttention {
  /** @param qkv [rows, 3 * hidden] -> [rows, hidden] */
  self(qkv: Ref, layer: number): Ref;
  /** @param q [rows, hidden] -> [rows, hidden]; not called in a model without an encoder */
  cross(q: Ref, layer: number): Ref;
}

/** What the embeddings give and each layer makes of it, each [rows, hidden]; the last is for the head. */
export function decoderStates(
  r: Recorder,
  embedded: Ref,
  layers: readonly DecoderLayerWeights[],
  { layerNormEps: eps, hiddenAct: activation }: BertConfig,
  attention: LayerAttention,
): Ref[] {
  const states = [embedded];
  for (const [i, layer] of layers.entries()) {
    const x = states[i]!;
    const context = attention.self(linear(r, x, layer.qkv), i);
    let attended = layerNorm(r, linear(r, context, layer.attentionOutput), layer.attentionNorm, eps, x);
    if (layer.cross) {
      const seen = attention.cross(linear(r, attended, layer.cross.query), i);
      attended = layerNorm(r, linear(r, seen, layer.cross.output), layer.cross.norm, eps, attended);
    }
    const inner = linear(r, attended, layer.intermediate, { activation }); // [rows, intermediate]
    states.push(layerNorm(r, linear(r, inner, layer.output), layer.outputNorm, eps, attended));
  }
  return states;
}

/** [rows, hidden] -> [rows, vocab] */
export function vocabularyLogits(
  r: Recorder,
  hidden: Ref,
  { transform, decoder }: LanguageHeadWeights,
  { layerNormEps: eps, hiddenAct: activation }: BertConfig,
): Ref {
  if (!transform) return linear(r, hidden, decoder);
  return linear(r, layerNorm(r, linear(r, hidden, transform.dense, { activation }), transform.norm, eps), decoder);
}
