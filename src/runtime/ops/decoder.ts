/** What a decoder does beside `ops.ts`: attention to what came before, and to another batch. */

import { type AttentionShape, attentionKernelFor } from "../../kernels/attention/attention.ts";
import { attentionProbs } from "../../kernels/attention/attention_probs.ts";
import { type PackedTokens, scalar } from "../ops.ts";
import type { Recorder, Ref } from "../recorder.ts";

/** The columns from `offset` on of a matrix. */
export interface Columns {
  readonly of: Ref;
  readonly offset: number;
}

export interface Attending {
  readonly queries: PackedTokens;
  /** Of as many sequences: sequence by sequence, queries attend to the keys of their own. */
  readonly keys: PackedTokens;
  readonly heads: number;
  readonly headDim: number;
  /** Whether a query sees the keys up to its own place alone. */
  readonly causal: boolean;
}

function shapeOf(q: Columns, k: Columns, v: Columns, at: Attending): AttentionShape {
  return {
    tokens: q.of.shape[0]!,
    sequences: at.queries.cuSeqlens.shape[0]! - 1,
    heads: at.heads,
    headDim: at.headDim,
    dtype: scalar(q.of),
    mask: at.keys.masked,
    causal: at.causal,
    ...{ qStride: q.of.shape[1]!, kStride: k.of.shape[1]!, vStride: v.of.shape[1]! },
    ...{ qOffset: q.offset, kOffset: k.offset, vOffset: v.offset },
  };
}

/** [queries, heads * headDim] */
export function attend(r: Recorder, q: Columns, k: Columns, v: Columns, at: Attending): Ref {
  const { queries, keys, heads, headDim } = at;
  const out = r.temporary("attention", [q.of.shape[0]!, heads * headDim], q.of.dtype);
  const shape = shapeOf(q, k, v, at);
  r.dispatch(attentionKernelFor(shape, r.traits), shape, {
    ...{ q: q.of, k: k.of, v: v.of, out },
    ...{ cu_seqlens: queries.cuSeqlens, cu_seqlens_k: keys.cuSeqlens, tokens: keys.tokens },
  });
  return out;
}

/** The probabilities inside `attend`: [heads, queries, keys] of sequence s from probOffsets[s]; `size` elements in all. */
export function attended(r: Recorder, q: Columns, k: Columns, at: Attending, probOffsets: Ref, size: number): Ref {
  const out = r.temporary("attention probabilities", [size], q.of.dtype);
  const { queries, keys } = at;
  r.dispatch(attentionProbs, shapeOf(q, k, k, at), {
    ...{ q: q.of, k: k.of, out, prob_offsets: probOffsets },
    ...{ cu_seqlens: queries.cuSeqlens, cu_seqlens_k: keys.cuSeqlens, tokens: keys.tokens },
  });
  return out;
}
