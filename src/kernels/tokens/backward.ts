/** Gradients of the kernels that gather and pool rows, and the sums of embeddings that training keeps. */
import {
  foldWorkgroups,
  type Kernel,
  requireIndexable,
  requireOffsets,
  requireSizes,
  rowVectors,
  type Scalar,
} from "../kernel.ts";
import embeddingSumsWgsl from "./embedding_sums.wgsl";
import type { PoolShape } from "./pool.ts";
import poolWgsl from "./pool_backward.wgsl";
import segmentSumsWgsl from "./segment_sums.wgsl";
import spreadRowsWgsl from "./spread_rows.wgsl";

/** A row that is not there. */
export const NO_ROW = 0xffffffff;

export interface SegmentSumsShape {
  readonly segments: number;
  readonly cols: number;
  /** Rows of out. */
  readonly tableRows: number;
  /** The index of out's first row, where it is a part of a larger table; default 0. */
  readonly firstRow?: number;
  /** Of x. */
  readonly dtype: Scalar;
  /** Whether sums are added to what is there, and do not take its place. */
  readonly accumulate: boolean;
}

/**
 * Bindings: x [*, cols], order u32 [*], starts u32 [segments + 1], targets u32 [segments] (rows of the table, or `NO_ROW`),
 * out f32 [tableRows, cols]. No two segments may have the same target.
 */
export const segmentSums: Kernel<SegmentSumsShape> = {
  name: "segment_sums",
  source: segmentSumsWgsl,
  plan({ segments, cols, tableRows, firstRow = 0, dtype, accumulate }, limits) {
    requireSizes("segment_sums", { segments, cols, tableRows });
    requireOffsets("segment_sums", { firstRow });
    requireIndexable("segment_sums", { out: tableRows * cols, sums: segments * cols });
    const vectors = rowVectors(cols);
    return {
      constants: { Scalar: dtype, WORKGROUP_SIZE: 32, ACCUMULATE: accumulate, ...vectors },
      params: { segments, cols, first_row: firstRow, table_rows: tableRows },
      workgroups: foldWorkgroups(Math.ceil((segments * cols) / vectors.WIDTH / 32), limits),
      label: `${segments}x${cols}`,
    };
  },
};

export interface SpreadRowsShape {
  /** Rows of the output. */
  readonly count: number;
  readonly cols: number;
  readonly dtype: Scalar;
}

/** Bindings: x [*, cols], places u32 [count] (rows of x, or `NO_ROW`), out [count, cols]. */
export const spreadRows: Kernel<SpreadRowsShape> = {
  name: "spread_rows",
  source: spreadRowsWgsl,
  plan({ count, cols, dtype }, limits) {
    requireSizes("spread_rows", { count, cols });
    requireIndexable("spread_rows", { out: count * cols });
    const vectors = rowVectors(cols);
    return {
      constants: { Scalar: dtype, WORKGROUP_SIZE: 64, ...vectors },
      params: { count, cols },
      workgroups: foldWorkgroups(Math.ceil((count * cols) / vectors.WIDTH / 64), limits),
      label: `${count}x${cols}`,
    };
  },
};

export interface EmbeddingSumsShape extends SpreadRowsShape {
  /** Whether `word` holds one row per token, gathered before, and not the whole table. */
  readonly gathered: boolean;
}

/**
 * Bindings: tokens u32 [count, 4] (word id, token type, position, key mask), word, position and token_type tables of `cols`
 * columns, out [count, cols]. Ids must lie within their tables.
 */
export const embeddingSums: Kernel<EmbeddingSumsShape> = {
  name: "embedding_sums",
  source: embeddingSumsWgsl,
  plan({ count, cols, dtype, gathered }, limits) {
    requireSizes("embedding_sums", { count, cols });
    requireIndexable("embedding_sums", { out: count * cols });
    const vectors = rowVectors(cols);
    return {
      constants: { Scalar: dtype, WORKGROUP_SIZE: 64, GATHERED: gathered, ...vectors },
      params: { count, cols },
      workgroups: foldWorkgroups(Math.ceil((count * cols) / vectors.WIDTH / 64), limits),
      label: `${count}x${cols}`,
    };
  },
};

/** The constants of pool_backward.wgsl. */
const MODES = { mean: 0, cls: 1, max: 2 } as const;

/** Bindings: those of `pool`, with d_out [sequences, hidden] and dx [tokens, hidden] in place of out. */
export const poolBackward: Kernel<PoolShape> = {
  name: "pool_backward",
  source: poolWgsl,
  plan({ sequences, hidden, dtype, mode, mask }, limits) {
    requireSizes("pool_backward", { sequences, hidden });
    requireIndexable("pool_backward", { d_out: sequences * hidden });
    const vectors = rowVectors(hidden);
    return {
      constants: { Scalar: dtype, WORKGROUP_SIZE: 32, HAS_MASK: mask, MODE: MODES[mode], ...vectors },
      params: { sequences, hidden },
      workgroups: foldWorkgroups(Math.ceil((sequences * hidden) / vectors.WIDTH / 32), limits),
      label: `${mode} ${sequences}x${hidden}`,
    };
  },
};
