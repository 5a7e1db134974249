/**
 * The gradients of self-attention, from its output and the logarithms of `attention_training`: probabilities are made
 * anew, no matrix of them is ever stored. First that of q, which also gives what the one of k and v needs.
 */
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
import kvTiles from "./attention_backward_kv.wgsl";
import kvBroadcast from "./attention_backward_kv_broadcast.wgsl";
import kvUnaligned from "./attention_backward_kv_unaligned.wgsl";
import qTiles from "./attention_backward_q.wgsl";
import qBroadcast from "./attention_backward_q_broadcast.wgsl";
import qUnaligned from "./attention_backward_q_unaligned.wgsl";
import { type AttentionDropout, withDropout } from "./attention_training.ts";

/** Queries, keys and values are of the same tokens and lie in one buffer, their gradients likewise in another. */
export interface AttentionBackwardShape extends AttentionDropout {
  /** Over all sequences. */
  readonly tokens: number;
  readonly sequences: number;
  readonly heads: number;
  /** Elements of a head of q, of k and of v. */
  readonly headDim: number;
  readonly dtype: Scalar;
  /** What scores were multiplied by; default 1 / sqrt(headDim). */
  readonly scale?: number;
  /** Whether keys whose `tokens[row].w` is 0 are masked. */
  readonly mask: boolean;
  /** Whether a query sees only the keys up to its own place in the sequence; default false. */
  readonly causal?: boolean;
  /** Elements between rows; default three times the width of all heads. */
  readonly stride?: number;
  /** Elements before row 0; default 0, once and twice the width of all heads. */
  readonly qOffset?: number;
  readonly kOffset?: number;
  readonly vOffset?: number;
}

/** What a tile owns: queries, or keys. */
type Side = "q" | "kv";

/** Rows of a tile. */
const ROWS = 16;
/** A workgroup is 4 threads for each four columns, up to this many fours; a wider head takes several workgroups. */
const MOST_GROUPS = 32;
const LEAST_GROUPS = 4;
/** Fours of columns that a thread may own in a subgroup. */
const MOST_FOURS = 2;

/**
 * Dimensions, stride and offsets must be multiples of 4. Bindings: qkv, d_out and out [tokens, heads * headDim], lse f32
 * [tokens, heads], cu_seqlens u32 [sequences + 1], tokens u32 [tokens, 4] (.w: key mask), delta f32 [tokens, heads], d_q,
 * laid out as qkv, of which it writes what belongs to q.
 */
export const attentionBackwardQ: Kernel<AttentionBackwardShape> = /* @__PURE__ */ inTiles("q", qTiles, true);

/** As `attentionBackwardQ`, for any dimensions, with scalar loads. */
export const attentionBackwardQUnaligned: Kernel<AttentionBackwardShape> = /* @__PURE__ */ inTiles(
  "q",
  qUnaligned,
  false,
);

/**
 * As `attentionBackwardQ`, without `out`, reading lse and the `delta` that the other wrote; d_kv, laid out as qkv, gets
 * what belongs to k and to v.
 */
export const attentionBackwardKV: Kernel<AttentionBackwardShape> = /* @__PURE__ */ inTiles("kv", kvTiles, true);

/** As `attentionBackwardKV`, for any dimensions, with scalar loads. */
export const attentionBackwardKVUnaligned: Kernel<AttentionBackwardShape> = /* @__PURE__ */ inTiles(
  "kv",
  kvUnaligned,
  false,
);

function inTiles(side: Side, source: string, aligned: boolean): Kernel<AttentionBackwardShape> {
  const name = `attention_backward_${side}${aligned ? "" : "_unaligned"}`;
  return {
    name,
    source,
    plan(shape, limits) {
      if (aligned) requireAligned(name, shape);
      const columns = Math.ceil(shape.headDim / 4);
      const slices = Math.ceil(columns / MOST_GROUPS);
      const groups = Math.max(LEAST_GROUPS, Math.ceil(columns / slices));
      return planTiles(name, shape, slices, { GROUPS: groups }, limits);
    },
  };
}

/** As `attentionBackwardQ`, on a device all of whose subgroups have `subgroup` threads, 4 or 8. */
export function attentionBackwardQBroadcastBy(subgroup: number): Kernel<AttentionBackwardShape> {
  return throughSubgroups("q", qBroadcast, subgroup);
}

/** As `attentionBackwardKV`, on such a device. */
export function attentionBackwardKVBroadcastBy(subgroup: number): Kernel<AttentionBackwardShape> {
  return throughSubgroups("kv", kvBroadcast, subgroup);
}

/** With the subgroup that the .wgsl has by default. */
export const attentionBackwardQBroadcast: Kernel<AttentionBackwardShape> =
  /* @__PURE__ */ attentionBackwardQBroadcastBy(8);
export const attentionBackwardKVBroadcast: Kernel<AttentionBackwardShape> =
  /* @__PURE__ */ attentionBackwardKVBroadcastBy(8);

function throughSubgroups(side: Side, source: string, subgroup: number): Kernel<AttentionBackwardShape> {
  const name = `attention_backward_${side}_broadcast`;
  return {
    name,
    source,
    features: ["subgroups"],
    plan(shape, limits) {
      requireAligned(name, shape);
      if (subgroup !== 4 && subgroup !== 8) throw new RangeError(`${name}: subgroups of ${subgroup}, not of 4 or 8`);
      const columns = Math.ceil(shape.headDim / (4 * subgroup));
      const fours = Math.min(MOST_FOURS, columns);
      return planTiles(name, shape, Math.ceil(columns / fours), { SUBGROUP: subgroup, FOURS: fours }, limits);
    },
  };
}

/** The fast kernels for this shape: on a software adapter with subgroups through these, else through workgroup memory. */
export function attentionBackwardKernelsFor(
  shape: AttentionBackwardShape,
  traits?: DeviceTraits,
): Readonly<Record<Side, Kernel<AttentionBackwardShape>>> {
  if (misaligned(shape) !== undefined) return { q: attentionBackwardQUnaligned, kv: attentionBackwardKVUnaligned };
  const subgroup = traits?.software ? traits.subgroupSize : undefined;
  return subgroup === 4 || subgroup === 8
    ? { q: attentionBackwardQBroadcastBy(subgroup), kv: attentionBackwardKVBroadcastBy(subgroup) }
    : { q: attentionBackwardQ, kv: attentionBackwardKV };
}

/** The shape's numbers with defaults filled in and checked. */
export function attentionBackwardExtents(
  kernel: string,
  shape: AttentionBackwardShape,
): Required<Pick<AttentionBackwardShape, "scale" | "stride" | "qOffset" | "kOffset" | "vOffset">> {
  const { tokens, sequences, heads, headDim, scale = 1 / Math.sqrt(headDim) } = shape;
  const hidden = heads * headDim;
  const { stride = 3 * hidden, qOffset = 0, kOffset = hidden, vOffset = 2 * hidden } = shape;
  requireSizes(kernel, { tokens, sequences, heads, headDim, stride });
  requireOffsets(kernel, { qOffset, kOffset, vOffset });
  requireIndexable(kernel, { qkv: tokens * stride + Math.max(qOffset, kOffset, vOffset) });
  if (!Number.isFinite(scale)) throw new RangeError(`${kernel}: scale is ${scale}, it must be finite`);
  return { scale, stride, qOffset, kOffset, vOffset };
}

/** The first of the numbers that vec4 loads need to be a multiple of 4, and its value, where one is not. */
function misaligned(shape: AttentionBackwardShape): [field: string, value: number] | undefined {
  const { stride, qOffset, kOffset, vOffset } = attentionBackwardExtents("attention_backward", shape);
  const aligned = { headDim: shape.headDim, stride, qOffset, kOffset, vOffset };
  return Object.entries(aligned).find(([, value]) => value % 4 !== 0);
}

/** @throws RangeError when vec4 loads cannot serve this shape */
function requireAligned(kernel: string, shape: AttentionBackwardShape): void {
  const odd = misaligned(shape);
  if (odd === undefined) return;
  const other = kernel.replace(/(_broadcast)?$/, "_unaligned");
  throw new RangeError(`${kernel}: ${odd[0]} is ${odd[1]}, not a multiple of 4; ${other} takes any`);
}

function planTiles(
  kernel: string,
  shape: AttentionBackwardShape,
  slices: number,
  tile: Readonly<Record<string, Constant>>,
  limits: KernelLimits,
): KernelPlan {
  const { tokens, sequences, heads, headDim, dtype, mask, causal = false } = shape;
  const { scale, stride, qOffset, kOffset, vOffset } = attentionBackwardExtents(kernel, shape);
  const tiles = Math.floor(tokens / ROWS) + sequences;
  const plan = {
    constants: { Scalar: dtype, HAS_MASK: mask, CAUSAL: causal, ...tile },
    params: {
      tiles,
      slices,
      sequences,
      heads,
      head_dim: headDim,
      stride,
      q_offset: qOffset,
      k_offset: kOffset,
      v_offset: vOffset,
      scale,
    },
    workgroups: foldWorkgroups(tiles * slices * heads, limits),
    label: `${tokens}x${heads}x${headDim}`,
  };
  return withDropout(kernel, plan, shape);
}
