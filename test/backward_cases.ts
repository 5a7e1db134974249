/** As cases.ts, for the kernels of training: shapes, inputs, and the error that is allowed against the CPU twin. */

import {
  type AttentionBackwardShape,
  attentionBackwardExtents,
  attentionBackwardKV,
  attentionBackwardKVBroadcastBy,
  attentionBackwardKVUnaligned,
  attentionBackwardQ,
  attentionBackwardQBroadcastBy,
  attentionBackwardQUnaligned,
} from "../src/kernels/attention/attention_backward.ts";
import {
  type AttentionDropout,
  type AttentionTrainingShape,
  attentionTraining,
  attentionTrainingBroadcastBy,
  attentionTrainingUnaligned,
} from "../src/kernels/attention/attention_training.ts";
import type { Kernel, Scalar } from "../src/kernels/kernel.ts";
import * as attention from "../src/kernels/reference/attention_training.ts";
import * as backward from "../src/kernels/reference/backward.ts";
import {
  type ActivationBackwardShape,
  activationBackward,
  type ColumnSumsShape,
  columnSums,
  columnSumsBy,
  type DropoutShape,
  dropout,
  type LayernormBackwardShape,
  type LayernormWeightsBackwardShape,
  l2NormalizeBackwardBy,
  layernormBackwardBy,
  layernormWeightsBackward,
  layernormWeightsBackwardBy,
} from "../src/kernels/rows/backward.ts";
import { type KeepBlocksShape, keepBlocks } from "../src/kernels/rows/keep_blocks.ts";
import type { L2NormalizeShape } from "../src/kernels/rows/l2_normalize.ts";
import {
  type EmbeddingSumsShape,
  embeddingSums,
  NO_ROW,
  poolBackward,
  type SegmentSumsShape,
  type SpreadRowsShape,
  segmentSums,
  spreadRows,
} from "../src/kernels/tokens/backward.ts";
import type { PoolShape } from "../src/kernels/tokens/pool.ts";
import { absolute, type Bound, byEach, type Case, type CaseTable, exact, type Random, UNIT, UNITS } from "./case.ts";

export * from "./loss_cases.ts";
export * from "./sentence_cases.ts";

import { attentionCase } from "./cases.ts";

type Table<Shape extends { readonly dtype: Scalar }> = Omit<CaseTable<Shape>, "typical">;

/** Of sums in f32 of what is f32: `units` * UNIT, whatever the kernel's storage is. */
const summed = (units: number) => (): Bound => ({ absolute: units * UNIT, relative: 2 * UNIT });

const SIZES: readonly (readonly [rows: number, cols: number])[] = [
  [1, 1],
  [3, 5],
  [7, 64],
  [130, 33],
  [65, 260],
];

export const columnSumsCases: Table<ColumnSumsShape> = {
  kernels: () => [columnSums, columnSumsBy("thread")],
  reference: backward.columnSums,
  cases: [...SIZES.map(([rows, cols]) => ({ rows, cols })), { rows: 9, cols: 8, stride: 20, offset: 4 }].map(
    (shape) => {
      const { rows, cols } = shape;
      return {
        shape,
        inputs: (random) => ({ x: random.values(rows * 20 * cols), out: random.values(cols) }),
        outputs: { out: cols },
        bound: summed(rows + 2),
      };
    },
  ),
};

export const layernormBackwardCases: Table<LayernormBackwardShape> = {
  kernels: (_, traits) => byEach(traits, layernormBackwardBy),
  reference: backward.layernormBackward,
  cases: SIZES.filter(([, cols]) => cols > 1).map(([rows, cols]) => ({
    shape: { rows, cols, eps: 1e-12 },
    inputs: (random) => ({
      x: spread(random, rows, cols),
      gamma: random.values(cols),
      d_out: random.values(rows * cols),
    }),
    outputs: { dx: rows * cols, stats: 2 * rows },
    // a row's deviation is some 0.58, so that 1 / deviation is 1.7; the sums' errors are means
    bound: (dtype) => ({
      absolute: 160 * UNIT + (dtype === "f16" ? 2 ** -25 : 0),
      relative: 40 * UNIT + 2 * UNITS[dtype],
    }),
  })),
};

/** Rows whose deviation is not small, however few columns there are. */
function spread(random: Random, rows: number, cols: number): Float64Array {
  return random.values(rows * cols).map((value, i) => value * 0.5 + ((i % cols) % 2 === 0 ? 0.5 : -0.5));
}

export const layernormWeightsBackwardCases: Table<LayernormWeightsBackwardShape> = {
  kernels: () => [layernormWeightsBackward, layernormWeightsBackwardBy("thread")],
  reference: backward.layernormWeightsBackward,
  cases: SIZES.map(([rows, cols], i) => ({
    shape: { rows, cols, bias: i % 2 === 0 },
    inputs: (random) => ({
      x: random.values(rows * cols),
      stats: Array.from({ length: 2 * rows }, (_, j) => (j % 2 === 0 ? random.values(1)[0]! : 1.5)),
      d_out: random.values(rows * cols),
      dx: random.values(rows * cols),
      d_gamma: random.values(cols),
      d_beta: random.values(cols),
      ...(i % 2 === 0 && { d_bias: random.values(cols) }),
    }),
    outputs: { d_gamma: cols, d_beta: cols, ...(i % 2 === 0 && { d_bias: cols }) },
    bound: summed(3 * rows + 4),
  })),
};

export const l2NormalizeBackwardCases: Table<L2NormalizeShape> = {
  kernels: (_, traits) => byEach(traits, l2NormalizeBackwardBy),
  reference: backward.l2NormalizeBackward,
  cases: SIZES.map(([rows, cols]) => ({
    shape: { rows, cols },
    inputs: (random) => ({
      x: random.values(rows * cols).map((value) => value + Math.sign(value) * 0.25),
      d_out: random.values(rows * cols),
    }),
    outputs: { dx: rows * cols },
    // a norm is at least 0.25, its square's share of the gradient as large as the gradient
    bound: absolute(32 * 4),
  })),
};

const ACTIVATIONS = ["none", "gelu", "gelu_tanh", "relu", "tanh", "silu"] as const;

export const activationBackwardCases: Table<ActivationBackwardShape> = {
  kernels: () => [activationBackward],
  reference: backward.activationBackward,
  cases: ACTIVATIONS.map((activation, i) => ({
    shape: { count: 997 + i, activation },
    inputs: (random) => ({ pre: random.values(997 + i, 7), d_out: random.values(997 + i) }),
    outputs: { d_pre: 997 + i },
    // x^2 in an exponent is 49, rounded; x * density and the distribution may cancel
    bound: (dtype) => ({
      absolute: 16 * UNIT + (dtype === "f16" ? 2 ** -25 : 0),
      relative: 96 * UNIT + 2 * UNITS[dtype],
    }),
  })),
};

function dropoutCase(count: number, probability: number, residual: boolean, factor?: number): Case<DropoutShape> {
  return {
    shape: { count, probability, residual, ...(factor && { factor }), seed: 7, step: 3, tensor: 11 },
    inputs: (random) => ({ x: random.values(count), residual: random.values(count) }),
    outputs: { out: count },
    bound: absolute(4),
  };
}

export const dropoutCases: Table<DropoutShape> = {
  kernels: () => [dropout],
  reference: backward.dropout,
  cases: [
    dropoutCase(1, 0.5, false),
    dropoutCase(1003, 0.1, true),
    dropoutCase(515, 0, false),
    dropoutCase(515, 0.9, true),
    dropoutCase(62, 0, false, 0.25),
    dropoutCase(129, 0.3, true, 1.5),
  ],
};

function keepBlocksCase(rows: number, width: number, height: number, blocks: readonly number[]): Case<KeepBlocksShape> {
  const count = rows * width * blocks.length;
  return {
    shape: { rows, width, height, blocks },
    inputs: (random) => ({ x: random.values(count) }),
    outputs: { x: count },
    bound: exact,
  };
}

export const keepBlocksCases: Table<KeepBlocksShape & { readonly dtype: Scalar }> = {
  kernels: () => [keepBlocks],
  reference: backward.keepBlocks,
  cases: [
    keepBlocksCase(1, 1, 1, [0]),
    keepBlocksCase(96, 4, 32, [0, 2]),
    keepBlocksCase(21, 3, 7, [2, 0, 1]),
    keepBlocksCase(15, 2, 5, [1]),
  ],
};

function segmentsCase(segments: number, cols: number, rows: number, accumulate: boolean): Case<SegmentSumsShape> {
  return {
    shape: { segments, cols, tableRows: segments, firstRow: 2, accumulate },
    inputs(random) {
      const starts = [0];
      for (let i = 1; i < segments; i++) starts.push(random.integer(rows + 1));
      starts.push(rows);
      return {
        x: random.values(rows * cols),
        order: Array.from({ length: rows }, () => random.integer(rows)),
        starts: starts.sort((a, b) => a - b),
        targets: Array.from({ length: segments }, (_, i) => (i % 5 === 3 ? NO_ROW : segments + 3 - i)),
        out: random.values(segments * cols),
      };
    },
    outputs: { out: segments * cols },
    bound: summed(rows + 2),
  };
}

export const segmentSumsCases: Table<SegmentSumsShape> = {
  kernels: () => [segmentSums],
  reference: backward.segmentSums,
  cases: [segmentsCase(1, 1, 3, true), segmentsCase(9, 12, 40, true), segmentsCase(21, 35, 64, false)],
};

function embeddingSumsCase(count: number, cols: number, gathered: boolean): Case<EmbeddingSumsShape> {
  const [words, positions, types] = [gathered ? count : 11, 7, 2];
  return {
    shape: { count, cols, gathered },
    inputs: (random) => ({
      tokens: Array.from({ length: count }, () => [
        random.integer(words),
        random.integer(types),
        random.integer(positions),
        1,
      ]).flat(),
      word: random.values(words * cols),
      position: random.values(positions * cols),
      token_type: random.values(types * cols),
    }),
    outputs: { out: count * cols },
    bound: absolute(4),
  };
}

export const embeddingSumsCases: Table<EmbeddingSumsShape> = {
  kernels: () => [embeddingSums],
  reference: backward.embeddingSums,
  cases: [embeddingSumsCase(1, 1, false), embeddingSumsCase(9, 12, true), embeddingSumsCase(33, 7, false)],
};

export const spreadRowsCases: Table<SpreadRowsShape> = {
  kernels: () => [spreadRows],
  reference: backward.spreadRows,
  cases: [
    [1, 1],
    [9, 12],
    [33, 7],
  ].map(([count, cols]) => ({
    shape: { count: count!, cols: cols! },
    inputs: (random) => ({
      x: random.values(count! * cols!),
      places: Array.from({ length: count! }, (_, i) => (i % 3 === 1 ? NO_ROW : count! - 1 - i)),
    }),
    outputs: { out: count! * cols! },
    bound: exact,
  })),
};

function poolCase(lengths: readonly number[], hidden: number, mode: PoolShape["mode"], mask: boolean): Case<PoolShape> {
  const starts = [0];
  for (const length of lengths) starts.push(starts.at(-1)! + length);
  const tokens = starts.at(-1)!;
  return {
    shape: { sequences: lengths.length, hidden, mode, mask },
    inputs: (random) => ({
      x: random.values(tokens * hidden),
      cu_seqlens: starts,
      tokens: Array.from({ length: 4 * tokens }, (_, i) => (i % 4 === 3 ? Number(random.integer(3) > 0) : 0)),
      d_out: random.values(lengths.length * hidden),
    }),
    outputs: { dx: tokens * hidden },
    bound: absolute(4),
  };
}

export const poolBackwardCases: Table<PoolShape> = {
  kernels: () => [poolBackward],
  reference: backward.poolBackward,
  cases: (["mean", "cls", "max"] as const).flatMap((mode) => [
    poolCase([1, 5, 0, 3], 12, mode, false),
    poolCase([7, 2], 5, mode, mode !== "cls"),
  ]),
};

interface AttentionOptions extends Omit<Partial<AttentionBackwardShape>, "dtype"> {
  /** No query of the first sequence sees a key. */
  readonly blind?: boolean;
}

/** The shapes of attention's gradients; what goes into them, lse and out as well, comes from the twin. */
function attentionBackwardCase(
  side: "q" | "kv",
  lengths: readonly number[],
  heads: number,
  headDim: number,
  { blind = false, ...options }: AttentionOptions = {},
): Case<AttentionBackwardShape> {
  const starts = [0];
  for (const length of lengths) starts.push(starts.at(-1)! + length);
  const [tokens, count] = [starts.at(-1)!, starts.at(-1)! * heads * headDim];
  const shape = { tokens, sequences: lengths.length, heads, headDim, mask: blind, ...options };
  const { stride, qOffset, kOffset, vOffset } = attentionBackwardExtents("", { ...shape, dtype: "f32" });
  const size = tokens * stride + Math.max(qOffset, kOffset, vOffset);
  return {
    shape,
    inputs(random) {
      const qkv = random.values(size, 2);
      const given = {
        ...{ qkv, d_out: random.values(count), cu_seqlens: starts },
        tokens: Array.from({ length: 4 * tokens }, (_, i) =>
          Number(i % 4 === 3 && random.integer(3) > 0 && !(blind && i < 4 * lengths[0]!)),
        ),
      };
      const forward = { ...shape, dtype: "f32", qStride: stride, kStride: stride, vStride: stride } as const;
      const packed = { q: qkv, k: qkv, v: qkv, cu_seqlens_k: starts };
      const { out, lse } = attention.attentionTraining(
        { ...forward, qOffset, kOffset, vOffset },
        { ...given, ...packed },
      );
      const all = { ...given, out: out!, lse: lse! };
      if (side === "q") return all;
      return { ...all, delta: attention.attentionBackwardQ({ ...shape, dtype: "f32" }, all).delta! };
    },
    outputs: side === "q" ? { d_q: size, delta: tokens * heads } : { d_kv: size },
    // A score sums headDim terms of up to 4, divided by sqrt(headDim): with the roundings of exp2, a probability is right
    // to some 4 sqrt(headDim) + 64 units. The gradients of probabilities are sums of headDim terms of up to 2, of random
    // signs and so of the size of 2 sqrt(headDim), right to 2 headDim units. Both meet values of up to 2, in sums whose
    // probabilities add up to 1; those of one key for all queries to more, here up to 8.
    bound: absolute(
      ((side === "q" ? 1 : 8) * (24 * Math.sqrt(headDim) + 256) + Math.max(...lengths)) / (1 - (options.dropout ?? 0)),
    ),
  };
}

/** In few combinations, because each is a shader to compile. */
const attentionBackwardShapes = (side: "q" | "kv"): Case<AttentionBackwardShape>[] => [
  attentionBackwardCase(side, [1], 1, 1),
  attentionBackwardCase(side, [6, 8], 2, 5, { stride: 41, qOffset: 3, kOffset: 14, vOffset: 27 }),
  attentionBackwardCase(side, [3, 5], 2, 5, { mask: true }),
  attentionBackwardCase(side, [21, 4], 2, 8, { mask: true, stride: 60, vOffset: 4, kOffset: 24, qOffset: 40 }),
  attentionBackwardCase(side, [9, 6], 2, 12, { blind: true }),
  attentionBackwardCase(side, [17, 1, 16], 3, 8, { mask: true, causal: true }),
  attentionBackwardCase(side, [129, 20], 1, 16, { mask: true, causal: true, scale: 0.3 }),
  attentionBackwardCase(side, [33, 0, 15], 2, 32, { mask: true }),
  attentionBackwardCase(side, [70, 40], 2, 64, { mask: true }),
  { ...attentionBackwardCase(side, [7], 1, 200, { mask: true }), why: "several workgroups for the columns of a head" },
  attentionBackwardCase(side, [37, 3], 3, 8, { mask: true, causal: true, dropout: 0.3, seed: 5, step: 2, tensor: 9 }),
  attentionBackwardCase(side, [18, 9], 2, 5, { mask: true, causal: true, dropout: 0.6, seed: 1 }),
];

/** Of three kernels those that a shape suits and the device can run. */
function attentionKernels<Shape extends AttentionBackwardShape | AttentionTrainingShape>(
  aligned: Kernel<Shape>,
  broadcastBy: (subgroup: number) => Kernel<Shape>,
  unaligned: Kernel<Shape>,
): CaseTable<Shape>["kernels"] {
  return (shape, traits) => {
    const { headDim } = shape;
    const places = Object.entries(shape).filter(([field]) => /stride|offset/i.test(field));
    if (![headDim, ...places.map(([, value]) => value as number)].every((size) => size % 4 === 0)) return [unaligned];
    const size = traits?.subgroupSize;
    return [
      aligned,
      ...(size === 4 || size === 8 ? [broadcastBy(size)] : []),
      ...(headDim < 32 ? [unaligned] : []), // wider, it would be a shader more
    ];
  };
}

export const attentionBackwardQCases: Table<AttentionBackwardShape> = {
  kernels: attentionKernels(attentionBackwardQ, attentionBackwardQBroadcastBy, attentionBackwardQUnaligned),
  reference: attention.attentionBackwardQ,
  cases: attentionBackwardShapes("q"),
};

export const attentionBackwardKVCases: Table<AttentionBackwardShape> = {
  kernels: attentionKernels(attentionBackwardKV, attentionBackwardKVBroadcastBy, attentionBackwardKVUnaligned),
  reference: attention.attentionBackwardKV,
  cases: attentionBackwardShapes("kv"),
};

const drawn = { dropout: 0.3, seed: 5, step: 2, tensor: 9 };

/** As without dropout, of what is divided by 1 - p. */
function trainingCase(
  lengths: readonly number[],
  heads: number,
  headDim: number,
  {
    dropout = 0,
    seed = 0,
    step = 0,
    tensor = 0,
    ...options
  }: Parameters<typeof attentionCase>[3] & AttentionDropout = {},
): Case<AttentionTrainingShape> {
  const of = attentionCase(lengths, heads, headDim, options);
  const units = of.bound("f32").absolute / UNIT;
  return {
    ...of,
    shape: { ...of.shape, dropout, seed, step, tensor },
    outputs: { ...of.outputs, lse: of.shape.tokens * heads },
    bound: absolute(units / (1 - dropout)),
  };
}

export const attentionTrainingCases: Table<AttentionTrainingShape> = {
  kernels: attentionKernels(attentionTraining, attentionTrainingBroadcastBy, attentionTrainingUnaligned),
  reference: attention.attentionTraining,
  cases: [
    trainingCase([1], 1, 1),
    trainingCase([9, 0, 40], 2, 8, { keyLengths: [5, 1, 0] }),
    trainingCase([70, 3], 2, 64, { mask: true, ...drawn }),
    trainingCase([37], 3, 32, { causal: true, dropout: 0.6, seed: 1 }),
    trainingCase([18, 9], 2, 5, { ...drawn, valueDim: 3, keyLengths: [40, 7] }),
    trainingCase([7], 1, 16, { ...drawn, valueDim: 300, keyLengths: [70] }),
  ],
};
