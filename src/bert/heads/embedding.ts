/** One vector for each sequence out of those of its tokens, without weights. */

import { requireKnown } from "../../files/options.ts";
import { l2Normalize, type PoolMode, pool } from "../../runtime/ops.ts";
import type { Head } from "./head.ts";

export interface EmbeddingWanted {
  /** One vector per sequence, [sequences, hidden]. */
  readonly embedding?: { readonly pooling: PoolMode; readonly normalize: boolean } | undefined;
}

export const embedding: Head<EmbeddingWanted> = {
  outputs: { embedding: "sequence" },
  prepare: ({ embedding }) => void requireKnown("embedding", embedding!, { pooling: 1, normalize: 1 }),
  record(r, wanted, context) {
    const { pooling, normalize } = wanted.embedding!;
    const pooled = pool(r, context.hidden, context, pooling);
    return { embedding: normalize ? l2Normalize(r, pooled) : pooled };
  },
};
