/** The encoder, forward and backward: what src/bert/forward.ts records, with what a gradient needs kept. */

import type { BertConfig } from "../bert/config.ts";
import type { BertWeights, LayerWeights } from "../bert/weights.ts";
import type { PackedTokens } from "../runtime/ops.ts";
import type { Ref } from "../runtime/recorder.ts";
import { selfAttention } from "./attention.ts";
import {
  activate,
  dropout,
  type EmbeddingSegments,
  embed,
  type Gradient,
  layerNorm,
  linear,
  type Operation,
  type Tape,
} from "./operations.ts";
import type { SentenceSettings } from "./sentence_losses.ts";

/** Probabilities of elements to be dropped, where Hugging Face's BERT has them: 0 drops none. */
export interface Dropout {
  /** After the embeddings, after attention's output and after the feed-forward layer. */
  readonly hidden: number;
  /** Of attention's probabilities. */
  readonly attention: number;
  /** Before a classifier. */
  readonly classifier: number;
}

export interface EncoderInputs {
  readonly packed: PackedTokens;
  readonly wordIds: Ref | undefined;
  readonly segments: EmbeddingSegments;
}

export interface TrainedModel {
  readonly config: BertConfig;
  readonly dtype: "f32" | "f16";
  readonly weights: BertWeights;
  readonly dropout: Dropout;
  /** Where it is trained by a loss of sentence vectors. */
  readonly sentence?: SentenceSettings | undefined;
  /** Whether of each layer its input alone is kept, and the rest computed again in the backward pass. Default false. */
  readonly recompute?: boolean | undefined;
}

/** The last hidden state [tokens, hidden]; its gradient ends in the weights. */
export function encode(
  tape: Tape,
  { packed, wordIds, segments }: EncoderInputs,
  { config, dtype, weights, dropout: p, recompute }: TrainedModel,
): { readonly out: Ref; backward(dOut: Gradient): void } {
  const embedded = embed(tape, packed.tokens, wordIds, weights.embeddings, config.layerNormEps, dtype, segments);
  const dropped = dropout(tape, embedded.out, p.hidden);
  const steps: Operation[] = [];
  let hidden = dropped.out;
  for (const layer of weights.layers) {
    const x = hidden;
    const record = (): Operation => encodeLayer(tape, x, layer, packed, config, p);
    const step = recompute ? recomputed(tape, record) : record();
    steps.push(step);
    hidden = step.out;
  }
  return {
    out: hidden,
    backward(dOut) {
      const dHidden = steps.reduceRight((d, step) => step.backward(d), dOut);
      embedded.backward(dropped.backward(dHidden));
    },
  };
}

/** An operation of which nothing is kept: its backward pass records it once more, with the same draws, and goes on from there. */
function recomputed(tape: Tape, record: () => Operation): Operation {
  const before = tape.drawn;
  const { out } = record();
  return {
    out,
    backward(dOut) {
      if (!dOut) return undefined;
      const after = tape.drawn;
      tape.drawn = before;
      const { backward } = record();
      tape.drawn = after;
      return backward(dOut);
    },
  };
}

function encodeLayer(
  tape: Tape,
  x: Ref,
  layer: LayerWeights,
  packed: PackedTokens,
  { numAttentionHeads: heads, hiddenAct, layerNormEps: eps }: BertConfig,
  { hidden: p, attention }: Dropout,
): Operation {
  const qkv = linear(tape, x, layer.qkv); // [tokens, 3 * hidden]
  const context = selfAttention(tape, qkv.out, packed, heads, attention); // [tokens, hidden]
  const projected = residual(tape, context.out, layer.attentionOutput, x, p);
  const attended = layerNorm(tape, projected.out, layer.attentionNorm, eps);
  const inner = linear(tape, attended.out, layer.intermediate); // [tokens, intermediate]
  const active = activate(tape, inner.out, hiddenAct as Parameters<typeof activate>[2]);
  const outer = residual(tape, active.out, layer.output, attended.out, p);
  const out = layerNorm(tape, outer.out, layer.outputNorm, eps);
  return {
    out: out.out,
    backward(dOut) {
      const dOuter = out.backward(dOut, outer.summed); // of attended too
      const dInner = active.backward(outer.backward(dOuter));
      const dAttended = inner.backward(dInner, { residual: dOuter });
      const dProjected = attended.backward(dAttended, projected.summed); // of x too
      const dQkv = context.backward(projected.backward(dProjected));
      return qkv.backward(dQkv, { residual: dProjected });
    },
  };
}

/** dropout(W x + b) + residual. Its gradient goes to x; the residual's is dOut itself. */
function residual(
  tape: Tape,
  x: Ref,
  weights: LayerWeights["output"],
  added: Ref,
  probability: number,
): Operation & { readonly summed: NonNullable<LayerWeights["output"]["bias"]>["parts"][number] | undefined } {
  if (probability === 0) {
    const layer = linear(tape, x, weights, added);
    // the normalisation's launch for its own weights sums this bias's gradient as well
    const summed = weights.bias?.parts.length === 1 ? weights.bias.parts[0] : undefined;
    return { out: layer.out, summed, backward: (dOut) => layer.backward(dOut, { summed: summed !== undefined }) };
  }
  const layer = linear(tape, x, weights);
  const dropped = dropout(tape, layer.out, probability, added);
  return { out: dropped.out, summed: undefined, backward: (dOut) => layer.backward(dropped.backward(dOut)) };
}
