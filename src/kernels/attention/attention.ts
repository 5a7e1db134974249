/** Attention over packed sequences of any lengths, with a running softmax: no matrix of scores is ever stored. */

import {
  type Constant,
  type DeviceTraits,
  foldWorkgroups,
  type Kernel,
  type KernelLimits,
  type KernelPlan,
  requireIndexable,
  requireOffsets,
  requireSizes,
  type Scalar,
} from "../kernel.ts";
import tiles from "./attention.wgsl";
import broadcast from "./attention_broadcast.wgsl";
import unaligned from "./attention_unaligned.wgsl";

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

/** Queries of a workgroup of attention.wgsl. */
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
  source: tiles,
  plan(shape, limits) {
    requireAligned("attention", shape);
    return planBlocks("attention", shape, limits);
  },
};

/** As `attention`, for any dimensions, with scalar loads. */
export const attentionUnaligned: Kernel<AttentionShape> = {
  name: "attention_unaligned",
  source: unaligned,
  plan: (shape, limits) => planBlocks("attention_unaligned", shape, limits),
};

/** Queries of a workgroup of attention_broadcast.wgsl. */
const BROADCAST_QUERIES = 8;
/** Fours of columns that a thread may own there, by the size of subgroups: then heads of 64 make their scores once. */
const MOST_FOURS = { 4: 4, 8: 2 } as const;

/**
 * As `attention`, with queries and weights passed through a subgroup, for adapters where a load costs more than
 * arithmetic: on a device all of whose subgroups have `subgroup` threads, 4 or 8.
 */
export function attentionBroadcastBy(subgroup: number): Kernel<AttentionShape> {
  const name = "attention_broadcast";
  return {
    name,
    source: broadcast,
    features: ["subgroups"],
    plan: (shape, limits) => planBroadcast(name, subgroup, shape, limits),
  };
}

/** The plan of attention_broadcast.wgsl and its kin. */
export function planBroadcast(
  kernel: string,
  subgroup: number,
  shape: AttentionShape,
  limits: KernelLimits,
): KernelPlan {
  requireAligned(kernel, shape);
  if (subgroup !== 4 && subgroup !== 8) throw new RangeError(`${kernel}: subgroups of ${subgroup}, not of 4 or 8`);
  const columns = Math.ceil(attentionExtents(kernel, shape).valueDim / 4);
  const wanted = Math.ceil(columns / subgroup);
  const fours = Math.min(MOST_FOURS[subgroup], wanted > 2 ? 4 : wanted);
  const slices = Math.ceil(columns / (fours * subgroup));
  const constants = { SUBGROUP: subgroup, FOURS: fours };
  return planTiles(kernel, shape, { queries: BROADCAST_QUERIES, slices }, constants, limits);
}

/** With the subgroup that the .wgsl has by default. */
export const attentionBroadcast: Kernel<AttentionShape> = /* @__PURE__ */ attentionBroadcastBy(8);

/**
 * The fast kernel for this shape: that of `traits.attention` where it has one. On a software adapter with subgroups, operands
 * pass through them (measured: four times faster than through workgroup memory); elsewhere, and without traits, through
 * workgroup memory.
 */
export function attentionKernelFor(shape: AttentionShape, traits?: DeviceTraits): Kernel<AttentionShape> {
  const own = traits?.attention?.(shape as never, traits);
  if (own || !isAligned(shape)) return own ?? attentionUnaligned;
  const subgroup = traits?.software && traits.subgroupSize;
  return subgroup === 4 || subgroup === 8 ? attentionBroadcastBy(subgroup) : attention;
}

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

/** The plan of attention.wgsl and its kin. */
export function planBlocks(kernel: string, shape: AttentionShape, limits: KernelLimits): KernelPlan {
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
