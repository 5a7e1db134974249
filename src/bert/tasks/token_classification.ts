/** token-classification: named entities and other labels of words (the pipeline of that name in transformers). */

import { requireList } from "../../files/options.ts";
import type { Encoding, Tokenizer } from "../tokenizer/tokenizer.ts";
import { softmaxOf } from "./activations.ts";
import {
  type AggregationStrategy,
  type Entity,
  groupEntities,
  mergeOverlapping,
  type ScoredToken,
  type TokenEntity,
  tokenEntities,
} from "./entities.ts";
import type { Plan } from "./plan.ts";
import {
  defaultStride,
  encodeCut,
  encodeWindows,
  type OwnNames,
  type Pretrained,
  requireClassifier,
  requireOptions,
  requireSound,
  sequenceOf,
  type TaskOptions,
} from "./pretrained.ts";
import { runTask } from "./stream.ts";

/** A text, or its words: a list of strings is one input, split already. */
export type TaggedInput = string | readonly string[];

export interface TokenClassificationOptions extends TaskOptions {
  /**
   * `none` (default): every token by itself. `simple`: neighbours of one label are one entity. `first`, `average`, `max`:
   * as `simple`, after the pieces of a word have agreed: on the first one's label, on the largest mean, on the largest score.
   */
  readonly aggregationStrategy?: AggregationStrategy | undefined;
  /** Labels or groups to leave out; default ["O"]. */
  readonly ignoreLabels?: readonly string[] | undefined;
  /** Tokens that two windows over a long text share; default 128. Where they disagree, the longer, then the likelier entity stays. */
  readonly stride?: number | undefined;
  /** Cut a text that is too long, with a warning, instead of going over it in windows. Default false. */
  readonly truncation?: boolean | undefined;
  /** Between words that come split; default a space. Offsets refer to the words so joined. */
  readonly delimiter?: string | undefined;
}

export const TOKEN_CLASSIFICATION: OwnNames<TokenClassificationOptions> = {
  aggregationStrategy: 1,
  ignoreLabels: 1,
  stride: 1,
  truncation: 1,
  delimiter: 1,
};

/**
 * @returns per text its entities in order; offsets are in UTF-16 units of the text as given. With a strategy but `none`
 * they have `entity_group`, else `entity` and `index`, the token's place in its window.
 * @throws ModelError when the model has no classifier of tokens
 */
export function classifyTokens(
  pretrained: Pretrained,
  inputs: readonly TaggedInput[],
  options: TokenClassificationOptions = {},
): Promise<Entity[][]> {
  return runTask(planTokenClassification, pretrained, inputs, options);
}

export function planTokenClassification(
  pretrained: Pretrained,
  options: TokenClassificationOptions = {},
): Plan<TaggedInput, Entity[]> {
  requireOptions("token-classification", options, TOKEN_CLASSIFICATION);
  requireClassifier(pretrained, "token", "token classification");
  requireSound(pretrained, "id2label");
  const { model, tokenizer } = pretrained;
  const { aggregationStrategy: strategy = "none", ignoreLabels = ["O"], truncation, delimiter = " " } = options;
  requireList("ignoreLabels", ignoreLabels);
  const stride = options.stride ?? defaultStride(pretrained);
  const label = (id: number): string => model.config.labels[id] ?? `LABEL_${id}`;
  const kept = (entity: Entity): boolean =>
    !ignoreLabels.includes("entity" in entity ? entity.entity : entity.entity_group);
  return {
    wanted: { logits: true },
    prepare(input) {
      const windows = truncation
        ? [encodeCut(pretrained, input, undefined, { onWarning: options.onWarning })]
        : encodeWindows(pretrained, input, stride);
      const text = typeof input === "string" ? input : input.join(delimiter);
      const starts = typeof input === "string" ? undefined : wordStarts(input, delimiter);
      return {
        sequences: windows.map(sequenceOf),
        finish(outputs) {
          const found = outputs.flatMap(({ logits, length }, w): Entity[] => {
            const tokens = scoredTokens(tokenizer, windows[w]!, logits!, length, text, starts);
            const entities =
              strategy === "none" ? tokenEntities(tokens, label) : groupEntities(tokens, strategy, label);
            return entities.filter(kept);
          });
          return windows.length > 1 ? mergeOverlapping(found) : found;
        },
      };
    },
  };
}

export type { EntityGroup } from "./entities.ts";
export type { AggregationStrategy, Entity, TokenEntity };

function scoredTokens(
  { special, idToToken }: Tokenizer,
  { ids, offsets, wordIds, specialTokensMask }: Encoding,
  logits: Float32Array,
  length: number,
  text: string,
  starts: readonly number[] | undefined,
): ScoredToken[] {
  const labels = logits.length / length;
  const scored: ScoredToken[] = [];
  for (let i = 0; i < length; i++) {
    if (specialTokensMask[i] === 1) continue;
    const shift = starts?.[wordIds[i]!] ?? 0;
    const [start, end] = [offsets[i]![0] + shift, offsets[i]![1] + shift];
    const surface = text.slice(start, end);
    const token = idToToken(ids[i]!)!;
    const unknown = ids[i] === special.unk;
    // as in transformers: what is spelt otherwise than its text, with ##, goes on with a word; the words of a text that
    // came split hold punctuation as well, which does not
    const spelt = codePoints(token) !== codePoints(surface);
    scored.push({
      word: unknown ? surface : token,
      inside: !unknown && spelt && wordIds[i] === wordIds[i - 1],
      scores: softmaxOf(logits.subarray(i * labels, (i + 1) * labels)),
      index: i,
      start,
      end,
    });
  }
  return scored;
}

function wordStarts(words: readonly string[], delimiter: string): number[] {
  let at = 0;
  return words.map((word) => {
    const start = at;
    at += word.length + delimiter.length;
    return start;
  });
}

function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
