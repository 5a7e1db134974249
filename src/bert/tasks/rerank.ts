/** text-ranking: documents in the order in which they answer a query. */

import { requireList } from "../../files/options.ts";
import { ModelError } from "../config.ts";
import { lateInteractionOf } from "./late_interaction.ts";
import { taken } from "./module_chain.ts";
import type { Plan } from "./plan.ts";
import { type Pretrained, requireCount, requireOptions } from "./pretrained.ts";
import { createEmbedder, VECTOR_OPTIONS } from "./sentence_embedding.ts";
import { SPLADE_CONFIG } from "./settings.ts";
import type { SimilarityOptions } from "./similarity.ts";
import { runTask } from "./stream.ts";
import { activationOf, type LabelFunction, scorerOf } from "./text_classification.ts";
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
   * has been made for, of an encoder alone `embeddings`; a model made for something else is refused.
   */
  readonly method?: RankingMethod | undefined;
  /** For a cross-encoder; default: as the model says, else sigmoid, none for regression. The order is that of the logits. */
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
  const topK = options.topK === undefined ? undefined : requireCount("topK", options.topK);
  const { wanted, prepare, score } = SCORERS[options.method ?? methodFor(pretrained)](pretrained, options);
  return {
    wanted,
    prepare(input, index) {
      requireList(`input ${index + 1}: documents`, input.documents);
      const { sequences, finish } = prepare(input, index);
      return {
        sequences,
        finish: (outputs) =>
          finish(outputs)
            .map((rank, i) => ({ rank, document: { corpus_id: i, score: score(rank), text: input.documents[i]! } }))
            // what a function makes equal, such as a sigmoid near 1, is told apart by its logits
            .sort((a, b) => b.document.score - a.document.score || b.rank - a.rank)
            .map(({ document }) => document)
            .slice(0, topK),
      };
    },
  };
}

function methodFor({ model, sentence, settings }: Pretrained): RankingMethod {
  if (model.has("tokenEmbeddings")) return "late-interaction";
  if (sentence) return sentence.crossEncoder ? "cross-encoder" : "embeddings";
  if (settings?.has(SPLADE_CONFIG)) {
    throw new ModelError(model.name, ["ranking does not compare sparse embeddings; name another method"]);
  }
  return model.classifierKind === "sequence" ? "cross-encoder" : "embeddings";
}

/** A query's documents by what they rank by, and the score of that. */
interface Scorer extends Plan<RankingInput, number[]> {
  score(rank: number): number;
}

const asItIs = (rank: number): number => rank;

function crossEncoder(pretrained: Pretrained, options: RankingOptions): Scorer {
  const { wanted, size, encode, run } = scorerOf(pretrained, "ranking with a cross-encoder", options);
  if (size !== 1) {
    throw new RangeError(
      `ranking with a cross-encoder needs 1 label, the model has ${size}; the method "embeddings" compares vectors`,
    );
  }
  const apply = activationOf(pretrained, 1, options.functionToApply);
  return {
    wanted,
    prepare: ({ query, documents }) => ({
      sequences: documents.map((pair) => encode({ text: query, pair })),
      finish: (outputs) => outputs.map((output) => run(output)[0]!),
    }),
    score: (logit) => apply([logit])[0]!,
  };
}

function lateInteraction(pretrained: Pretrained, options: RankingOptions): Scorer {
  const { encodeQuery, encodeDocument, score } = lateInteractionOf(pretrained, options);
  return {
    wanted: { tokenEmbeddings: true },
    score: asItIs,
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
function biEncoder(given: Pretrained, options: RankingOptions): Scorer {
  const pretrained = taken(given, false);
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
    score: asItIs,
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
