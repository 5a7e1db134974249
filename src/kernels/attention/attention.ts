/** Attention over packed sequences of any lengths, with a running softmax: no matrix of scores is ever stored. */

import {
  type Constant,
  foldWorkgroups,
  type Kernel,
  type KernelLimits,
  type KernelPlan,
  type Scalar,
} from "../kernel.ts";
import { requireIndexable, requireOffsets, requireSizes } from "../shape.ts";
import wgsl from "./attention.wgsl";
import scalarOperands from "./attention_scalar.wgsl";
import sequences from "./attention_sequences.wgsl";
import vec4Operands from "./attention_vec4.wgsl";

export interface AttentionShape {
  /** Rows of q, over all sequences. */
  readonly tokens: number;
  readonly sequences: number;
  readonly heads: number;
  /** Elements of a head of q and of k. */
  readonly headDim: number;
  /** Elements of a head of v; default `headDim`. */
  readonly valueDim?: number;
  readonly dtype: Scalar;
  /** What scores are multiplied by; default 1 / sqrt(headDim). */
  readonly scale?: number;
  /** Whether keys whose `tokens[row].w` is 0 are masked. */
  readonly mask: boolean;
  /** Whether a query sees only the keys up to its own place in the sequence; default false. */
  readonly causal?: boolean;
  /** Elements between rows; default the width of all heads. With offsets, one packed buffer can serve q, k and v. */
  readonly qStride?: number;
  readonly kStride?: number;
  readonly vStride?: number;
  /** Elements before row 0; default 0. */
  readonly qOffset?: number;
  readonly kOffset?: number;
  readonly vOffset?: number;
}

/** Queries of a workgroup, as in the .wgsl. */
const QUERIES = 16;
/** A workgroup is 4 threads for each four columns of v, up to this many fours; a wider v takes several workgroups. */
const MOST_GROUPS = 32;
const LEAST_GROUPS = 4;

/**
 * Dimensions, strides and offsets must be multiples of 4. Bindings: q, k, v, cu_seqlens u32 [sequences + 1],
 * cu_seqlens_k u32 [sequences + 1], tokens u32 [rows of k, 4] (.w: key mask), out [tokens, heads * valueDim].
 */
export const attention: Kernel<AttentionShape> = {
  name: "attention",
  source: /* @__PURE__ */ [vec4Operands, wgsl, sequences].join("\n"),
  plan(shape, limits) {
    requireAligned("attention", shape);
    return planOf("attention", shape, limits);
  },
};

/** As `attention`, for any dimensions, with scalar loads. */
export const attentionUnaligned: Kernel<AttentionShape> = {
  name: "attention_unaligned",
  source: /* @__PURE__ */ [scalarOperands, wgsl, sequences].join("\n"),
  plan: (shape, limits) => planOf("attention_unaligned", shape, limits),
};

/** The shape's numbers with defaults filled in and checked. */
export function attentionExtents(kernel: string, shape: AttentionShape): Required<Omit<AttentionShape, "causal">> {
  const { tokens, sequences, heads, headDim, valueDim = headDim, scale = 1 / Math.sqrt(headDim) } = shape;
  const { qStride = heads * headDim, kStride = heads * headDim, vStride = heads * valueDim } = shape;
  const { qOffset = 0, kOffset = 0, vOffset = 0 } = shape;
  requireSizes(kernel, { tokens, sequences, heads, headDim, valueDim, qStride, kStride, vStride });
  requireOffsets(kernel, { qOffset, kOffset, vOffset });
  requireIndexable(kernel, { q: tokens * qStride + qOffset, out: tokens * heads * valueDim });
  if (!Number.isFinite(scale)) throw new RangeError(`${kernel}: scale is ${scale}, it must be finite`);
  return { ...shape, valueDim, scale, qStride, kStride, vStride, qOffset, kOffset, vOffset };
}

/** The first of the numbers that vec4 loads need to be a multiple of 4, and its value, where one is not. */
function misaligned(shape: AttentionShape): [field: string, value: number] | undefined {
  const { headDim, valueDim, ...at } = attentionExtents("attention", shape);
  const { qStride, kStride, vStride, qOffset, kOffset, vOffset } = at;
  const aligned = { headDim, valueDim, qStride, kStride, vStride, qOffset, kOffset, vOffset };
  return Object.entries(aligned).find(([, value]) => value % 4 !== 0);
}

/** Whether vec4 loads can serve this shape. */
export function isAligned(shape: AttentionShape): boolean {
  return misaligned(shape) === undefined;
}

/** @throws RangeError when vec4 loads cannot serve this shape */
export function requireAligned(kernel: string, shape: AttentionShape): void {
  const odd = misaligned(shape);
  if (odd !== undefined) {
    throw new RangeError(`${kernel}: ${odd[0]} is ${odd[1]}, not a multiple of 4; attention_unaligned takes any`);
  }
}

function planOf(kernel: string, shape: AttentionShape, limits: KernelLimits): KernelPlan {
  const { valueDim } = attentionExtents(kernel, shape);
  const columns = Math.ceil(valueDim / 4);
  const slices = Math.ceil(columns / MOST_GROUPS);
  const groups = Math.max(LEAST_GROUPS, Math.ceil(columns / slices));
  return planTiles(kernel, shape, { queries: QUERIES, slices }, { GROUPS: groups }, limits);
}

/** The plan of a kernel whose workgroups each own `queries` queries of a sequence and head, and a slice of v's columns. */
export function planTiles(
  kernel: string,
  shape: AttentionShape,
  { queries, slices }: { readonly queries: number; readonly slices: number },
  tile: Readonly<Record<string, Constant>>,
  limits: KernelLimits,
): KernelPlan {
  const { tokens, sequences, heads, headDim, dtype, mask, causal = false } = shape;
  const { valueDim, scale, qStride, kStride, vStride, qOffset, kOffset, vOffset } = attentionExtents(kernel, shape);
  const tiles = Math.floor(tokens / queries) + sequences;
  return {
    constants: { Scalar: dtype, HAS_MASK: mask, CAUSAL: causal, ...tile },
    params: {
      tiles,
      slices,
      sequences,
      heads,
      head_dim: headDim,
      value_dim: valueDim,
      q_stride: qStride,
      k_stride: kStride,
      v_stride: vStride,
      q_offset: qOffset,
      k_offset: kOffset,
      v_offset: vOffset,
      scale,
    },
    workgroups: foldWorkgroups(tiles * slices * heads, limits),
    label: `${tokens}x${heads}x${headDim}`,
  };
}
