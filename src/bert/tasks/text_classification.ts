/** text-classification: labels of texts or of pairs (the `text-classification` pipeline of transformers), and scores of logits. */

import type { Encoding } from "../tokenizer/tokenizer.ts";
import type { Plan } from "./plan.ts";
import {
  encodeCut,
  type OwnNames,
  type Pretrained,
  requireClassifier,
  requireCount,
  requireOptions,
  requireSound,
  sequenceOf,
  type TaskOptions,
  type TextInput,
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
  /** Default: none for regression, sigmoid for one label or several at once, else softmax. */
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
  requireClassifier(pretrained, "sequence", "text classification");
  requireSound(pretrained, "id2label");
  const { topK = 1, functionToApply } = options;
  if (functionToApply === undefined) requireSound(pretrained, "problem_type");
  if (topK !== null) requireCount("topK", topK);
  return {
    wanted: { logits: true },
    prepare: (input) => ({
      sequences: [sequenceOf(encodeInput(pretrained, input, options))],
      finish([output]) {
        const logits = output!.logits!;
        const scores = scoresOf(logits, functionToApply ?? defaultFunction(pretrained, logits.length));
        const ranked = Array.from(scores, (score, i) => ({ label: labels[i] ?? `LABEL_${i}`, score }));
        ranked.sort((a, b) => b.score - a.score);
        return topK === null ? ranked : ranked.slice(0, topK);
      },
    }),
  };
}

/** A text or a pair, cut with a warning where it is too long. */
export function encodeInput(pretrained: Pretrained, input: TextInput, options: TaskOptions): Encoding {
  return typeof input === "string"
    ? encodeCut(pretrained, input, undefined, options)
    : encodeCut(pretrained, input.text, input.pair, options);
}

/** As transformers chooses: a single label gets a sigmoid, since a softmax over it is always 1. */
export function defaultFunction(pretrained: Pretrained, labels: number): LabelFunction {
  const { config } = pretrained.model;
  requireSound(pretrained, "problem_type");
  if (config.problemType === "regression") return "none";
  return config.problemType === "multi_label_classification" || labels === 1 ? "sigmoid" : "softmax";
}

export type LabelFunction = "softmax" | "sigmoid" | "none";

export function softmaxOf(logits: ArrayLike<number>): Float64Array {
  const values = Float64Array.from(logits);
  const largest = values.reduce((most, x) => Math.max(most, x), Number.NEGATIVE_INFINITY);
  const powers = values.map((x) => Math.exp(x - largest));
  const sum = powers.reduce((total, x) => total + x, 0);
  return powers.map((x) => x / sum);
}

export function sigmoidOf(logits: ArrayLike<number>): Float64Array {
  return Float64Array.from(logits, (x) => 1 / (1 + Math.exp(-x)));
}

export function scoresOf(logits: ArrayLike<number>, apply: LabelFunction): Float64Array {
  if (apply === "softmax") return softmaxOf(logits);
  return apply === "sigmoid" ? sigmoidOf(logits) : Float64Array.from(logits);
}

/** Where the largest value stands; the first of equals. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}
