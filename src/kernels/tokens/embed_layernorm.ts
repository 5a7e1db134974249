/** BERT's input layer: three embeddings summed and normalised. */

import type { Kernel, Scalar } from "../kernel.ts";
import { planRows, type RowOwner, requireEpsilon, requireIndexable, requireSizes, rowVectors } from "../shape.ts";
import normalizeRow from "../shared/normalize_row.wgsl";
import reduce from "../shared/reduce.wgsl";
import total from "../shared/total.wgsl";
import wgsl from "./embed_layernorm.wgsl";

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
export function embedLayernormBy(owner: RowOwner): Kernel<EmbedLayernormShape> {
  return {
    name: "embed_layernorm",
    source: [wgsl, normalizeRow, reduce, total].join("\n"),
    plan({ tokens, hidden, eps, dtype, gathered = false, tokenTypes = true }, limits) {
      requireSizes("embed_layernorm", { tokens, hidden });
      requireIndexable("embed_layernorm", { out: tokens * hidden });
      requireEpsilon("embed_layernorm", eps);
      const options = { GATHERED: gathered, HAS_TOKEN_TYPES: tokenTypes };
      const constants = { Scalar: dtype, ...options, ...rowVectors(hidden) };
      return planRows(owner, limits, constants, { rows: tokens, cols: hidden, eps });
    },
  };
}

/** A workgroup for each of the tokens. */
export const embedLayernorm: Kernel<EmbedLayernormShape> = /* @__PURE__ */ embedLayernormBy("workgroup");
