/**
 * What a BERT is trained through, each operation with both of its directions: called, it records the way forward and gives
 * back how its gradient goes. Gradients of weights are added to what is there.
 */

import { rowOwnerFor, rowReducerFor, type Scalar } from "../kernels/kernel.ts";
import type { MatmulShape } from "../kernels/matmul/matmul.ts";
import { matmulBackwardKernelFor } from "../kernels/matmul/matmul_backward.ts";
import {
  activationBackward,
  columnSumsBy,
  dropout as dropoutKernel,
  l2NormalizeBackwardBy,
  layernormBackwardBy,
  layernormWeightsBackwardBy,
} from "../kernels/rows/backward.ts";
import { keepBlocks } from "../kernels/rows/keep_blocks.ts";
import { embeddingSums, poolBackward, segmentSums, spreadRows } from "../kernels/tokens/backward.ts";
import {
  type Activation,
  activate as activateOp,
  gatherRows,
  l2Normalize as l2NormalizeOp,
  layerNorm as layerNormOp,
  linear as linearOp,
  type NormWeights,
  type PackedTokens,
  pool as poolOp,
} from "../runtime/ops.ts";
import type { Recorder, Ref, ScalarInput } from "../runtime/recorder.ts";
import type { Table } from "../runtime/table.ts";
import { sizeOf, type Tensor } from "../runtime/tensor.ts";
import { type LowRank, lowOf, scale, type TrainedLinear } from "./lora.ts";

/** What recording a step of training takes beside its operands. */
export interface Tape {
  readonly r: Recorder;
  /** Where the gradient of a weight is gathered; undefined: it is frozen. */
  gradientOf(tensor: Tensor): Ref | undefined;
  /** What is drawn for dropout follows from the seed, from the step, which is set at each run, and from the operation. */
  readonly seed: number;
  readonly step: ScalarInput;
  /** Operations with dropout so far. */
  drawn: number;
  /** Values that follow from something that is trained: those that have gradients. */
  readonly learnt: Set<Ref>;
}

/** The gradient of a value; undefined where nothing that it follows from is trained, and nothing is recorded for it. */
export type Gradient = Ref | undefined;

export interface Operation {
  readonly out: Ref;
  /** @returns the gradient of the input */
  backward(dOut: Gradient): Gradient;
}

export interface Linear {
  readonly out: Ref;
  /**
   * @param residual a gradient that is added to the input's
   * @param summed whether the bias has its gradient already
   */
  backward(dOut: Gradient, options?: { readonly residual?: Gradient; readonly summed?: boolean }): Gradient;
}

/** Notes that `out` has a gradient, where something does that it follows from. */
export function follows(
  { learnt, gradientOf }: Tape,
  out: Ref,
  values: readonly (Ref | undefined)[],
  weights: readonly (Tensor | undefined)[] = [],
): Ref {
  const learns = values.some((value) => value && learnt.has(value));
  if (learns || weights.some((weight) => weight && gradientOf(weight))) learnt.add(out);
  return out;
}

/** [rows, in] -> [rows, out], plus `residual` */
export function linear(tape: Tape, x: Ref, weights: TrainedLinear, residual?: Ref): Linear {
  const { low, adapted: _, ...own } = weights;
  const { weight, bias } = own;
  const plain = linearOp(tape.r, x, own, { residual });
  follows(tape, plain, [x, residual], [...weight.parts, ...(bias?.parts ?? [])]);
  const added = low && lowRank(tape, x, low, plain);
  return {
    out: added?.out ?? plain,
    backward(dOut, { residual, summed = false } = {}) {
      if (!dOut) return undefined;
      if (!summed)
        for (const [i, part] of (bias?.parts ?? []).entries()) sumColumns(tape, dOut, part, i * weight.rowsPerPart);
      weightGradients(tape, x, dOut, weight);
      const dx = tape.learnt.has(x) ? inputGradient(tape, x, dOut, weight, residual) : undefined;
      return added ? added.backward(dOut, dx) : dx;
    },
  };
}

/** plain + factor * B A dropout(x); what A reads is dropped anew in the backward pass. */
function lowRank(
  tape: Tape,
  x: Ref,
  { a, b, factor, dropout: p, layer, rank }: LowRank,
  plain: Ref,
): { readonly out: Ref; backward(dOut: Ref, dx: Gradient): Gradient } {
  const { r, gradientOf } = tape;
  const tensor = tape.drawn++;
  const kept = (): Ref => (p > 0 ? drop(tape, x, p, tensor) : x);
  const low = lowOf(r, kept(), { a, factor });
  const out = linearOp(r, low, { weight: b, bias: undefined }, { residual: plain });
  return {
    out: follows(tape, out, [plain], [...a.parts, ...b.parts]),
    backward(dOut, dx) {
      weightGradients(tape, low, dOut, b);
      const gradient = gradientOf(b.parts[0]!);
      if (gradient && layer.modules.length > 1) {
        const shape = { rows: b.rows, width: rank, height: layer.outputs, blocks: layer.blocks };
        r.dispatch(keepBlocks, shape, { x: gradient });
      }
      const dLow = scale(r, inputGradient(tape, low, dOut, b, undefined), factor);
      const input = kept();
      weightGradients(tape, input, dLow, a);
      if (!tape.learnt.has(x)) return undefined;
      if (p === 0) return inputGradient(tape, x, dLow, a, dx);
      return drop(tape, inputGradient(tape, input, dLow, a, undefined), p, tensor, dx);
    },
  };
}

/** dW += dOut^T x */
function weightGradients({ r, gradientOf }: Tape, x: Ref, dOut: Ref, weight: Table): void {
  for (const [i, part] of weight.parts.entries()) {
    const out = gradientOf(part);
    if (!out) continue;
    const [n, cols] = part.shape as [number, number];
    const shape: MatmulShape = {
      ...{ m: n, n: cols, k: x.shape[0]!, dtype: scalarOf(x), operands: "tn", accumulate: true },
      ...{ bias: false, residual: false, activation: "none", ...columnsOf(weight, i) },
    };
    r.dispatch(matmulBackwardKernelFor(shape, r.traits), shape, { x: dOut, weight: x, out });
  }
}

/** dx = dOut W + residual */
function inputGradient({ r }: Tape, x: Ref, dOut: Ref, weight: Table, residual: Ref | undefined): Ref {
  let sum = residual;
  for (const [i, part] of weight.parts.entries()) {
    const [k, n] = part.shape as [number, number];
    const shape: MatmulShape = {
      ...{ m: x.shape[0]!, n, k, dtype: scalarOf(x), operands: "nn" },
      ...{ bias: false, residual: sum !== undefined, activation: "none", ...columnsOf(weight, i) },
    };
    const out = r.temporary("gradient", x.shape, x.dtype);
    r.dispatch(matmulBackwardKernelFor(shape, r.traits), shape, { x: dOut, weight: part, residual: sum, out });
    sum = out;
  }
  return sum!;
}

/** Which columns of a gradient belong to a part of a weight that is split. */
function columnsOf({ parts, rows, rowsPerPart }: Table, part: number): Partial<MatmulShape> {
  return parts.length > 1 ? { xStride: rows, xOffset: part * rowsPerPart } : {};
}

function sumColumns({ r, gradientOf }: Tape, x: Ref, weight: Tensor, offset: number): void {
  const out = gradientOf(weight);
  if (!out) return;
  const shape = { rows: x.shape[0]!, cols: sizeOf(weight.shape), dtype: scalarOf(x), stride: x.shape[1]!, offset };
  r.dispatch(columnSumsBy(rowOwnerFor(r.traits)), shape, { x, out });
}

/** LayerNorm(x), [rows, cols] */
export function layerNorm(
  tape: Tape,
  x: Ref,
  weights: NormWeights,
  eps: number,
): { out: Ref; backward(dOut: Gradient, bias?: Tensor): Gradient } {
  const { r, gradientOf } = tape;
  const { gamma, beta } = weights;
  return {
    out: follows(tape, layerNormOp(r, x, weights, eps), [x], [gamma, beta]),
    /** @param bias of a linear layer whose output x is: it gets its gradient as well */
    backward(dOut, bias) {
      if (!dOut) return undefined;
      const [rows, cols] = x.shape as [number, number];
      const shape = { rows, cols, dtype: scalarOf(x) };
      const dx = r.temporary("gradient", x.shape, x.dtype);
      const stats = r.temporary("moments", [rows, 2], "f32");
      r.dispatch(layernormBackwardBy(rowReducerFor(r.traits)), { ...shape, eps }, { x, gamma, d_out: dOut, dx, stats });
      const [dGamma, dBeta, dBias] = [gradientOf(gamma), gradientOf(beta), bias && gradientOf(bias)];
      if (dGamma && dBeta) {
        r.dispatch(
          layernormWeightsBackwardBy(rowOwnerFor(r.traits)),
          { ...shape, bias: dBias !== undefined },
          { x, stats, d_out: dOut, dx, d_gamma: dGamma, d_beta: dBeta, d_bias: dBias },
        );
      }
      return dx;
    },
  };
}

/** Element by element. */
export function activate(tape: Tape, pre: Ref, name: Exclude<Activation, "erf">): Operation {
  const { r } = tape;
  return {
    out: follows(tape, activateOp(r, pre, name), [pre]),
    backward(dOut) {
      if (!dOut) return undefined;
      const dPre = r.temporary("gradient", pre.shape, pre.dtype);
      const shape = { count: sizeOf(pre.shape), dtype: scalarOf(pre), activation: name };
      r.dispatch(activationBackward, shape, { pre, d_out: dOut, d_pre: dPre });
      return dPre;
    },
  };
}

/** x with elements left out, plus `residual`; x itself where none are left out and nothing is added. */
export function dropout(tape: Tape, x: Ref, probability: number, residual?: Ref): Operation {
  const tensor = tape.drawn++;
  const out = probability > 0 || residual ? drop(tape, x, probability, tensor, residual) : x;
  return {
    out: follows(tape, out, [x, residual]),
    backward(dOut) {
      if (!dOut || !tape.learnt.has(x)) return undefined;
      return probability > 0 ? drop(tape, dOut, probability, tensor) : dOut;
    },
  };
}

function drop({ r, seed, step }: Tape, x: Ref, probability: number, tensor: number, residual?: Ref): Ref {
  const out = r.temporary("dropout", x.shape, x.dtype);
  const options = { probability, residual: residual !== undefined, seed, step: 0, tensor };
  r.dispatch(dropoutKernel, { count: sizeOf(x.shape), dtype: scalarOf(x), ...options }, { x, residual, out }, { step });
  return out;
}

/** a + b */
export function add(tape: Tape, a: Gradient, b: Gradient): Gradient {
  return a && b ? drop(tape, a, 0, 0, b) : (a ?? b);
}

/** Rows scaled to length 1. */
export function l2Normalize(tape: Tape, x: Ref): Operation {
  const { r } = tape;
  return {
    out: follows(tape, l2NormalizeOp(r, x), [x]),
    backward(dOut) {
      if (!dOut) return undefined;
      const [rows, cols] = x.shape as [number, number];
      const dx = r.temporary("gradient", x.shape, x.dtype);
      const shape = { rows, cols, dtype: scalarOf(x) };
      r.dispatch(l2NormalizeBackwardBy(rowReducerFor(r.traits)), shape, { x, d_out: dOut, dx });
      return dx;
    },
  };
}

/** One row per sequence. */
export function pool(tape: Tape, x: Ref, packed: PackedTokens, mode: "cls" | "mean" | "max"): Operation {
  const { r } = tape;
  const { tokens, cuSeqlens, masked } = packed;
  return {
    out: follows(tape, poolOp(r, x, packed, mode), [x]),
    backward(dOut) {
      if (!dOut) return undefined;
      const dx = r.temporary("gradient", x.shape, x.dtype);
      const sequences = cuSeqlens.shape[0]! - 1;
      const shape = { sequences, hidden: x.shape[1]!, dtype: scalarOf(x), mode, mask: masked && mode !== "cls" };
      r.dispatch(poolBackward, shape, { x, cu_seqlens: cuSeqlens, tokens, d_out: dOut, dx });
      return dx;
    },
  };
}

/**
 * Rows of x.
 * @param rows u32 [count]
 * @param places u32, for each row of x which of `rows` it is, or `NO_ROW`: no row may be there twice
 */
export function chooseRows(tape: Tape, x: Ref, rows: Ref, places: Ref): Operation {
  const { r } = tape;
  const dtype = scalarOf(x);
  return {
    out: follows(tape, gatherRows(r, x, rows, dtype), [x]),
    backward(dOut) {
      if (!dOut) return undefined;
      const out = r.temporary("gradient", x.shape, x.dtype);
      const [count, cols] = x.shape as [number, number];
      r.dispatch(spreadRows, { count, cols, dtype }, { x: dOut, places, out });
      return out;
    },
  };
}

/** How tokens fall together by word, position and type: `segmentsOf` makes them. All are u32. */
export interface EmbeddingSegments {
  /** Tokens, three times over: by word, by position, by type. */
  readonly order: Ref;
  /** [pieces + 1]: where pieces of at most some rows begin in it. */
  readonly starts: Ref;
  /** [pieces]: 0, 1, 2, ... */
  readonly pieces: Ref;
  /** Of each table, which of the pieces belong to a row of it, and to which. */
  readonly tables: readonly { readonly starts: Ref; readonly targets: Ref }[];
}

/** LayerNorm(word[id] + position[p] + tokenType[t]), [tokens, hidden]; the gradient ends here. */
export function embed(
  tape: Tape,
  tokens: Ref,
  wordIds: Ref | undefined,
  tables: { readonly word: Table; readonly position: Tensor; readonly tokenType: Tensor; readonly norm: NormWeights },
  eps: number,
  dtype: Scalar,
  segments: EmbeddingSegments,
): { out: Ref; backward(dOut: Gradient): void } {
  const { r, gradientOf } = tape;
  const { word, position, tokenType } = tables;
  const [count, cols] = [tokens.shape[0]!, word.cols];
  const gathered = word.parts.length > 1;
  const sums = r.temporary("embeddings", [count, cols], dtype);
  r.dispatch(
    embeddingSums,
    { count, cols, dtype, gathered },
    {
      tokens,
      word: gathered ? gatherRows(r, word, wordIds!, dtype) : word.parts[0]!,
      position,
      token_type: tokenType,
      out: sums,
    },
  );
  follows(tape, sums, [], [...word.parts, position, tokenType]);
  const normal = layerNorm(tape, sums, tables.norm, eps);
  return {
    out: normal.out,
    backward(dOut) {
      const dSums = normal.backward(dOut);
      if (!dSums || !tape.learnt.has(sums)) return;
      const pieces = segments.pieces.shape[0]!;
      const partial = r.temporary("sums of embeddings", [pieces, cols], "f32");
      const { order, starts, pieces: targets } = segments;
      const shape = { segments: pieces, cols, tableRows: pieces, dtype, accumulate: false };
      r.dispatch(segmentSums, shape, { x: dSums, order, starts, targets, out: partial });
      for (const [i, parts] of [word.parts, [position], [tokenType]].entries()) {
        const { starts, targets } = segments.tables[i]!;
        for (const [p, part] of parts.entries()) {
          const out = gradientOf(part);
          if (!out) continue;
          const rows = { tableRows: part.shape[0]!, firstRow: p * (i === 0 ? word.rowsPerPart : 0) };
          const whole = { segments: targets.shape[0]!, cols, ...rows, dtype: "f32", accumulate: true } as const;
          r.dispatch(segmentSums, whole, { x: partial, order: segments.pieces, starts, targets, out });
        }
      }
    },
  };
}

export function scalarOf({ name, dtype }: Ref): Scalar {
  if (dtype === "u32") throw new TypeError(`${name} holds u32; f32 or f16 is needed`);
  return dtype;
}
