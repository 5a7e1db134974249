/**
 * One table for each kernel: shapes, inputs, and the error that is allowed against the CPU twin. The tests check every
 * row of `cases`; benchmarks time `typical`, and check it first by the same bound.
 *
 * A bound is derived, not tuned: UNIT is half a unit in the last place of f32, in which every kernel accumulates. A sum of
 * `n` rounded terms of magnitude 1 is allowed n * UNIT, which is about the error of n roundings at the size that random
 * partial sums reach, several times over. The last rounding, to the output's dtype, is relative.
 */

import {
  type AttentionShape,
  attention,
  attentionBroadcastBy,
  attentionUnaligned,
  isAligned,
} from "../src/kernels/attention/attention.ts";
import { attentionProbs } from "../src/kernels/attention/attention_probs.ts";
import type { MatmulShape } from "../src/kernels/matmul/matmul.ts";
import { matmulQ8 } from "../src/kernels/matmul/matmul_q8.ts";
import * as reference from "../src/kernels/reference/twins.ts";
import { type ActivationShape, activation } from "../src/kernels/rows/activation.ts";
import { type L2NormalizeShape, l2NormalizeBy } from "../src/kernels/rows/l2_normalize.ts";
import {
  type EmbedLayernormShape,
  embedLayernormBy,
  type LayernormShape,
  layernormBy,
} from "../src/kernels/rows/layernorm.ts";
import { type SoftmaxShape, softmaxBy } from "../src/kernels/rows/softmax.ts";
import { type TopKShape, topK } from "../src/kernels/rows/top_k.ts";
import { type GatherRowsShape, gatherRows } from "../src/kernels/tokens/gather_rows.ts";
import { type PoolShape, pool } from "../src/kernels/tokens/pool.ts";
import {
  absolute,
  byEach,
  type Case,
  type CaseTable,
  exact,
  type Random,
  randomNumbers,
  relative,
  UNIT,
  UNITS,
} from "./case.ts";
import { full, linear, pooler, throughSubgroups } from "./matmul_cases.ts";

export * from "./case.ts";
export { linear, matmulBackwardCases, matmulCases, product } from "./matmul_cases.ts";
export * from "./non_finite_cases.ts";

// ---- matmul with int8 weights

/** A Linear layer in int8, its weights near [-1, 1] as those of `linear` are. */
export function linearQ8(m: number, n: number, k: number, options: Partial<MatmulShape> = {}): Case<MatmulShape> {
  const of = linear(m, n, k, options);
  const words = Math.ceil(k / 4);
  return {
    ...of,
    inputs: (random) => ({
      ...of.inputs(random),
      weight: Float64Array.from({ length: n * words }, (_, i) => {
        const used = Math.min(4, k - (i % words) * 4);
        let word = 0;
        for (let byte = 0; byte < used; byte++) word |= ((random.integer(255) - 127) & 0xff) << (8 * byte);
        return word >>> 0;
      }),
      scales: random.values(n).map((value) => (1 + 0.5 * value) / 190),
    }),
    // Sums of 32 are exact; each is scaled and added, which leaves the roundings of its 32 products at the most.
    bound: of.bound,
  };
}

export const matmulQ8Cases: CaseTable<MatmulShape> = {
  kernels: () => [matmulQ8],
  reference: reference.matmulQ8,
  cases: [
    linearQ8(1, 1, 1),
    linearQ8(1, 37, 64, pooler),
    linearQ8(3, 2, 5, full),
    linearQ8(33, 35, 33, full),
    linearQ8(40, 70, 100, full),
    linearQ8(7, 66, 768, full),
    { ...linearQ8(5, 6, 36, { outStride: 11, outOffset: 3 }), why: "a range of columns" },
  ],
  typical: [linearQ8(128, 768, 768, { bias: true })],
};

// ---- rows

const rowLengths = [1, 2, 3, 31, 64, 65, 70, 128, 257, 1000, 5003];

function softmaxCase(rows: number, cols: number, log: boolean): Case<SoftmaxShape> {
  return {
    shape: { rows, cols, log },
    inputs: (random) => ({ x: random.values(rows * cols, 10) }),
    outputs: { out: rows * cols },
    // Arguments of exp reach -20: rounding them and x * log2(e) inside exp costs 2 * 20 units, the sum a few more.
    bound: log ? absolute(64) : relative(64),
  };
}

export const softmaxCases: CaseTable<SoftmaxShape> = {
  kernels: ({ cols }, traits) => [
    ...byEach(traits, softmaxBy),
    ...(cols % 4 === 2 ? byEach(traits, (reducer) => softmaxBy(reducer, "vec2")) : []),
  ],
  reference: reference.softmax,
  cases: [
    ...rowLengths.flatMap((cols) => [softmaxCase(9, cols, false), softmaxCase(2, cols, true)]),
    { ...softmaxCase(2, 2050, false), why: "pairs in several stretches of a thread, and one over" },
    { ...softmaxCase(2, 4100, false), why: "fours alike" },
  ],
  typical: [softmaxCase(128, 30522, false), softmaxCase(128, 768, false)],
};

function layernormCase(rows: number, cols: number, residual: boolean): Case<LayernormShape> {
  return {
    shape: { rows, cols, eps: 1e-12, residual },
    inputs: (random) => ({
      x: random.values(rows * cols),
      residual: random.values(rows * cols),
      gamma: random.values(cols),
      beta: random.values(cols),
    }),
    outputs: { out: rows * cols },
    // In two or three columns the deviations may nearly cancel, which the division by their size makes large again.
    bound: absolute(cols < 4 ? 4096 : 64),
  };
}

export const layernormCases: CaseTable<LayernormShape> = {
  kernels: (_, traits) => byEach(traits, layernormBy),
  reference: reference.layernorm,
  cases: rowLengths.flatMap((cols) => [layernormCase(9, cols, false), layernormCase(2, cols, true)]),
  typical: [layernormCase(128, 768, true)],
};

/** @param vocab rows of the word table, and `places` those of the positions: token i has rows 37 i and i, modulo these */
export function embedCase(
  tokens: number,
  hidden: number,
  options: Partial<EmbedLayernormShape> = {},
  [vocab, places]: readonly [vocab: number, places: number] = [29, 17],
): Case<EmbedLayernormShape> {
  const types = 2;
  return {
    shape: { tokens, hidden, eps: 1e-12, ...options },
    inputs: (random) => ({
      tokens: Array.from({ length: tokens }, (_, i) => [
        (37 * i) % vocab,
        random.integer(types),
        i % places,
        random.integer(2),
      ]).flat(),
      word: random.values((options.gathered === true ? tokens : vocab) * hidden),
      position: random.values(places * hidden),
      token_type: random.values(types * hidden),
      gamma: random.values(hidden),
      beta: random.values(hidden),
    }),
    outputs: { out: tokens * hidden },
    bound: layernormCase(1, hidden, true).bound,
  };
}

export const embedLayernormCases: CaseTable<EmbedLayernormShape> = {
  kernels: (_, traits) => byEach(traits, embedLayernormBy),
  reference: reference.embedLayernorm,
  cases: [
    embedCase(1, 1),
    embedCase(5, 7),
    embedCase(3, 128, { gathered: true }),
    embedCase(31, 131, { tokenTypes: false }),
    embedCase(2, 768),
  ],
  // Every word and place once: the tables' bytes are then those that are read.
  typical: [embedCase(128, 768, {}, [128, 128])],
};

function l2Case(rows: number, cols: number): Case<L2NormalizeShape> {
  return {
    shape: { rows, cols },
    inputs: (random) => ({ x: random.values(rows * cols) }),
    outputs: { out: rows * cols },
    bound: relative(16),
  };
}

export const l2NormalizeCases: CaseTable<L2NormalizeShape> = {
  kernels: (_, traits) => byEach(traits, l2NormalizeBy),
  reference: reference.l2Normalize,
  cases: rowLengths.map((cols) => l2Case(3, cols)),
  typical: [l2Case(128, 768)],
};

export function topKCase(rows: number, cols: number, k: number, options: Partial<TopKShape> = {}): Case<TopKShape> {
  return {
    shape: { rows, cols, k, ...options },
    // Few different values: ties must be many.
    inputs: (random) => ({ x: Array.from({ length: rows * cols }, () => random.integer(cols) / 4 - 3) }),
    outputs: { values: rows * k, indices: rows * k },
    bound: exact,
  };
}

export const topKCases: CaseTable<TopKShape> = {
  kernels: () => [topK],
  reference: reference.topK,
  cases: [
    topKCase(1, 1, 1),
    topKCase(3, 2, 2),
    topKCase(3, 17, 17, { lastIndex: true }),
    topKCase(2, 64, 1),
    topKCase(2, 129, 5),
    topKCase(2, 1009, 10, { lastIndex: true }),
    topKCase(2, 5003, 5),
  ],
  typical: [topKCase(8, 30522, 5)],
};

// ---- elements

function activationCase(
  name: ActivationShape["activation"],
  rows: number,
  cols: number,
  bias: boolean,
): Case<ActivationShape> {
  return {
    shape: { rows, cols, bias, activation: name },
    inputs: (random) => ({ x: random.values(rows * cols, 6), bias: random.values(cols) }),
    outputs: { out: rows * cols },
    // Arguments reach 7: x^2 in an exponent is 49, rounded; the sum x + bias may lose relative accuracy near 0.
    bound: (dtype) => ({
      absolute: 8 * UNIT + (dtype === "f16" ? 2 ** -25 : 0),
      relative: 64 * UNIT + 2 * UNITS[dtype],
    }),
  };
}

export const activationCases: CaseTable<ActivationShape> = {
  kernels: () => [activation],
  reference: reference.activation,
  cases: [
    activationCase("none", 1, 1, true),
    activationCase("gelu", 7, 37, false),
    activationCase("gelu", 5, 768, true),
    activationCase("gelu_tanh", 3, 101, true),
    activationCase("relu", 2, 6, false),
    activationCase("tanh", 3, 257, true),
    activationCase("silu", 3, 67, false),
    activationCase("erf", 4, 256, false),
  ],
  typical: [activationCase("gelu", 128, 3072, true)],
};

function gatherCase(count: number, cols: number, tableRows: number, firstRow: number): Case<GatherRowsShape> {
  return {
    shape: { count, cols, tableRows, firstRow },
    // Indices on both sides of the part: rows of other parts must stay as they are.
    inputs: (random) => ({
      table: random.values(tableRows * cols),
      indices: Array.from({ length: count }, () => random.integer(firstRow + 2 * tableRows)),
    }),
    outputs: { out: count * cols },
    bound: exact,
  };
}

export const gatherRowsCases: CaseTable<GatherRowsShape> = {
  kernels: () => [gatherRows],
  reference: reference.gatherRows,
  cases: [
    gatherCase(1, 1, 1, 0),
    gatherCase(7, 3, 5, 0),
    gatherCase(13, 64, 9, 4),
    gatherCase(31, 101, 17, 100),
    { ...gatherCase(9, 300, 6, 2), why: "words of 16 bytes in f32, of 4 in f16, more than threads" },
    { ...gatherCase(9, 296, 6, 2), why: "words of 16 bytes in both, more than threads" },
  ],
  typical: [gatherCase(128, 768, 30522, 0)],
};

// ---- sequences

/** Row numbers where sequences of these lengths begin, and where the last ends. */
export function cumulative(lengths: readonly number[]): number[] {
  let total = 0;
  return [0, ...lengths.map((length) => (total += length))];
}

/** Token records of which about one in three is masked. */
function maskedTokens(count: number, random: Random): number[] {
  return Array.from({ length: count }, () => [0, 0, 0, random.integer(3) > 0 ? 1 : 0]).flat();
}

export function poolCase(
  lengths: readonly number[],
  hidden: number,
  mode: PoolShape["mode"],
  mask: boolean,
): Case<PoolShape> {
  const tokens = cumulative(lengths).at(-1)!;
  return {
    shape: { sequences: lengths.length, hidden, mode, mask },
    inputs: (random) => ({
      x: random.values(tokens * hidden),
      cu_seqlens: cumulative(lengths),
      tokens: maskedTokens(tokens, random),
    }),
    outputs: { out: lengths.length * hidden },
    bound: mode === "mean" ? absolute(Math.max(...lengths)) : exact,
  };
}

export const poolCases: CaseTable<PoolShape> = {
  kernels: () => [pool],
  reference: reference.pool,
  cases: (["mean", "cls", "max"] as const).flatMap((mode) => [
    poolCase([1], 1, mode, false),
    poolCase([3, 0, 17, 1], 37, mode, true),
    poolCase([3, 0, 17, 1], 132, mode, true),
    poolCase([128, 5], 65, mode, false),
  ]),
  typical: [poolCase([128], 768, "mean", true)],
};

export interface AttentionOptions extends Partial<AttentionShape> {
  /** Where keys are other tokens than queries. */
  readonly keyLengths?: readonly number[];
}

/** Packed sequences of these lengths, and the bound of their attention. */
export function attentionCase(
  lengths: readonly number[],
  heads: number,
  headDim: number,
  { keyLengths = lengths, ...options }: AttentionOptions = {},
): Case<AttentionShape> {
  const [queries, keys] = [cumulative(lengths).at(-1)!, cumulative(keyLengths).at(-1)!];
  const shape = { tokens: queries, sequences: lengths.length, heads, headDim, mask: false, ...options };
  const {
    valueDim = headDim,
    qStride = heads * headDim,
    kStride = heads * headDim,
    vStride = heads * valueDim,
  } = shape;
  return {
    shape,
    inputs: (random) => ({
      q: random.values(queries * qStride + (shape.qOffset ?? 0), 2),
      k: random.values(keys * kStride + (shape.kOffset ?? 0), 2),
      v: random.values(keys * vStride + (shape.vOffset ?? 0)),
      cu_seqlens: cumulative(lengths),
      cu_seqlens_k: cumulative(keyLengths),
      tokens: maskedTokens(keys, random),
    }),
    outputs: { out: queries * heads * valueDim },
    // A score sums headDim terms of up to 4, scaled by 1 / sqrt(headDim); its error is relative in the weight that it
    // makes, and the weights of values of magnitude 1 add up to 1.
    bound: absolute(4 * Math.sqrt(headDim) + Math.max(...keyLengths) + 64),
  };
}

/** One packed buffer of queries, keys and values: [tokens, 3 * hidden]. */
function packed(heads: number, headDim: number): Partial<AttentionShape> {
  const hidden = heads * headDim;
  const stride = { qStride: 3 * hidden, kStride: 3 * hidden, vStride: 3 * hidden };
  return { ...stride, kOffset: hidden, vOffset: 2 * hidden };
}

export const attentionCases: CaseTable<AttentionShape> = {
  kernels: (shape, traits) =>
    isAligned(shape)
      ? [attention, ...throughSubgroups(traits, attentionBroadcastBy), attentionUnaligned]
      : [attentionUnaligned],
  reference: reference.attention,
  cases: [
    attentionCase([1], 1, 1),
    attentionCase([3, 5], 2, 10, { mask: true }),
    attentionCase([17, 1, 16], 3, 12, { causal: true }),
    attentionCase([33, 0, 15], 2, 32, packed(2, 32)),
    attentionCase([70], 2, 64, { ...packed(2, 64), mask: true }),
    attentionCase([129, 20], 1, 16, { causal: true, mask: true }),
    attentionCase([19], 2, 80),
    attentionCase([21, 4], 1, 128),
    attentionCase([5, 9], 2, 8, { keyLengths: [40, 3], valueDim: 12, scale: 0.3 }),
    attentionCase([7], 1, 16, { valueDim: 300, keyLengths: [70] }),
    attentionCase([6, 8], 2, 5, { keyLengths: [9, 0], valueDim: 3, qStride: 13, qOffset: 2 }),
  ],
  typical: [attentionCase([128], 12, 64, packed(12, 64)), attentionCase([512], 12, 64, packed(12, 64))],
};

/** The same cases, with probabilities of magnitude 1 as the output; sequences lie 3 elements apart. */
export const attentionProbsCases: CaseTable<AttentionShape> = {
  kernels: () => [attentionProbs],
  reference: reference.attentionProbs,
  cases: attentionCases.cases.map((of) => {
    const { cu_seqlens: starts, cu_seqlens_k: keyStarts } = of.inputs(randomNumbers(1)) as Record<string, number[]>;
    const sizes = starts!
      .slice(1)
      .map((end, s) => of.shape.heads * (end - starts![s]!) * (keyStarts![s + 1]! - keyStarts![s]!));
    const offsets = cumulative(sizes.map((size) => size + 3));
    return {
      ...of,
      inputs: (random) => ({ ...of.inputs(random), prob_offsets: offsets.slice(0, -1) }),
      outputs: { out: offsets.at(-1)! },
    };
  }),
  typical: [],
};
