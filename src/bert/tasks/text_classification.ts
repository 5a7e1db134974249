/** text-classification: labels of texts or of pairs (the `text-classification` pipeline of transformers), and scores of logits. */

import { ModelError } from "../config.ts";
import type { Encoding } from "../tokenizer/tokenizer.ts";
import { type Activation, activationAt, activationNames } from "./activations.ts";
import { type Chain, chainOf, type PromptOptions, taken } from "./module_chain.ts";
import type { Plan } from "./plan.ts";
import {
  encodeCut,
  type OwnNames,
  type Pretrained,
  requireClassifier,
  requireCount,
  requireOptions,
  requireSound,
  type TaskOptions,
  type TextInput,
  textsOf,
} from "./pretrained.ts";
import { runTask } from "./stream.ts";

export interface Classification {
  readonly label: string;
  /** A probability, or the bare logit where no function is applied. */
  readonly score: number;
}

export interface ClassificationOptions extends TaskOptions {
  /** Labels per text, best first; default 1. `null`: all. */
  readonly topK?: number | null | undefined;
  /**
   * Default: none for regression, sigmoid for one label or several at once, else softmax; of a model of sentence-transformers'
   * CrossEncoder its own function.
   */
  readonly functionToApply?: LabelFunction | undefined;
}

export const CLASSIFICATION: OwnNames<ClassificationOptions> = { topK: 1, functionToApply: 1 };

/**
 * @returns per text its labels, best first
 * @throws ModelError when the model has no classifier of sequences
 */
export function classifyText(
  pretrained: Pretrained,
  inputs: readonly TextInput[],
  options: ClassificationOptions = {},
): Promise<Classification[][]> {
  return runTask(planTextClassification, pretrained, inputs, options);
}

export function planTextClassification(
  pretrained: Pretrained,
  options: ClassificationOptions = {},
): Plan<TextInput, Classification[]> {
  requireOptions("text-classification", options, CLASSIFICATION);
  const { labels } = pretrained.model.config;
  const { topK = 1, functionToApply } = options;
  const { wanted, size, encode, run } = scorerOf(pretrained, "text classification", options);
  requireSound(pretrained, "id2label");
  if (topK !== null) requireCount("topK", topK);
  const apply = activationOf(pretrained, size, functionToApply);
  return {
    wanted,
    prepare: (input) => ({
      sequences: [encode(input)],
      finish([output]) {
        const scores = apply(run(output!));
        const ranked = Array.from(scores, (score, i) => ({
          label: labels.length === size ? labels[i]! : `LABEL_${i}`,
          score,
        }));
        ranked.sort((a, b) => b.score - a.score);
        return topK === null ? ranked : ranked.slice(0, topK);
      },
    }),
  };
}

/**
 * The logits of a classifier of sequences, or those of a cross-encoder that is made of modules.
 * @throws ModelError when the model has neither
 */
export function scorerOf(
  pretrained: Pretrained,
  task: string,
  options: PromptOptions & Pick<TaskOptions, "onWarning">,
): Chain {
  const own = taken(pretrained, true);
  const chain = chainOf(own, own.sentence?.modules ?? [], "scores", options);
  if ("logits" in chain.wanted) requireClassifier(pretrained, "sequence", task);
  return chain;
}

/** A text or a pair, cut with a warning where it is too long. */
export function encodeInput(pretrained: Pretrained, input: TextInput, options: TaskOptions): Encoding {
  return encodeCut(pretrained, ...textsOf(input), options);
}

/** From a sequence's logits to scores. */
export type LabelFunction = "softmax" | "sigmoid" | "none";

/**
 * What is asked for, else what CrossEncoder of sentence-transformers would apply to a model of its own, else what
 * transformers would: of a single label a sigmoid, since a softmax over it is always 1.
 * @throws ModelError for a function that is unknown
 */
export function activationOf(pretrained: Pretrained, labels: number, asked?: LabelFunction): Activation {
  const { config, name } = pretrained.model;
  const own = pretrained.sentence?.activationFn ?? config.activationFn;
  const path = asked || typeof own !== "string" ? TORCH[asked ?? usual(pretrained, labels)] : own;
  const activation = activationAt(path);
  if (activation) return activation;
  throw new ModelError(name, [`its activation_fn is ${JSON.stringify(path)}; there are ${activationNames()}`]);
}

function usual(pretrained: Pretrained, labels: number): LabelFunction {
  if (pretrained.sentence?.crossEncoder || pretrained.model.config.activationFn === null)
    return labels === 1 ? "sigmoid" : "none";
  requireSound(pretrained, "problem_type");
  const { problemType } = pretrained.model.config;
  if (problemType === "regression") return "none";
  return problemType === "multi_label_classification" || labels === 1 ? "sigmoid" : "softmax";
}

const TORCH = { none: "torch.nn.Identity", sigmoid: "torch.nn.Sigmoid", softmax: "torch.nn.Softmax" };

/** Where the largest value stands; the first of equals. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}
