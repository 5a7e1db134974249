/** text-ranking: documents in the order in which they answer a query. */

import type { Plan } from "./plan.ts";
import { encodeCut, type Pretrained, requireClassifier, requireCount, sequenceOf } from "./pretrained.ts";
import { type LabelFunction, scoresOf } from "./scores.ts";
import { createEmbedder } from "./sentence_embedding.ts";
import type { SimilarityOptions } from "./similarity.ts";
import { runPlan } from "./stream.ts";
import { defaultFunction } from "./text_classification.ts";
import { SIMILARITIES } from "./vectors.ts";

export interface RankingInput {
  readonly query: string;
  readonly documents: readonly string[];
}

/** The field names are those of sentence-transformers' `rank`. */
export interface RankedDocument {
  /** The document's place among those given, from 0. */
  readonly corpus_id: number;
  readonly score: number;
  readonly text: string;
}

export interface RankingOptions extends SimilarityOptions {
  /** Documents to return; default all. */
  readonly topK?: number | undefined;
  /**
   * `cross-encoder` reads query and document together, which needs a classifier with one label. `embeddings` compares
   * their vectors. Default: the former where the model can, else the latter.
   */
  readonly method?: "cross-encoder" | "embeddings" | undefined;
  /** For a cross-encoder; default sigmoid, none for regression. */
  readonly functionToApply?: LabelFunction | undefined;
}

/**
 * @returns per query its documents, best first; equal ones in the order given
 * @throws ModelError when a cross-encoder is asked for and the model is none
 */
export function rerank(
  pretrained: Pretrained,
  inputs: readonly RankingInput[],
  options: RankingOptions = {},
): Promise<RankedDocument[][]> {
  return runPlan(pretrained.model, planRanking(pretrained, options), inputs, options);
}

export function planRanking(
  pretrained: Pretrained,
  options: RankingOptions = {},
): Plan<RankingInput, RankedDocument[]> {
  const { model } = pretrained;
  const topK = options.topK === undefined ? undefined : requireCount("topK", options.topK);
  const able = model.has("logits") && model.classifierKind === "sequence" && model.config.labels.length === 1;
  const method = options.method ?? (able ? "cross-encoder" : "embeddings");
  const plan = method === "cross-encoder" ? crossEncoder(pretrained, options) : biEncoder(pretrained, options);
  return {
    wanted: plan.wanted,
    prepare(input, index) {
      const { sequences, finish } = plan.prepare(input, index);
      return {
        sequences,
        finish: (outputs) =>
          finish(outputs)
            .map((score, i): RankedDocument => ({ corpus_id: i, score, text: input.documents[i]! }))
            .sort((a, b) => b.score - a.score)
            .slice(0, topK),
      };
    },
  };
}

function crossEncoder(pretrained: Pretrained, options: RankingOptions): Plan<RankingInput, number[]> {
  requireClassifier(pretrained, "sequence", "ranking with a cross-encoder");
  const { length } = pretrained.model.config.labels;
  if (length !== 1) throw new RangeError(`ranking with a cross-encoder needs 1 label, the model has ${length}`);
  const apply = options.functionToApply ?? defaultFunction(pretrained, 1);
  return {
    wanted: { logits: true },
    prepare: ({ query, documents }) => ({
      sequences: documents.map((text) => sequenceOf(encodeCut(pretrained, query, text, options))),
      finish: (outputs) => outputs.map(({ logits }) => scoresOf(logits!, apply)[0]!),
    }),
  };
}

/** Query and documents with the prompts that the folder has for them. */
function biEncoder(pretrained: Pretrained, options: RankingOptions): Plan<RankingInput, number[]> {
  const own = pretrained.sentence?.prompts ?? {};
  const asked = options.prompt !== undefined || options.promptName !== undefined;
  const named = (...names: string[]) =>
    createEmbedder(
      pretrained,
      asked ? options : { ...options, promptName: names.find((name) => Object.hasOwn(own, name)) },
    );
  const [asking, answering] = [named("query"), named("document", "passage", "corpus")];
  const similarity = SIMILARITIES[options.similarity ?? pretrained.sentence?.similarity ?? "cosine"];
  return {
    wanted: asking.wanted,
    prepare: ({ query, documents }) => ({
      sequences: [asking.encode(query), ...documents.map(answering.encode)],
      finish([first, ...others]) {
        const vector = asking.vector(first!);
        return others.map((output) => similarity(vector, answering.vector(output)));
      },
    }),
  };
}
