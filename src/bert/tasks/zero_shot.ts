/** zero-shot-classification: any labels, judged by a model of entailment (the pipeline of that name in transformers). */

import { requireList } from "../../files/options.ts";
import { ModelError } from "../config.ts";
import { softmaxOf } from "./activations.ts";
import type { Plan } from "./plan.ts";
import {
  encodeCut,
  type OwnNames,
  type Pretrained,
  requireClassifier,
  requireOptions,
  requireSound,
  sequenceOf,
  type TaskOptions,
} from "./pretrained.ts";
import { runTask } from "./stream.ts";
import { argmax } from "./text_classification.ts";

/** The field names are those of transformers. */
export interface ZeroShot {
  readonly sequence: string;
  /** Likeliest first. */
  readonly labels: readonly string[];
  readonly scores: readonly number[];
}

export interface ZeroShotOptions extends TaskOptions {
  readonly candidateLabels: readonly string[];
  /** A sentence with {} where the label goes; default "This example is {}." */
  readonly hypothesisTemplate?: string | undefined;
  /** Judge every label by itself, entailment against contradiction; else the labels share a probability of 1. Default false. */
  readonly multiLabel?: boolean | undefined;
  /** The class that stands for entailment; default: the first whose label begins with "entail". */
  readonly entailmentId?: number | undefined;
}

export const ZERO_SHOT: OwnNames<ZeroShotOptions> = {
  candidateLabels: 1,
  hypothesisTemplate: 1,
  multiLabel: 1,
  entailmentId: 1,
};

/**
 * One sequence per text and label, all batched together.
 * @throws ModelError when the model has no classifier of sequences, or none of its labels is entailment; RangeError
 * without labels, for a template without {}, or when a label alone is longer than the model takes
 */
export function classifyZeroShot(
  pretrained: Pretrained,
  texts: readonly string[],
  options: ZeroShotOptions,
): Promise<ZeroShot[]> {
  return runTask(planZeroShot, pretrained, texts, options);
}

export function planZeroShot(pretrained: Pretrained, options: ZeroShotOptions): Plan<string, ZeroShot> {
  requireOptions("zero-shot-classification", options, ZERO_SHOT);
  requireClassifier(pretrained, "sequence", "zero-shot classification");
  const { candidateLabels: candidates, hypothesisTemplate: template = "This example is {}.", multiLabel } = options;
  requireList("candidateLabels", candidates);
  if (candidates.length === 0) throw new RangeError("candidateLabels is empty, at least 1 label is needed");
  if (!template.includes("{}")) throw new RangeError(`hypothesisTemplate ${JSON.stringify(template)} has no {}`);
  const hypotheses = candidates.map((label) => template.replaceAll("{}", () => label));
  const tokens = hypotheses.map((hypothesis) => pretrained.tokenizer.encode(hypothesis).ids.length);
  const longest = argmax(tokens);
  const entailment = options.entailmentId ?? entailmentOf(pretrained);
  const independent = multiLabel || candidates.length === 1;
  return {
    wanted: { logits: true },
    prepare: (text) => ({
      // the text gives way, never the label; with one label as with the next, so it is said once
      sequences: hypotheses.map((hypothesis, i) => {
        const onWarning = i === longest ? options.onWarning : undefined;
        return sequenceOf(encodeCut(pretrained, text, hypothesis, { onWarning, truncation: "only_first" }));
      }),
      finish(outputs) {
        const logits = outputs.map((output) => output.logits!);
        const scores = independent
          ? logits.map((row) => softmaxOf([row.at(entailment === 0 ? -1 : 0)!, row[entailment]!])[1]!)
          : Array.from(softmaxOf(logits.map((row) => row[entailment]!)));
        const order = [...scores.keys()].sort((a, b) => scores[a]! - scores[b]!).reverse();
        return {
          sequence: text,
          labels: order.map((i) => candidates[i]!),
          scores: order.map((i) => scores[i]!),
        };
      },
    }),
  };
}

function entailmentOf(pretrained: Pretrained): number {
  requireSound(pretrained, "id2label");
  const { model } = pretrained;
  const { labels } = model.config;
  const found = labels.findIndex((label) => label.toLowerCase().startsWith("entail"));
  if (found >= 0) return found;
  throw new ModelError(model.name, [
    `zero-shot classification needs a model of entailment; none of its labels (${labels.slice(0, 8).join(", ")}) ` +
      "begins with entail: say with entailmentId which class it is",
  ]);
}
