/** multiple-choice: which ending goes best with a beginning (BertForMultipleChoice). */

import { requireList } from "../../files/options.ts";
import { softmaxOf } from "./activations.ts";
import type { Plan } from "./plan.ts";
import {
  encodeCut,
  type Pretrained,
  requireClassifier,
  requireOptions,
  sequenceOf,
  type TaskOptions,
} from "./pretrained.ts";
import { runTask } from "./stream.ts";
import { argmax } from "./text_classification.ts";

export interface ChoiceQuestion {
  /** A beginning, or a question. */
  readonly prompt: string;
  readonly choices: readonly string[];
}

export interface ChoiceResult {
  /** The likeliest choice, counted from 0. */
  readonly index: number;
  readonly choice: string;
  /** Its probability. */
  readonly score: number;
  /** Probability per choice, in the order given; together 1. */
  readonly scores: readonly number[];
}

/** @throws ModelError when the model is not one of multiple choice; RangeError without choices */
export function choose(
  pretrained: Pretrained,
  inputs: readonly ChoiceQuestion[],
  options: TaskOptions = {},
): Promise<ChoiceResult[]> {
  return runTask(planMultipleChoice, pretrained, inputs, options);
}

export function planMultipleChoice(
  pretrained: Pretrained,
  options: TaskOptions = {},
): Plan<ChoiceQuestion, ChoiceResult> {
  requireOptions("multiple-choice", options, {});
  requireClassifier(pretrained, "choice", "multiple choice");
  return {
    wanted: { logits: true },
    prepare({ prompt, choices }, index) {
      requireList(`input ${index + 1}: choices`, choices);
      if (choices.length === 0) throw new RangeError(`input ${index + 1} has no choices, at least 1 is needed`);
      return {
        sequences: choices.map((choice) => sequenceOf(encodeCut(pretrained, prompt, choice, options))),
        finish(outputs) {
          const scores = Array.from(softmaxOf(outputs.map(({ logits }) => logits![0]!)));
          const best = argmax(scores);
          return { index: best, choice: choices[best]!, score: scores[best]!, scores };
        },
      };
    },
  };
}
