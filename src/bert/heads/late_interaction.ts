/** ColBERT (Khattab & Zaharia 2020): a short vector for each token, so that a query's tokens can look for their like. */

import { type LinearWeights, l2Normalize, linear } from "../../runtime/ops.ts";
import { linear as storedLinear } from "../stored.ts";
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
  found(shapes, { hiddenSize, architectures }) {
    const [dim = 0, size] = shapes.get(PROJECTION) ?? [];
    return dim > 0 && (size === hiddenSize || architectures.includes("HF_ColBERT"));
  },
  weights: (stored, { hiddenSize }, shapes) =>
    storedLinear(stored, [shapes.get(PROJECTION)![0]!, hiddenSize], "linear", { bias: null }),
  record: (r, _, { hidden, weights }) => ({ tokenEmbeddings: l2Normalize(r, linear(r, hidden, weights)) }),
};
