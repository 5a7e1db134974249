/** ColBERT (Khattab & Zaharia 2020): a short vector for each token, so that a query's tokens can look for their like. */

import { type LinearWeights, l2Normalize, linear } from "../../runtime/ops.ts";
import * as stored from "../stored.ts";
import type { Head } from "./head.ts";

export interface LateInteractionWanted {
  /** ColBERT's vectors of length 1, [tokens, dim]. */
  readonly tokenEmbeddings?: boolean | undefined;
}

export const PROJECTION = "linear.weight";

export const lateInteraction: Head<LateInteractionWanted, LinearWeights> = {
  title: (shapes) => `late interaction in ${shapes.get(PROJECTION)![0]} dimensions`,
  outputs: { tokenEmbeddings: "token" },
  // the name says little: only a matrix that fits is taken for a projection, unless the architecture says that it is one
  tensors(shapes, { hiddenSize, architectures }) {
    const [dim, inputs] = shapes.get(PROJECTION) ?? [];
    if (dim === undefined || (inputs !== hiddenSize && !architectures.includes("HF_ColBERT"))) return undefined;
    return stored.linear(dim, hiddenSize, "linear", { biases: [] });
  },
  record: (r, _, { hidden, weights }) => ({ tokenEmbeddings: l2Normalize(r, linear(r, hidden, weights)) }),
};
