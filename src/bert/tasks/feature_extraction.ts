/** feature-extraction: the vectors of a text's tokens (the `feature-extraction` pipeline of transformers). */

import type { Values } from "../outputs.ts";
import type { Plan } from "./plan.ts";
import { type Pretrained, requireOptions, sequenceOf, type TaskOptions, type TextInput } from "./pretrained.ts";
import { runTask } from "./stream.ts";
import { encodeInput } from "./text_classification.ts";

/** @returns per text the last hidden state of its tokens, special tokens included: [tokens, hidden] */
export function extractFeatures(
  pretrained: Pretrained,
  inputs: readonly TextInput[],
  options: TaskOptions = {},
): Promise<Values[]> {
  return runTask(planFeatureExtraction, pretrained, inputs, options);
}

export function planFeatureExtraction(pretrained: Pretrained, options: TaskOptions = {}): Plan<TextInput, Values> {
  requireOptions("feature-extraction", options, {});
  return {
    wanted: { lastHiddenState: true },
    prepare: (input) => ({
      sequences: [sequenceOf(encodeInput(pretrained, input, options))],
      finish([output]) {
        const data = output!.lastHiddenState!.slice();
        return { shape: [output!.length, data.length / output!.length], data };
      },
    }),
  };
}
