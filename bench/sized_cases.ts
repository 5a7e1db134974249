/** A case of each operation in the size that is asked for, with the options of the typical one. */

import type { AttentionShape } from "../src/kernels/attention/attention.ts";
import type { MatmulShape } from "../src/kernels/matmul/matmul.ts";
import type { EmbedLayernormShape, LayernormShape } from "../src/kernels/rows/layernorm.ts";
import type { TopKShape } from "../src/kernels/rows/top_k.ts";
import type { GatherRowsShape } from "../src/kernels/tokens/gather_rows.ts";
import { type Case, embedCase, gatherRowsCases, layernormCases, topKCase, topKCases } from "../test/cases.ts";

/** The elements behind an output that a test watches are none of its work. */
export function unguarded(of: Case<MatmulShape>): Case<MatmulShape> {
  const { m, n } = of.shape;
  return { ...of, outputs: { out: m * n } };
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

/** Every place once, as in the typical case, and every word unless the tokens divide by 37: the tables' bytes are read. */
export function embedLayernormSized(tokens: number, hidden: number): Case<EmbedLayernormShape> {
  return { ...embedCase(tokens, hidden, {}, [tokens, tokens]), bound: layernormSized(tokens, hidden).bound };
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
  return topKCase(rows, cols, Math.min(topKCases.typical[0]!.shape.k, cols));
}
