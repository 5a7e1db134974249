/** Self-attention as it is trained. */
import { attentionBackwardKernelsFor } from "../kernels/attention/attention_backward.ts";
import { attentionTrainingKernelFor } from "../kernels/attention/attention_training.ts";
import type { PackedTokens } from "../runtime/ops.ts";
import type { Ref } from "../runtime/recorder.ts";
import { type Operation, scalarOf, type Tape } from "./operations.ts";

/**
 * Packed queries, keys and values [tokens, 3 * hidden] -> [tokens, hidden]; the gradient is packed alike.
 * @param dropout of probabilities
 */
export function selfAttention(
  tape: Tape,
  qkv: Ref,
  { tokens, cuSeqlens, masked }: PackedTokens,
  heads: number,
  dropout: number,
): Operation {
  const { r, seed, step } = tape;
  const [rows, width] = qkv.shape as [number, number];
  const hidden = width / 3;
  const shape = {
    ...{ tokens: rows, sequences: cuSeqlens.shape[0]! - 1, heads, headDim: hidden / heads },
    ...{ dtype: scalarOf(qkv), mask: masked, dropout, seed, tensor: tape.drawn++ },
    ...{ qOffset: 0, kOffset: hidden, vOffset: 2 * hidden },
  };
  const forward = { ...shape, qStride: width, kStride: width, vStride: width };
  const read = { cu_seqlens: cuSeqlens, tokens };
  const out = r.temporary("attention", [rows, hidden], qkv.dtype);
  const lse = r.temporary("logarithms of attention", [rows, heads], "f32");
  r.dispatch(
    attentionTrainingKernelFor(forward, r.traits),
    forward,
    { q: qkv, k: qkv, v: qkv, ...read, cu_seqlens_k: cuSeqlens, out, lse },
    { step },
  );
  return {
    out,
    backward(dOut) {
      const gradient = r.temporary("gradient", qkv.shape, qkv.dtype);
      const delta = r.temporary("delta of attention", [rows, heads], "f32");
      const { q, kv } = attentionBackwardKernelsFor(shape, r.traits);
      const operands = { qkv, d_out: dOut, lse, delta, ...read };
      r.dispatch(q, shape, { ...operands, out, d_q: gradient }, { step });
      r.dispatch(kv, shape, { ...operands, d_kv: gradient }, { step });
      return gradient;
    },
  };
}
