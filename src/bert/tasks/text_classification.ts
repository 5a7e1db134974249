/** text-classification: labels of texts or of pairs (the `text-classification` pipeline of transformers). */

import { ModelError } from "../config.ts";
import {
  batchesOf,
  encodeInputs,
  type Pretrained,
  sequenceOf,
  type TaskOptions,
  type TextInput,
} from "./pretrained.ts";

export interface Classification {
  readonly label: string;
  /** A probability, or the bare logit where no function is applied. */
  readonly score: number;
}

export type LabelFunction = "softmax" | "sigmoid" | "none";

export interface ClassificationOptions extends TaskOptions {
  /** Labels per text, best first; default 1. `null`: all. */
  readonly topK?: number | null | undefined;
  /** Default: none for regression, sigmoid for one label or several at once, else softmax. */
  readonly functionToApply?: LabelFunction | undefined;
}

/**
 * @returns per text its labels, best first
 * @throws ModelError when the model has no classifier of sequences
 */
export async function classifyText(
  pretrained: Pretrained,
  inputs: readonly TextInput[],
  options: ClassificationOptions = {},
): Promise<Classification[][]> {
  const { model } = pretrained;
  if (!model.has("logits") || model.classifierKind !== "sequence") {
    const kind = model.classifierKind ? `its classifier is of ${model.classifierKind}s` : "it has no classifier";
    throw new ModelError(model.name, [`text classification needs a classifier of sequences; ${kind}`]);
  }
  const topK = options.topK === undefined ? 1 : options.topK;
  if (topK !== null && !(Number.isInteger(topK) && topK >= 1)) {
    throw new RangeError(`topK is ${topK}, it must be an integer from 1, or null for all labels`);
  }
  const encodings = encodeInputs(pretrained, inputs, options);
  const results: Classification[][] = [];
  for (const { begin, end } of batchesOf(
    encodings.map(({ ids }) => ids.length),
    options.tokenBudget,
  )) {
    const forward = await model.forward(encodings.slice(begin, end).map(sequenceOf), { logits: true }, options);
    const { shape, data } = forward.logits!;
    const labels = shape[1]!;
    const apply = options.functionToApply ?? defaultFunction(pretrained, labels);
    for (let row = 0; row < shape[0]!; row++) {
      const scores = scoresOf(data.subarray(row * labels, (row + 1) * labels), apply);
      const ranked = Array.from(scores, (score, i) => ({ label: model.config.labels[i] ?? `LABEL_${i}`, score }));
      ranked.sort((a, b) => b.score - a.score);
      results.push(topK === null ? ranked : ranked.slice(0, topK));
    }
  }
  return results;
}

function defaultFunction({ model: { config } }: Pretrained, labels: number): LabelFunction {
  if (config.problemType === "regression") return "none";
  return config.problemType === "multi_label_classification" || labels === 1 ? "sigmoid" : "softmax";
}

function scoresOf(logits: Float32Array, apply: LabelFunction): Float64Array {
  const scores = Float64Array.from(logits);
  if (apply === "none") return scores;
  if (apply === "sigmoid") return scores.map((x) => 1 / (1 + Math.exp(-x)));
  const largest = Math.max(...scores);
  const powers = scores.map((x) => Math.exp(x - largest));
  const sum = powers.reduce((total, x) => total + x, 0);
  return powers.map((x) => x / sum);
}
