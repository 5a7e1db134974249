/** CPU twins of attention as it is trained: with dropout, and its gradients. */

import { attentionExtents } from "../attention/attention.ts";
import { type AttentionBackwardShape, attentionBackwardExtents } from "../attention/attention_backward.ts";
import type { AttentionDropout, AttentionTrainingShape } from "../attention/attention_training.ts";
import { eachQuery, type QueryRow } from "./attention.ts";
import { philox } from "./backward.ts";
import { type Inputs, type Outputs, outputOf, slice, sum, valuesOf } from "./values.ts";

/** out, and lse: the logarithm of the sum of the exponentials of what each query sees, 0 where that is nothing. */
export function attentionTraining(shape: AttentionTrainingShape, inputs: Inputs): Outputs {
  const { tokens, heads, valueDim, vStride, vOffset } = attentionExtents("attention", shape);
  const v = valuesOf(inputs, "v");
  const out = outputOf(inputs, tokens * heads * valueDim);
  const lse = outputOf(inputs, tokens * heads, "lse");
  eachQuery(shape, inputs, (of) => {
    const { row, head, firstKey, scores, probabilities } = of;
    const kept = keptOf(shape, of);
    const total = new Float64Array(valueDim);
    probabilities.forEach((p, key) => {
      const value = slice(v, (firstKey + key) * vStride + vOffset + head * valueDim, valueDim);
      for (const [d, x] of value.entries()) total[d]! += p * kept[key]! * x;
    });
    out.set(total, (row * heads + head) * valueDim);
    const greatest = Math.max(...scores);
    lse[row * heads + head] =
      greatest > -Infinity ? greatest + Math.log(sum(scores.map((score) => Math.exp(score - greatest)))) : 0;
  });
  return { out, lse };
}

/** For each key 0, or what its probability is multiplied by. */
function keptOf({ dropout = 0, seed = 0, step = 0, tensor = 0 }: AttentionDropout, of: QueryRow): Float64Array {
  const kept = new Float64Array(of.scores.length).fill(1);
  if (dropout === 0) return kept;
  for (let key = 0; key < kept.length; key += 4) {
    philox([key / 4, of.row, tensor, step], [seed, of.head + 1]).forEach((drawn, i) => {
      if (key + i < kept.length) kept[key + i] = drawn >= Math.floor(dropout * 2 ** 32) ? 1 / (1 - dropout) : 0;
    });
  }
  return kept;
}

/** d_q, and delta: the sum of d_out * out of each token and head. */
export function attentionBackwardQ(shape: AttentionBackwardShape, inputs: Inputs): Outputs {
  const { tokens, heads, headDim } = shape;
  const { scale, stride, qOffset } = attentionBackwardExtents("attention_backward_q", shape);
  const out = valuesOf(inputs, "out");
  const dQ = outputOf(inputs, tokens * stride + qOffset, "d_q");
  const delta = outputOf(inputs, tokens * heads, "delta");
  const deltaOf = (at: number, dOut: Float64Array): number =>
    (delta[at] = sum(dOut.map((d, i) => d * out[at * headDim + i]!)));
  eachGradient(shape, inputs, deltaOf, ({ row, head, keys }) => {
    const total = new Float64Array(headDim);
    for (const { gradient, k } of keys) {
      for (const [d, x] of k.entries()) total[d]! += scale * gradient * x;
    }
    dQ.set(total, row * stride + qOffset + head * headDim);
  });
  return { d_q: dQ, delta };
}

/** d_kv: the gradients of k and of v where these lie in qkv. */
export function attentionBackwardKV(shape: AttentionBackwardShape, inputs: Inputs): Outputs {
  const { tokens, heads, headDim } = shape;
  const { scale, stride, kOffset, vOffset } = attentionBackwardExtents("attention_backward_kv", shape);
  const delta = valuesOf(inputs, "delta");
  const dKV = outputOf(inputs, tokens * stride + Math.max(kOffset, vOffset), "d_kv");
  for (let row = 0; row < tokens; row++) {
    for (const start of [row * stride + kOffset, row * stride + vOffset]) dKV.fill(0, start, start + heads * headDim);
  }
  eachGradient(
    shape,
    inputs,
    (at) => delta[at]!,
    ({ head, q, dOut, keys }) => {
      for (const { keyRow, p, gradient } of keys) {
        const start = keyRow * stride + head * headDim;
        for (let d = 0; d < headDim; d++) {
          dKV[start + kOffset + d]! += scale * gradient * q[d]!;
          dKV[start + vOffset + d]! += p * dOut[d]!;
        }
      }
    },
  );
  return { d_kv: dKV };
}

interface GradientRow {
  readonly row: number;
  readonly head: number;
  readonly q: Float64Array;
  readonly dOut: Float64Array;
  /** With the probability after dropout, and the gradient of the score. */
  readonly keys: readonly {
    readonly keyRow: number;
    readonly k: Float64Array;
    readonly p: number;
    readonly gradient: number;
  }[];
}

/** @param deltaOf of the row of one head, by its place in [tokens, heads] */
function eachGradient(
  shape: AttentionBackwardShape,
  inputs: Inputs,
  deltaOf: (at: number, dOut: Float64Array) => number,
  visit: (of: GradientRow) => void,
): void {
  const { heads, headDim } = shape;
  const { stride, ...places } = attentionBackwardExtents("attention_backward", shape);
  const [qkv, dAll, lse, starts] = ["qkv", "d_out", "lse", "cu_seqlens"].map((name) => valuesOf(inputs, name));
  const forward = { ...shape, ...places, qStride: stride, kStride: stride, vStride: stride };
  eachQuery(forward, { ...inputs, q: qkv!, k: qkv!, v: qkv!, cu_seqlens_k: starts! }, (of) => {
    const { row, head, firstKey, scores } = of;
    const at = row * heads + head;
    const headOf = (row: number, offset: number): Float64Array =>
      slice(qkv!, row * stride + offset + head * headDim, headDim);
    const dOut = slice(dAll!, at * headDim, headDim);
    const kept = keptOf(shape, of);
    const delta = deltaOf(at, dOut);
    const keys = Array.from(scores, (score, key) => {
      const keyRow = firstKey + key;
      const v = headOf(keyRow, places.vOffset);
      const p = Math.exp(score - lse![at]!);
      const dP = kept[key]! * sum(dOut.map((d, i) => d * v[i]!));
      return { keyRow, k: headOf(keyRow, places.kOffset), p: p * kept[key]!, gradient: p * (dP - delta) };
    });
    visit({ row, head, q: headOf(row, places.qOffset), dOut, keys });
  });
}
