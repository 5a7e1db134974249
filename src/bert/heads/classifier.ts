/** A linear layer over the pooled sequence or over each token: what it classifies, the architecture decides. */

import { type LinearWeights, linear } from "../../runtime/ops.ts";
import type { BertConfig } from "../config.ts";
import { linear as storedLinear } from "../stored.ts";
import type { Head } from "./head.ts";
import { pooled, poolerWeights } from "./pooler.ts";

/** What `classifier` classifies, by the model's architecture. */
export type ClassifierKind = "sequence" | "token" | "choice";

export interface ClassifierWanted {
  /** Of the classifier: [sequences, labels], [tokens, labels] of a token classifier, [sequences, 1] of choices. */
  readonly logits?: boolean | undefined;
}

export const classifier: Head<ClassifierWanted, { pooler: LinearWeights | undefined; output: LinearWeights }> = {
  title(shapes, config) {
    const [count] = shapes.get("classifier.weight")!;
    const { labels } = config;
    const named = count === labels.length ? ` (${labels.slice(0, 10).join(", ")})` : "";
    return `${classifierKind(config)} classifier of ${count}${named}`;
  },
  outputs: { logits: (config) => (classifierKind(config) === "token" ? "token" : "sequence") },
  found: (shapes, config) =>
    shapes.has("classifier.weight") && (classifierKind(config) === "token" || shapes.has("pooler.dense.weight")),
  weights: (stored, config, shapes) => ({
    pooler: classifierKind(config) === "token" ? undefined : poolerWeights(stored, config),
    output: storedLinear(stored, [shapes.get("classifier.weight")![0]!, config.hiddenSize], "classifier"),
  }),
  record(r, _, context) {
    const { pooler, output } = context.weights;
    return { logits: linear(r, pooler ? pooled(r, context, pooler) : context.hidden, output) };
  },
};

export function classifierKind({ architectures }: BertConfig): ClassifierKind {
  if (architectures.includes("BertForTokenClassification")) return "token";
  return architectures.includes("BertForMultipleChoice") ? "choice" : "sequence";
}
