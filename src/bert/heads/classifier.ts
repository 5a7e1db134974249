/** A linear layer over the pooled sequence or over each token: what it classifies, the architecture decides. */

import { type LinearWeights, linear } from "../../runtime/ops.ts";
import type { BertConfig } from "../config.ts";
import * as stored from "../stored.ts";
import type { Head } from "./head.ts";
import { pooled, poolerTensors } from "./pooler.ts";

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
  tensors(shapes, config) {
    const labels = shapes.get("classifier.weight")?.[0];
    if (labels === undefined) return undefined;
    const output = stored.linear(labels, config.hiddenSize, "classifier");
    if (classifierKind(config) === "token") return { pooler: undefined, output };
    const pooler = poolerTensors(shapes, config);
    return pooler && { pooler, output };
  },
  record(r, _, context) {
    const { pooler, output } = context.weights;
    return { logits: linear(r, pooler ? pooled(r, context, pooler) : context.hidden, output) };
  },
};

export function classifierKind({ architectures }: BertConfig): ClassifierKind {
  if (architectures.includes("BertForTokenClassification")) return "token";
  return architectures.includes("BertForMultipleChoice") ? "choice" : "sequence";
}
