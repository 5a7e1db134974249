/** Layer normalisation of rows: of sums with the residual that BERT adds, and of its three embeddings of each token. */
import type { Kernel, Scalar } from "../kernel.ts";
import {
  planRows,
  type RowReducer,
  requireEpsilon,
  requireIndexable,
  requireSizes,
  rowKernel,
  rowVectors,
} from "../kernel.ts";
import embeddings from "./embed_layernorm.wgsl";
import embeddingsSubgroup from "./embed_layernorm_subgroup.wgsl";
import sums from "./layernorm.wgsl";
import sumsSubgroup from "./layernorm_subgroup.wgsl";

export interface LayernormShape {
  readonly rows: number;
  readonly cols: number;
  /** Added to the variance. */
  readonly eps: number;
  readonly dtype: Scalar;
  /** Whether `residual` [rows, cols] is added to x first. */
  readonly residual: boolean;
}

/** Bindings: x [rows, cols], residual [rows, cols], gamma [cols], beta [cols], out [rows, cols]. */
export function layernormBy(reducer: RowReducer): Kernel<LayernormShape> {
  return {
    ...rowKernel(reducer, "layernorm", sums, sumsSubgroup),
    plan({ rows, cols, eps, dtype, residual }, limits) {
      requireSizes("layernorm", { rows, cols });
      requireIndexable("layernorm", { x: rows * cols });
      requireEpsilon("layernorm", eps);
      const constants = { Scalar: dtype, HAS_RESIDUAL: residual, ...rowVectors(cols) };
      return planRows(reducer, limits, constants, { rows, cols, eps });
    },
  };
}

/** A workgroup for each of the rows. */
export const layernorm: Kernel<LayernormShape> = /* @__PURE__ */ layernormBy("workgroup");

export interface EmbedLayernormShape {
  readonly tokens: number;
  readonly hidden: number;
  /** Added to the variance. */
  readonly eps: number;
  readonly dtype: Scalar;
  /** Whether `word` holds one row per token, gathered before, and not the whole table; default false. */
  readonly gathered?: boolean;
  /** Whether `token_type` is added; default true. */
  readonly tokenTypes?: boolean;
}

/**
 * Bindings: tokens u32 [tokens, 4] (word id, token type, position, key mask), word, position and token_type tables of
 * `hidden` columns, gamma [hidden], beta [hidden], out [tokens, hidden]. Ids must lie within their tables: the GPU reads
 * some other row for one that does not.
 */
export function embedLayernormBy(reducer: RowReducer): Kernel<EmbedLayernormShape> {
  return {
    ...rowKernel(reducer, "embed_layernorm", embeddings, embeddingsSubgroup),
    plan({ tokens, hidden, eps, dtype, gathered = false, tokenTypes = true }, limits) {
      requireSizes("embed_layernorm", { tokens, hidden });
      requireIndexable("embed_layernorm", { out: tokens * hidden });
      requireEpsilon("embed_layernorm", eps);
      const options = { GATHERED: gathered, HAS_TOKEN_TYPES: tokenTypes };
      const constants = { Scalar: dtype, ...options, ...rowVectors(hidden) };
      return planRows(reducer, limits, constants, { rows: tokens, cols: hidden, eps });
    },
  };
}

/** A workgroup for each of the tokens. */
export const embedLayernorm: Kernel<EmbedLayernormShape> = /* @__PURE__ */ embedLayernormBy("workgroup");
