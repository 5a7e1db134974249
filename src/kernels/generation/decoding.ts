/**
 * A step of decoding: one new token for each of the sequences in work. Sequences have slots, `width` for each source; a
 * batch of rows is some of the sources, so that those that are done leave it and nothing moves. `step` is the place of the
 * newest token, and like other numbers that change with each step it is a field of Params by the same name.
 */
import {
  foldWorkgroups,
  type Kernel,
  type KernelPlan,
  requireIndexable,
  requireSizes,
  type Scalar,
} from "../kernel.ts";
import cached from "./cached_attention.wgsl";
import source from "./source_attention.wgsl";
import tokens from "./step_tokens.wgsl";

export interface StepShape {
  /** Of the batch: `width` for each source in it. */
  readonly rows: number;
  /** Slots of a source. */
  readonly width: number;
  /** Places of a slot. */
  readonly capacity: number;
  /** Default 0: set at each run. */
  readonly step?: number;
}

/** Threads that own a row each. */
const WORKGROUP_SIZE = 64;

/** @throws RangeError for rows that are not those of whole sources */
export function requireRows(kernel: string, { rows, width }: Pick<StepShape, "rows" | "width">): void {
  requireSizes(kernel, { rows, width });
  if (rows % width !== 0) throw new RangeError(`${kernel}: ${rows} rows are no multiple of the width ${width}`);
}

/** Bindings: batch u32 [rows / width], tokens u32 [slots, capacity], out u32 [rows, 4], ids u32 [rows]. */
export const stepTokens: Kernel<StepShape> = {
  name: "step_tokens",
  source: tokens,
  plan({ rows, width, capacity, step = 0 }, limits) {
    requireRows("step_tokens", { rows, width });
    requireSizes("step_tokens", { capacity });
    return {
      constants: { WIDTH: width, WORKGROUP_SIZE },
      params: { rows, capacity, step },
      workgroups: foldWorkgroups(Math.ceil(rows / WORKGROUP_SIZE), limits),
      label: `${rows}`,
    };
  },
};

export interface OneQueryShape extends StepShape {
  readonly heads: number;
  readonly headDim: number;
  readonly dtype: Scalar;
}

/** Threads that share a row and head. */
const KEYS = 64;

function planOneQuery(
  kernel: string,
  shape: OneQueryShape,
): Pick<KernelPlan, "constants" | "label"> & { scale: number } {
  const { rows, width, heads, headDim, dtype } = shape;
  requireRows(kernel, shape);
  requireSizes(kernel, { heads, headDim });
  requireIndexable(kernel, { qkv: rows * 3 * heads * headDim });
  return {
    constants: { Scalar: dtype, WIDTH: width, COLUMNS: Math.ceil(headDim / KEYS) },
    label: `${rows}x${heads}x${headDim}`,
    scale: 1 / Math.sqrt(headDim),
  };
}

/**
 * Bindings: batch u32 [rows / width], chains u32 [slots, capacity], qkv [rows, 3 * heads * headDim], cache [slots *
 * capacity, 2 * heads * headDim], to which the new tokens' keys and values are written, out [rows, heads * headDim].
 */
export const cachedAttention: Kernel<OneQueryShape> = {
  name: "cached_attention",
  source: cached,
  plan(shape, limits) {
    const { rows, heads, headDim, capacity, step = 0 } = shape;
    const { scale, ...plan } = planOneQuery("cached_attention", shape);
    requireSizes("cached_attention", { capacity });
    return {
      ...plan,
      params: { rows, heads, head_dim: headDim, capacity, scale, step },
      workgroups: foldWorkgroups(rows * heads, limits),
    };
  },
};

/**
 * Bindings: batch u32 [rows / width], cu_seqlens u32 [sources + 1], q [rows, heads * headDim], key_value [source tokens,
 * 2 * heads * headDim], out [rows, heads * headDim].
 */
export const sourceAttention: Kernel<Omit<OneQueryShape, "capacity" | "step">> = {
  name: "source_attention",
  source,
  plan(shape, limits) {
    const { rows, heads, headDim } = shape;
    const { scale, ...plan } = planOneQuery("source_attention", { ...shape, capacity: 1 });
    return {
      ...plan,
      params: { rows, heads, head_dim: headDim, scale },
      workgroups: foldWorkgroups(rows * heads, limits),
    };
  },
};
