/** sparse-embedding: word pieces and their weights, by which texts can be looked up in an index of words (SPLADE). */

import { choiceOf, countOf, has } from "../tokenizer/fields.ts";
import type { Plan } from "./plan.ts";
import {
  encodeCut,
  maxLength,
  type Pretrained,
  requireCount,
  requireHead,
  requireOptions,
  sequenceOf,
  type TaskOptions,
} from "./pretrained.ts";
import { readSetting, SPLADE_CONFIG } from "./settings.ts";
import { runTask } from "./stream.ts";

/** A word piece's weight; those that are not there weigh nothing. */
export interface SparseEntry {
  /** Token id. */
  readonly index: number;
  /** Above 0. */
  readonly value: number;
}

export interface SparseOptions extends TaskOptions {
  /** Keep only the k heaviest; default all. */
  readonly topK?: number | undefined;
}

/**
 * Any masked-LM head can be asked, but only one trained for it gives useful weights. Of a SparseEncoder of
 * sentence-transformers, the folder says how long texts may be and which logarithm is taken.
 * @returns per text the word pieces it is about, heaviest first; the dot product of two texts is how well they match
 * @throws ModelError when the model has no masked-LM head, or sums over tokens: the maximum is run
 */
export function embedSparse(
  pretrained: Pretrained,
  texts: readonly string[],
  options: SparseOptions = {},
): Promise<SparseEntry[][]> {
  return runTask(planSparseEmbedding, pretrained, texts, options);
}

export function planSparseEmbedding(pretrained: Pretrained, options: SparseOptions = {}): Plan<string, SparseEntry[]> {
  requireOptions("sparse-embedding", options, { topK: 1 });
  requireHead(pretrained, "sparseEmbedding", "a sparse embedding", "a masked-LM head");
  const topK = options.topK === undefined ? undefined : requireCount("topK", options.topK);
  const twice = readSetting(pretrained, SPLADE_CONFIG, (fields) => {
    choiceOf(fields, "pooling_strategy", ["max"], "max");
    return choiceOf(fields, "activation_function", ["relu", "log1p_relu"], "relu") === "log1p_relu";
  });
  const longest = readSetting(pretrained, "sentence_bert_config.json", (fields) =>
    has(fields, "max_seq_length") ? countOf(fields, "max_seq_length", 3, 1 << 20) : undefined,
  );
  const most = Math.min(longest ?? Number.POSITIVE_INFINITY, maxLength(pretrained));
  return {
    wanted: { sparseEmbedding: true },
    prepare: (text) => ({
      sequences: [sequenceOf(encodeCut(pretrained, text, undefined, { most, onWarning: options.onWarning }))],
      finish([output]) {
        const entries: SparseEntry[] = [];
        output!.sparseEmbedding!.forEach((value, index) => {
          if (value > 0) entries.push({ index, value: twice ? Math.log1p(value) : value });
        });
        return entries.sort((a, b) => b.value - a.value).slice(0, topK);
      },
    }),
  };
}
