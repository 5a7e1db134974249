/** Whether the second text follows the first (BertForNextSentencePrediction, BertForPreTraining). */

import { type LinearWeights, linear } from "../../runtime/ops.ts";
import { linear as storedLinear } from "../stored.ts";
import type { Head } from "./head.ts";
import { pooled, poolerWeights } from "./pooler.ts";

export interface NextSentenceWanted {
  /** Next-sentence logits [sequences, 2]: 0 = B follows A. */
  readonly seqRelationshipLogits?: boolean | undefined;
}

export const nextSentence: Head<NextSentenceWanted, { pooler: LinearWeights; output: LinearWeights }> = {
  title: "next sentence",
  outputs: { seqRelationshipLogits: "sequence" },
  found: (shapes) => shapes.has("cls.seq_relationship.weight") && shapes.has("pooler.dense.weight"),
  weights: (stored, config) => ({
    pooler: poolerWeights(stored, config),
    output: storedLinear(stored, [2, config.hiddenSize], "cls.seq_relationship"),
  }),
  record(r, _, context) {
    const { pooler, output } = context.weights;
    return { seqRelationshipLogits: linear(r, pooled(r, context, pooler), output) };
  },
};
