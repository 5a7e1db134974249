/**
 * The operations a BERT is made of, on refs of a recorder. With `ops/tune.ts` the only file of the runtime that names
 * concrete kernels: each function adds one launch (one per part, where a table is split) and returns what it writes.
 */

import { attentionKernelFor } from "../kernels/attention/attention.ts";
import { attentionProbs as attentionProbsKernel } from "../kernels/attention/attention_probs.ts";
import type { Scalar } from "../kernels/kernel.ts";
import { rowOwnerFor, rowReducerFor } from "../kernels/kernel.ts";
import type { MatmulShape } from "../kernels/matmul/matmul.ts";
import { matmulKernelFor } from "../kernels/matmul/matmul_choice.ts";
import { matmulQ8 } from "../kernels/matmul/matmul_q8.ts";
import { activation as activationKernel } from "../kernels/rows/activation.ts";
import { l2NormalizeBy } from "../kernels/rows/l2_normalize.ts";
import { embedLayernormBy, layernormBy } from "../kernels/rows/layernorm.ts";
import { NON_FINITE_BLOCK, nonFiniteBy } from "../kernels/rows/non_finite.ts";
import { softmaxKernelFor } from "../kernels/rows/softmax.ts";
import { topK as topKKernel } from "../kernels/rows/top_k.ts";
import { gatherRows as gatherRowsKernel } from "../kernels/tokens/gather_rows.ts";
import { type PoolMode, pool as poolKernel } from "../kernels/tokens/pool.ts";
import type { Recorder, Ref } from "./recorder.ts";
import type { Table } from "./table.ts";
import { sizeOf, type Tensor } from "./tensor.ts";

export { NON_FINITE_BLOCK, type PoolMode };
/** Activations a linear layer can apply. */
export type Activation = MatmulShape["activation"];

/**
 * y = x W^T + b with W [out, in] as checkpoints store it. `bias` is a table of one column, split as `weight` is. With
 * `scales`, another such, `weight` is int8: u32 [out, ceil(in / 4)] of `quantizedTable`.
 */
export interface LinearWeights {
  readonly weight: Table;
  readonly scales?: Table | undefined;
  readonly bias: Table | undefined;
  /** Records the layer in place of `linear`: with what an adapter adds. */
  readonly adapted?: typeof linear | undefined;
}

export interface LinearOptions {
  readonly activation?: Activation;
  /** Added after the activation. */
  readonly residual?: Ref | undefined;
}

export interface NormWeights {
  readonly gamma: Tensor;
  readonly beta: Tensor;
}

/** The tokens of all sequences laid end to end, without padding. */
export interface PackedTokens {
  /** u32 [tokens, 4]: word id, token type, position, 1 for a token that others attend to (0: masked). */
  readonly tokens: Ref;
  /** u32 [sequences + 1]: where each sequence begins; the last entry is the number of tokens. */
  readonly cuSeqlens: Ref;
  /** Whether any token is masked. */
  readonly masked: boolean;
}

/** What kernels are chosen for where the choice must not depend on the batch: eight texts of 128 tokens. */
const USUAL_ROWS = 1024;

/** [rows, in] -> [rows, out] */
export function linear(r: Recorder, x: Ref, weights: LinearWeights, options: LinearOptions = {}): Ref {
  const { weight, scales, bias, adapted } = weights;
  if (adapted) return adapted(r, x, weights, options);
  const { activation = "none", residual } = options;
  const [m, k] = rowsAndCols(x);
  const out = r.temporary("linear", [m, weight.rows], x.dtype);
  weight.parts.forEach((part, i) => {
    const shape = {
      m,
      n: part.shape[0]!,
      k,
      dtype: scalar(x),
      bias: bias !== undefined,
      residual: residual !== undefined,
      activation,
      outStride: weight.rows,
      outOffset: i * weight.rowsPerPart,
      usualRows: r.traits.batchInvariant ? USUAL_ROWS : undefined,
    };
    const operands = { x, weight: part, bias: bias?.parts[i], residual, out };
    if (scales) r.dispatch(matmulQ8, shape, { ...operands, scales: scales.parts[i] });
    else r.dispatch(matmulKernelFor(shape, r.traits), shape, operands);
  });
  return out;
}

/** By itself, element by element; apps whose layers all apply theirs have nothing of it. */
export function activate(r: Recorder, x: Ref, activation: Activation): Ref {
  const [rows, cols] = rowsAndCols(x);
  const out = r.temporary(activation, x.shape, x.dtype);
  r.dispatch(activationKernel, { rows, cols, dtype: scalar(x), bias: false, activation }, { x, out });
  return out;
}

/** LayerNorm(x + residual), [rows, cols] */
export function layerNorm(r: Recorder, x: Ref, { gamma, beta }: NormWeights, eps: number, residual?: Ref): Ref {
  const [rows, cols] = rowsAndCols(x);
  const out = r.temporary("layernorm", x.shape, x.dtype);
  const shape = { rows, cols, eps, dtype: scalar(x), residual: residual !== undefined };
  r.dispatch(layernormBy(rowReducerFor(r.traits)), shape, { x, residual, gamma, beta, out });
  return out;
}

/** LayerNorm(word[id] + position[p] + tokenType[t]), [tokens, hidden] */
export function embed(
  r: Recorder,
  { tokens }: PackedTokens,
  wordIds: Ref | undefined,
  tables: { word: Table; position: Tensor; tokenType: Tensor },
  { gamma, beta }: NormWeights,
  eps: number,
  dtype: Scalar,
): Ref {
  const count = tokens.shape[0]!;
  const hidden = tables.word.cols;
  const gathered = tables.word.parts.length > 1;
  const word = gathered ? gatherRows(r, tables.word, wordIds!, dtype) : tables.word.parts[0]!;
  const out = r.temporary("embeddings", [count, hidden], dtype);
  r.dispatch(
    embedLayernormBy(rowReducerFor(r.traits)),
    { tokens: count, hidden, eps, dtype, gathered },
    { tokens, word, position: tables.position, token_type: tables.tokenType, gamma, beta, out },
  );
  return out;
}

/** Rows of a table by index, [indices, cols]. */
export function gatherRows(r: Recorder, table: Table | Ref, indices: Ref, dtype: Scalar): Ref {
  const count = indices.shape[0]!;
  const split = "parts" in table;
  const cols = split ? table.cols : table.shape[1]!;
  const out = r.temporary("rows", [count, cols], dtype);
  (split ? table.parts : [table]).forEach((part, i) => {
    const firstRow = split ? i * table.rowsPerPart : 0;
    const shape = { count, cols, dtype, firstRow, tableRows: part.shape[0]! };
    r.dispatch(gatherRowsKernel, shape, { table: part, indices, out });
  });
  return out;
}

/** Self-attention over packed queries, keys and values [tokens, 3 * hidden] -> [tokens, hidden] */
export function selfAttention(r: Recorder, qkv: Ref, packed: PackedTokens, heads: number): Ref {
  const hidden = qkv.shape[1]! / 3;
  const out = r.temporary("attention", [qkv.shape[0]!, hidden], qkv.dtype);
  const { tokens, cuSeqlens } = packed;
  const shape = attentionShape(qkv, packed, heads);
  r.dispatch(attentionKernelFor(shape, r.traits), shape, {
    q: qkv,
    k: qkv,
    v: qkv,
    cu_seqlens: cuSeqlens,
    cu_seqlens_k: cuSeqlens,
    tokens,
    out,
  });
  return out;
}

/** Attention probabilities: [heads, length, length] of sequence s from element probOffsets[s]; `size` elements in all. */
export function attentionProbabilities(
  r: Recorder,
  qkv: Ref,
  packed: PackedTokens,
  heads: number,
  probOffsets: Ref,
  size: number,
): Ref {
  const out = r.temporary("attention probabilities", [size], qkv.dtype);
  const { tokens, cuSeqlens } = packed;
  r.dispatch(attentionProbsKernel, attentionShape(qkv, packed, heads), {
    q: qkv,
    k: qkv,
    cu_seqlens: cuSeqlens,
    cu_seqlens_k: cuSeqlens,
    tokens,
    prob_offsets: probOffsets,
    out,
  });
  return out;
}

function attentionShape(qkv: Ref, { cuSeqlens, masked }: PackedTokens, heads: number) {
  const hidden = qkv.shape[1]! / 3;
  return {
    tokens: qkv.shape[0]!,
    sequences: cuSeqlens.shape[0]! - 1,
    heads,
    headDim: hidden / heads,
    dtype: scalar(qkv),
    mask: masked,
    qStride: 3 * hidden,
    kStride: 3 * hidden,
    vStride: 3 * hidden,
    qOffset: 0,
    kOffset: hidden,
    vOffset: 2 * hidden,
  };
}

/** One row per sequence: [tokens, hidden] -> [sequences, hidden]. "cls" takes each first token, masked or not. */
export function pool(r: Recorder, x: Ref, { tokens, cuSeqlens, masked }: PackedTokens, mode: PoolMode): Ref {
  const sequences = cuSeqlens.shape[0]! - 1;
  const hidden = x.shape[1]!;
  const out = r.temporary(`${mode} pooling`, [sequences, hidden], x.dtype);
  const shape = { sequences, hidden, dtype: scalar(x), mode, mask: masked && mode !== "cls" };
  r.dispatch(poolKernel, shape, { x, cu_seqlens: cuSeqlens, tokens, out });
  return out;
}

/** x / max(|x|, 1e-12) per row */
export function l2Normalize(r: Recorder, x: Ref): Ref {
  const [rows, cols] = rowsAndCols(x);
  const out = r.temporary("l2 normalised", x.shape, x.dtype);
  r.dispatch(l2NormalizeBy(rowReducerFor(r.traits)), { rows, cols, dtype: scalar(x) }, { x, out });
  return out;
}

/** Softmax over each row. */
export function softmax(r: Recorder, x: Ref): Ref {
  const [rows, cols] = rowsAndCols(x);
  const out = r.temporary("softmax", x.shape, x.dtype);
  const shape = { rows, cols, dtype: scalar(x) };
  r.dispatch(softmaxKernelFor(shape, r.traits), shape, { x, out });
  return out;
}

/** The k largest of each row, descending, and their columns. */
export function topK(r: Recorder, x: Ref, k: number): { values: Ref; indices: Ref } {
  const [rows, cols] = rowsAndCols(x);
  const values = r.temporary("top values", [rows, k], "f32");
  const indices = r.temporary("top indices", [rows, k], "u32");
  r.dispatch(topKKernel, { rows, cols, k, dtype: scalar(x) }, { x, values, indices });
  return { values, indices };
}

/** u32: for each 1,024 elements 0, or 1,024 less the place of the first that is not finite. */
export function nonFinite(r: Recorder, x: Ref): Ref {
  const count = sizeOf(x.shape);
  const out = r.temporary("finite?", [Math.ceil(count / NON_FINITE_BLOCK)], "u32");
  r.dispatch(nonFiniteBy(rowOwnerFor(r.traits)), { count, dtype: scalar(x) }, { x, out });
  return out;
}

function rowsAndCols({ name, shape }: Ref): [rows: number, cols: number] {
  if (shape.length !== 2) throw new TypeError(`${name} [${shape}] must be a matrix`);
  return [shape[0]!, shape[1]!];
}

/** @throws TypeError unless it holds floats */
export function scalar({ name, dtype }: Ref): Scalar {
  if (dtype === "u32") throw new TypeError(`${name} holds u32; f32 or f16 is needed`);
  return dtype;
}
