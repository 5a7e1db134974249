/** CPU twins of attention and of its probabilities. */
import { type AttentionShape, attentionExtents } from "../attention/attention.ts";
import { softmaxOf } from "./rows.ts";
import { type Inputs, type Outputs, outputOf, slice, valuesOf } from "./values.ts";

export function attention(shape: AttentionShape, inputs: Inputs): Outputs {
  const { tokens, heads, valueDim, vStride, vOffset } = attentionExtents("attention", shape);
  const v = valuesOf(inputs, "v");
  const out = outputOf(inputs, tokens * heads * valueDim);
  eachQuery(shape, inputs, ({ row, head, firstKey, probabilities }) => {
    for (let d = 0; d < valueDim; d++) {
      let total = 0;
      probabilities.forEach((p, key) => {
        total += p * v[(firstKey + key) * vStride + vOffset + head * valueDim + d]!;
      });
      out[(row * heads + head) * valueDim + d] = total;
    }
  });
  return { out };
}

export function attentionProbs(shape: AttentionShape, inputs: Inputs): Outputs {
  const offsets = valuesOf(inputs, "prob_offsets");
  const out = outputOf(inputs, 0);
  eachQuery(shape, inputs, ({ sequence, head, query, queries, probabilities }) => {
    out.set(probabilities, offsets[sequence]! + (head * queries + query) * probabilities.length);
  });
  return { out };
}

export interface QueryRow {
  readonly sequence: number;
  readonly head: number;
  /** Row of q. */
  readonly row: number;
  /** Place in the sequence, which has `queries` of them. */
  readonly query: number;
  readonly queries: number;
  /** Row of k of the sequence's first key. */
  readonly firstKey: number;
  /** One for each key of the sequence, -Infinity where the query does not see it. */
  readonly scores: Float64Array;
  readonly probabilities: Float64Array;
}

/** @param visit is called for every query of every head */
export function eachQuery(shape: AttentionShape, inputs: Inputs, visit: (row: QueryRow) => void): void {
  const { sequences, heads, headDim, mask, scale, ...at } = attentionExtents("attention", shape);
  const q = valuesOf(inputs, "q");
  const k = valuesOf(inputs, "k");
  const starts = valuesOf(inputs, "cu_seqlens");
  const keyStarts = valuesOf(inputs, "cu_seqlens_k");
  const tokens = mask ? valuesOf(inputs, "tokens") : undefined;
  for (let sequence = 0; sequence < sequences; sequence++) {
    const queries = starts[sequence + 1]! - starts[sequence]!;
    const firstKey = keyStarts[sequence]!;
    const keys = keyStarts[sequence + 1]! - firstKey;
    for (let query = 0; query < queries; query++) {
      const row = starts[sequence]! + query;
      for (let head = 0; head < heads; head++) {
        const queryValues = slice(q, row * at.qStride + at.qOffset + head * headDim, headDim);
        const scores = Float64Array.from({ length: keys }, (_, key) => {
          if ((shape.causal === true && key > query) || tokens?.[4 * (firstKey + key) + 3] === 0) return -Infinity;
          const start = (firstKey + key) * at.kStride + at.kOffset + head * headDim;
          return queryValues.reduce((total, value, d) => total + value * k[start + d]!, 0) * scale;
        });
        visit({ sequence, head, row, query, queries, firstKey, scores, probabilities: softmaxOf(scores) });
      }
    }
  }
}
