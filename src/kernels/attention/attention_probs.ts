/** The probabilities inside attention, on request, for inspection: `attention` itself never stores them. */

import { foldWorkgroups, type Kernel } from "../kernel.ts";
import { type AttentionShape, attentionExtents } from "./attention.ts";
import wgsl from "./attention_probs.wgsl";

/** What `attention` takes; what concerns v is not read. */
export type AttentionProbsShape = AttentionShape;

const WORKGROUP_SIZE = 64;

/**
 * Bindings: q, k, cu_seqlens u32 [sequences + 1], cu_seqlens_k u32 [sequences + 1], tokens u32 [rows of k, 4] (.w: key
 * mask), prob_offsets u32 [sequences], out: [heads, queries, keys] of sequence s from element prob_offsets[s].
 */
export const attentionProbs: Kernel<AttentionProbsShape> = {
  name: "attention_probs",
  source: wgsl,
  plan(shape, limits) {
    const { tokens, sequences, heads, headDim, dtype, mask, causal = false } = shape;
    const { scale, qStride, kStride, qOffset, kOffset } = attentionExtents("attention_probs", shape);
    return {
      constants: { Scalar: dtype, WORKGROUP_SIZE, HAS_MASK: mask, CAUSAL: causal },
      params: {
        rows: tokens,
        sequences,
        heads,
        head_dim: headDim,
        q_stride: qStride,
        k_stride: kStride,
        q_offset: qOffset,
        k_offset: kOffset,
        scale,
      },
      workgroups: foldWorkgroups(tokens * heads, limits),
      label: `${tokens}x${heads}x${headDim}`,
    };
  },
};
