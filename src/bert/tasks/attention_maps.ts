/** Attention maps: who looks at whom, for every layer and head. */

import type { Values } from "../outputs.ts";
import type { Plan } from "./plan.ts";
import { type Pretrained, requireOptions, sequenceOf, type TaskOptions, type TextInput } from "./pretrained.ts";
import { runTask } from "./stream.ts";
import { encodeInput } from "./text_classification.ts";

export interface AttentionMaps {
  readonly tokens: readonly string[];
  /** [start, end) of each token in UTF-16 units of its text; [0, 0] for special tokens. */
  readonly offsets: readonly (readonly [start: number, end: number])[];
  /** Per layer [heads, tokens, tokens]: how much a token (second axis) attends to each (third axis); rows sum to 1. */
  readonly attentions: readonly Values[];
}

/** Memory grows with the square of a text's length: 12 heads of 12 layers over 512 tokens are 151 MB. */
export function mapAttention(
  pretrained: Pretrained,
  inputs: readonly TextInput[],
  options: TaskOptions = {},
): Promise<AttentionMaps[]> {
  return runTask(planAttentionMaps, pretrained, inputs, options);
}

export function planAttentionMaps(pretrained: Pretrained, options: TaskOptions = {}): Plan<TextInput, AttentionMaps> {
  requireOptions("attention-maps", options, {});
  return {
    wanted: { attentions: true },
    prepare(input) {
      const encoding = encodeInput(pretrained, input, options);
      const { tokens, offsets } = encoding;
      return {
        sequences: [sequenceOf(encoding)],
        finish: ([output]) => ({
          tokens,
          offsets,
          attentions: output!.attentions!.map(({ shape, data }) => ({ shape, data: data.slice() })),
        }),
      };
    },
  };
}
