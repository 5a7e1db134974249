/** text-ranking: documents in the order in which they answer a query. */

import { lateInteractionOf } from "./late_interaction.ts";
import type { Plan } from "./plan.ts";
import {
  encodeCut,
  type Pretrained,
  requireClassifier,
  requireCount,
  requireOptions,
  sequenceOf,
} from "./pretrained.ts";
import { createEmbedder, VECTOR_OPTIONS } from "./sentence_embedding.ts";
import type { SimilarityOptions } from "./similarity.ts";
import { runTask } from "./stream.ts";
import { defaultFunction, type LabelFunction, scoresOf } from "./text_classification.ts";
import { SIMILARITIES } from "./vectors.ts";

export interface RankingInput {
  readonly query: string;
  readonly documents: readonly string[];
}

export type RankingMethod = "cross-encoder" | "late-interaction" | "embeddings";

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
   * `cross-encoder` reads query and document together, which needs a classifier with one label. `late-interaction` compares
   * their tokens' vectors, which needs ColBERT's projection. `embeddings` compares a vector of each. Default: what the model
   * has been made for, else `embeddings`.
   */
  readonly method?: RankingMethod | undefined;
  /** For a cross-encoder; default sigmoid, none for regression. */
  readonly functionToApply?: LabelFunction | undefined;
}

/**
 * @returns per query its documents, best first; equal ones in the order given
 * @throws ModelError when the model lacks what the method needs
 */
export function rerank(
  pretrained: Pretrained,
  inputs: readonly RankingInput[],
  options: RankingOptions = {},
): Promise<RankedDocument[][]> {
  return runTask(planRanking, pretrained, inputs, options);
}

export function planRanking(
  pretrained: Pretrained,
  options: RankingOptions = {},
): Plan<RankingInput, RankedDocument[]> {
  requireOptions("text-ranking", options, { topK: 1, method: 1, functionToApply: 1, similarity: 1, ...VECTOR_OPTIONS });
  const { model } = pretrained;
  const topK = options.topK === undefined ? undefined : requireCount("topK", options.topK);
  const able = model.has("logits") && model.classifierKind === "sequence" && model.config.labels.length === 1;
  const interacts = model.has("tokenEmbeddings") ? "late-interaction" : undefined;
  const method = options.method ?? interacts ?? (able ? "cross-encoder" : "embeddings");
  const plan = SCORERS[method](pretrained, options);
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

function lateInteraction(pretrained: Pretrained, options: RankingOptions): Plan<RankingInput, number[]> {
  const { encodeQuery, encodeDocument, score } = lateInteractionOf(pretrained, options);
  return {
    wanted: { tokenEmbeddings: true },
    prepare({ query, documents }) {
      const encoded = documents.map(encodeDocument);
      return {
        sequences: [encodeQuery(query), ...encoded.map(({ sequence }) => sequence)],
        finish: ([asked, ...outputs]) => outputs.map((output, i) => score(asked!, output, encoded[i]!.kept)),
      };
    },
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

const SCORERS = { "cross-encoder": crossEncoder, "late-interaction": lateInteraction, embeddings: biEncoder };
