/** Self-attention with both of its directions: what the forward pass keeps is a logarithm for each query and head. */

import { attentionBackwardKernelsFor } from "../kernels/attention/attention_backward.ts";
import { attentionTrainingKernelFor } from "../kernels/attention/attention_training.ts";
import type { PackedTokens } from "../runtime/ops.ts";
import type { Ref } from "../runtime/recorder.ts";
import { follows, type Operation, scalarOf, type Tape } from "./operations.ts";

/**
 * Over packed queries, keys and values [tokens, 3 * hidden] -> [tokens, hidden].
 * @param probability of an attention probability to be left out
 */
export function selfAttention(
  tape: Tape,
  qkv: Ref,
  { tokens, cuSeqlens, masked }: PackedTokens,
  heads: number,
  probability: number,
): Operation {
  const { r, seed, step } = tape;
  const [count, width] = qkv.shape as [number, number];
  const hidden = width / 3;
  const common = {
    ...{ tokens: count, sequences: cuSeqlens.shape[0]! - 1, heads, headDim: hidden / heads, dtype: scalarOf(qkv) },
    ...{ mask: masked, dropout: probability, seed, tensor: tape.drawn++ },
  };
  const forward = {
    ...common,
    ...{ qStride: width, kStride: width, vStride: width, qOffset: 0, kOffset: hidden, vOffset: 2 * hidden },
  };
  const out = r.temporary("attention", [count, hidden], qkv.dtype);
  const lse = r.temporary("logarithms", [count, heads], "f32");
  const rows = { cu_seqlens: cuSeqlens, tokens };
  const operands = { q: qkv, k: qkv, v: qkv, cu_seqlens_k: cuSeqlens, ...rows, out, lse };
  r.dispatch(attentionTrainingKernelFor(forward, r.traits), forward, operands, { step });
  return {
    out: follows(tape, out, [qkv]),
    backward(dOut) {
      if (!dOut) return undefined;
      const kernels = attentionBackwardKernelsFor(common, r.traits);
      const dQkv = r.temporary("gradient", qkv.shape, qkv.dtype);
      const delta = r.temporary("products", [count, heads], "f32");
      const given = { qkv, d_out: dOut, lse, ...rows };
      r.dispatch(kernels.q, common, { ...given, out, delta, d_q: dQkv }, { step });
      r.dispatch(kernels.kv, common, { ...given, delta, d_kv: dQkv }, { step });
      return dQkv;
    },
  };
}
