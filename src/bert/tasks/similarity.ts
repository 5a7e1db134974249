/** sentence-similarity: how close sentences are to one (the task of that name on the Hugging Face hub). */

import { requireList } from "../../files/options.ts";
import type { Plan } from "./plan.ts";
import { type Pretrained, requireOptions } from "./pretrained.ts";
import { createEmbedder, VECTOR_OPTIONS, type VectorOptions } from "./sentence_embedding.ts";
import { runTask } from "./stream.ts";
import { SIMILARITIES, type SimilarityName } from "./vectors.ts";

/** The field names are those of the hub. */
export interface SimilarityInput {
  readonly source_sentence: string;
  readonly sentences: readonly string[];
}

export interface SimilarityOptions extends VectorOptions {
  /** Default: as the folder says, else `cosine`. Distances are negative, so that more is closer. */
  readonly similarity?: SimilarityName | undefined;
}

/** @returns per input, per sentence its similarity to the source */
export function compareSentences(
  pretrained: Pretrained,
  inputs: readonly SimilarityInput[],
  options: SimilarityOptions = {},
): Promise<number[][]> {
  return runTask(planSimilarity, pretrained, inputs, options);
}

export function planSimilarity(
  pretrained: Pretrained,
  options: SimilarityOptions = {},
): Plan<SimilarityInput, number[]> {
  requireOptions("sentence-similarity", options, { similarity: 1, ...VECTOR_OPTIONS });
  const embedder = createEmbedder(pretrained, options);
  const similarity = SIMILARITIES[options.similarity ?? pretrained.sentence?.similarity ?? "cosine"];
  return {
    wanted: embedder.wanted,
    prepare({ source_sentence, sentences }, index) {
      requireList(`input ${index + 1}: sentences`, sentences);
      return {
        sequences: [source_sentence, ...sentences].map(embedder.encode),
        finish(outputs) {
          const [source, ...vectors] = outputs.map(embedder.vector);
          return vectors.map((vector) => similarity(source!, vector));
        },
      };
    },
  };
}
