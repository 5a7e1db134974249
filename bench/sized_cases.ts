/** A case of each operation in the size that is asked for, with the options of the typical one. */

import type { AttentionShape } from "../src/kernels/attention.ts";
import type { EmbedLayernormShape } from "../src/kernels/embed_layernorm.ts";
import type { GatherRowsShape } from "../src/kernels/gather_rows.ts";
import type { LayernormShape } from "../src/kernels/layernorm.ts";
import type { MatmulShape } from "../src/kernels/matmul.ts";
import type { PoolShape } from "../src/kernels/pool.ts";
import type { TopKShape } from "../src/kernels/top_k.ts";
import {
  absolute,
  attentionCase,
  type Case,
  embedLayernormCases,
  gatherRowsCases,
  layernormCases,
  linear,
  poolCases,
  topKCases,
} from "../test/cases.ts";

/** The elements behind an output that a test watches are none of its work. */
export function unguarded(of: Case<MatmulShape>): Case<MatmulShape> {
  const { m, n } = of.shape;
  return { ...of, outputs: { out: m * n } };
}

/** A Linear layer of nothing but the product. */
export function matmulSized(m: number, n: number, k: number): Case<MatmulShape> {
  return unguarded(linear(m, n, k));
}

/** The same with weights in int8: four in a word, the last of a row filled up. */
export function matmulQ8Sized(m: number, n: number, k: number): Case<MatmulShape> {
  const of = matmulSized(m, n, k);
  const words = Math.ceil(k / 4);
  return {
    ...of,
    inputs: (random) => ({
      ...of.inputs(random),
      weight: Float64Array.from({ length: n * words }, (_, i) => {
        const used = Math.min(4, k - (i % words) * 4);
        const bytes = Array.from({ length: used }, (_, byte) => ((random.integer(255) - 127) & 0xff) * 256 ** byte);
        return bytes.reduce((word, byte) => word + byte, 0);
      }),
      scales: random.values(n).map((value) => (1 + 0.5 * value) / 190),
    }),
  };
}

/** One sequence. */
export function attentionSized(tokens: number, heads: number, headDim: number): Case<AttentionShape> {
  return attentionCase([tokens], heads, headDim);
}

/** The probabilities of a case of one sequence. */
export function probabilitiesOf(of: Case<AttentionShape>): Case<AttentionShape> {
  const { tokens, heads } = of.shape;
  return {
    ...of,
    inputs: (random) => ({ ...of.inputs(random), prob_offsets: [0] }),
    outputs: { out: heads * tokens * tokens },
  };
}

/** A typical case in another size: its bound does not depend on it. */
export function rowsCase<S extends { readonly rows: number; readonly cols: number }>(
  of: Case<S>,
  rows: number,
  cols: number,
): Case<S> {
  return {
    ...of,
    shape: { ...of.shape, rows, cols },
    inputs: (random) => ({
      x: random.values(rows * cols, 4),
      residual: random.values(rows * cols),
      gamma: random.values(cols),
      beta: random.values(cols),
      bias: random.values(cols),
    }),
    outputs: { out: rows * cols },
  };
}

/** Rows of two or three columns have a bound of their own: the tests' case of as many has it. */
export function layernormSized(rows: number, cols: number): Case<LayernormShape> {
  const same = layernormCases.cases.find(({ shape }) => shape.cols === cols && shape.residual);
  return rowsCase(same ?? layernormCases.typical[0]!, rows, cols);
}

/** Every word and place once, as in the typical case: the tables' bytes are those that are read. */
export function embedLayernormSized(tokens: number, hidden: number): Case<EmbedLayernormShape> {
  const of = embedLayernormCases.typical[0]!;
  return {
    ...of,
    shape: { ...of.shape, tokens, hidden },
    inputs: (random) => ({
      tokens: Array.from({ length: tokens }, (_, i) => [i, random.integer(2), i, 1]).flat(),
      word: random.values(tokens * hidden),
      position: random.values(tokens * hidden),
      token_type: random.values(2 * hidden),
      gamma: random.values(hidden),
      beta: random.values(hidden),
    }),
    outputs: { out: tokens * hidden },
    bound: layernormSized(tokens, hidden).bound,
  };
}

/** The mean of one sequence, about a third of it masked. */
export function poolSized(tokens: number, hidden: number): Case<PoolShape> {
  const of = poolCases.typical[0]!;
  return {
    ...of,
    shape: { ...of.shape, sequences: 1, hidden },
    inputs: (random) => ({
      x: random.values(tokens * hidden),
      cu_seqlens: [0, tokens],
      tokens: Array.from({ length: tokens }, () => [0, 0, 0, Math.min(1, random.integer(3))]).flat(),
    }),
    outputs: { out: hidden },
    bound: absolute(tokens),
  };
}

/** Out of a table with no more rows, and no more elements, than the typical one. */
export function gatherRowsSized(count: number, cols: number): Case<GatherRowsShape> {
  const of = gatherRowsCases.typical[0]!;
  const tableRows = Math.max(1, Math.floor(of.shape.tableRows * Math.min(1, of.shape.cols / cols)));
  return {
    ...of,
    shape: { ...of.shape, count, cols, tableRows },
    inputs: (random) => ({
      table: random.values(tableRows * cols),
      indices: Array.from({ length: count }, () => random.integer(tableRows)),
    }),
    outputs: { out: count * cols },
  };
}

/** The typical k, or all of a shorter row. */
export function topKSized(rows: number, cols: number): Case<TopKShape> {
  const of = topKCases.typical[0]!;
  const k = Math.min(of.shape.k, cols);
  return {
    ...of,
    shape: { ...of.shape, rows, cols, k },
    inputs: (random) => ({ x: Array.from({ length: rows * cols }, () => random.integer(cols) / 4 - 3) }),
    outputs: { values: rows * k, indices: rows * k },
  };
}
