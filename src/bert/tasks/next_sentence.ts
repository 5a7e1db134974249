/** next-sentence prediction: whether one text follows another (the head that BERT was pre-trained with). */

import { softmaxOf } from "./activations.ts";
import type { Plan } from "./plan.ts";
import { encodeCut, type Pretrained, requireHead, requireOptions, sequenceOf, type TaskOptions } from "./pretrained.ts";
import { runTask } from "./stream.ts";

export interface SentencePair {
  readonly text: string;
  /** What may follow. */
  readonly pair: string;
}

export interface NextSentence {
  /** Probability that `pair` follows `text`. */
  readonly score: number;
  /** Whether that is more likely than not. */
  readonly is_next: boolean;
}

/** @throws ModelError when the model has no such head */
export function predictNextSentence(
  pretrained: Pretrained,
  inputs: readonly SentencePair[],
  options: TaskOptions = {},
): Promise<NextSentence[]> {
  return runTask(planNextSentence, pretrained, inputs, options);
}

export function planNextSentence(pretrained: Pretrained, options: TaskOptions = {}): Plan<SentencePair, NextSentence> {
  requireOptions("next-sentence-prediction", options, {});
  requireHead(pretrained, "seqRelationshipLogits", "next-sentence prediction", "a next-sentence head");
  return {
    wanted: { seqRelationshipLogits: true },
    prepare: ({ text, pair }) => ({
      sequences: [sequenceOf(encodeCut(pretrained, text, pair, options))],
      finish([output]) {
        const [score] = softmaxOf(output!.seqRelationshipLogits!); // class 0: it follows
        return { score: score!, is_next: score! > 0.5 };
      },
    }),
  };
}
