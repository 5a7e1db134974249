/** The model that ships with the package against golden.json in its folder: float64 values of the same stored weights. */

import { fillMask } from "../../src/bert/tasks/fill_mask.ts";
import type { Pretrained } from "../../src/bert/tasks/pretrained.ts";
import { classifyText } from "../../src/bert/tasks/text_classification.ts";
import type { Scalar } from "../../src/kernels/kernel.ts";

export interface Golden {
  readonly classification: readonly { text: string; ids: number[]; probabilities: number[] }[];
  readonly fill_mask: readonly { text: string; ids: number[]; top5: [token: string, probability: number][] }[];
}

/**
 * Largest error of a probability, and relative gap below which two neighbours of a top five may stand in each other's place.
 *
 * f32: the stored f16 weights are exact in f32, so what is left is rounding, in sums of at most 768 terms over three
 * layers. 4.6e-7 was the largest seen (lavapipe and SwiftShader); the bound leaves room for a GPU that adds up in another
 * order or whose exp and tanh are a few ulp off, and is ten times tighter than the 1e-4 that a user would notice.
 *
 * f16: activations keep 11 bits and logits near 10 step by 2^-7, which moves a probability by up to 0.2%. 4.4e-4 was seen.
 * In "too long" the fourth and fifth word are only 0.8% apart.
 */
export const GOLDEN_BOUNDS: Readonly<Record<Scalar, { readonly error: number; readonly swap: number }>> = {
  f32: { error: 1e-5, swap: 0 },
  f16: { error: 5e-3, swap: 0.02 },
};

export interface GoldenFound {
  readonly texts: number;
  /** The largest error of a probability, and what is allowed. */
  readonly error: number;
  readonly bound: number;
  /** What is wrong, in words; none for a model that is right. */
  readonly faults: readonly string[];
}

/** Classifies and fills all texts, in one batch each. */
export async function checkGolden(pretrained: Pretrained, golden: Golden, dtype: Scalar): Promise<GoldenFound> {
  const { error: bound, swap } = GOLDEN_BOUNDS[dtype];
  const faults: string[] = [];
  let largest = 0;
  const hold = (what: string, got: number, want: number): void => {
    const error = Math.abs(got - want);
    if (!(error <= largest)) largest = error;
    if (!(error < bound)) faults.push(`${what} is ${got}, it must be ${want}, give or take ${bound}`);
  };
  const { labels } = pretrained.model.config;
  const classified = await classifyText(
    pretrained,
    golden.classification.map(({ text }) => text),
    { topK: null },
  );
  for (const [i, { text, probabilities }] of golden.classification.entries()) {
    for (const { label, score } of classified[i]!) {
      const at = labels.indexOf(label);
      hold(`"${text}": ${label}`, score, probabilities[at]!);
    }
  }
  const filled = await fillMask(
    pretrained,
    golden.fill_mask.map(({ text }) => text),
  );
  for (const [i, { text, top5 }] of golden.fill_mask.entries()) {
    const words = new Map(top5);
    for (const [rank, { token_str: word, score }] of filled[i]![0]!.entries()) {
      const want = words.get(word);
      if (want === undefined || !(Math.abs(want / top5[rank]![1] - 1) <= swap)) {
        faults.push(`"${text}": ${word} is in place ${rank + 1}, it must be ${top5[rank]![0]}`);
      } else hold(`"${text}": ${word}`, score, want);
    }
  }
  return { texts: golden.classification.length + golden.fill_mask.length, error: largest, bound, faults };
}
