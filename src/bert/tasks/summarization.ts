/**
 * summarization, extractive: the sentences of a text that say most of it, in their order. Chosen by their vectors, either
 * by maximal marginal relevance (Carbonell & Goldstein 1998) or by degree centrality (Erkan & Radev 2004, LexRank).
 */

import { quote } from "../../files/faults.ts";
import type { Plan } from "./plan.ts";
import { type OwnNames, type Pretrained, requireCount, requireOptions } from "./pretrained.ts";
import { createEmbedder, VECTOR_OPTIONS, type VectorOptions } from "./sentence_embedding.ts";
import { runTask } from "./stream.ts";
import { argmax } from "./text_classification.ts";
import { cosine } from "./vectors.ts";

export interface SummaryOptions extends VectorOptions {
  /** Sentences of a summary; default 3. A text that has no more is its own summary. */
  readonly sentences?: number | undefined;
  /**
   * `mmr` (default): one after another, those close to the text's mean and far from what is already chosen.
   * `centrality`: those closest to all others on average.
   */
  readonly method?: "mmr" | "centrality" | undefined;
  /** For `mmr`, 0 to 1: how much closeness to the text counts against being unlike what is chosen. Default 0.7. */
  readonly relevance?: number | undefined;
  /** Of the text, to tell where its sentences end, as in BCP 47. Default "en". */
  readonly language?: string | undefined;
}

export const SUMMARY: OwnNames<SummaryOptions, VectorOptions> = { sentences: 1, method: 1, relevance: 1, language: 1 };

export interface SummarySentence {
  readonly text: string;
  /** UTF-16 units. */
  readonly start: number;
  readonly end: number;
  /** What it was chosen for: its centrality, or its marginal relevance. */
  readonly score: number;
}

export interface Summary {
  readonly summary_text: string;
  readonly sentences: readonly SummarySentence[];
}

/** @throws RangeError for options out of range */
export function summarize(
  pretrained: Pretrained,
  texts: readonly string[],
  options: SummaryOptions = {},
): Promise<Summary[]> {
  return runTask(planSummarization, pretrained, texts, options);
}

export function planSummarization(pretrained: Pretrained, options: SummaryOptions = {}): Plan<string, Summary> {
  requireOptions("summarization", options, { ...SUMMARY, ...VECTOR_OPTIONS });
  const embedder = createEmbedder(pretrained, options);
  const most = requireCount("sentences", options.sentences ?? 3);
  const { method = "mmr", relevance = 0.7, language = "en" } = options;
  if (!(relevance >= 0 && relevance <= 1)) throw new RangeError(`relevance is ${relevance}, it must be from 0 to 1`);
  const segmenter = new Intl.Segmenter(language, { granularity: "sentence" });
  return {
    wanted: embedder.wanted,
    prepare(text) {
      if (typeof text !== "string") throw new TypeError(`an input is ${quote(text)}; give a text`);
      const found = sentencesOf(text, segmenter);
      return {
        sequences: found.map(({ text }) => embedder.encode(text)),
        finish(outputs) {
          const vectors = outputs.map(embedder.vector);
          const chosen = method === "mmr" ? byRelevance(vectors, most, relevance) : byCentrality(vectors, most);
          const sentences = [...chosen]
            .sort(([a], [b]) => a - b)
            .map(([i, score]): SummarySentence => ({ ...found[i]!, score }));
          return { summary_text: sentences.map(({ text }) => text).join(" "), sentences };
        },
      };
    },
  };
}

/** By the rules of Unicode (UAX 29) for the language. */
function sentencesOf(text: string, segmenter: Intl.Segmenter): { text: string; start: number; end: number }[] {
  return [...segmenter.segment(text)].flatMap(({ segment, index }) => {
    const trimmed = segment.trim();
    const start = index + segment.indexOf(trimmed);
    return trimmed === "" ? [] : [{ text: trimmed, start, end: start + trimmed.length }];
  });
}

/** Sentence to score, at most `most`. */
type Choice = ReadonlyMap<number, number>;

function byCentrality(vectors: readonly Float32Array[], most: number): Choice {
  const scores = vectors.map((vector, i) => {
    const others = vectors.filter((_, j) => j !== i);
    return others.length === 0 ? 1 : others.reduce((sum, other) => sum + cosine(vector, other), 0) / others.length;
  });
  const order = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]!);
  return new Map(order.slice(0, most).map((i) => [i, scores[i]!]));
}

function byRelevance(vectors: readonly Float32Array[], most: number, relevance: number): Choice {
  const center = meanOf(vectors);
  const toText = vectors.map((vector) => cosine(vector, center));
  const chosen = new Map<number, number>();
  // to the closest of what is chosen; kept up to date, so that a long text costs its length times `most`
  const toChosen = vectors.map(() => 0);
  while (chosen.size < Math.min(most, vectors.length)) {
    const scores = vectors.map((_, i) =>
      chosen.has(i) ? Number.NEGATIVE_INFINITY : relevance * toText[i]! - (1 - relevance) * toChosen[i]!,
    );
    const best = argmax(scores);
    chosen.set(best, scores[best]!);
    vectors.forEach((vector, i) => {
      toChosen[i] = Math.max(
        chosen.size === 1 ? Number.NEGATIVE_INFINITY : toChosen[i]!,
        cosine(vector, vectors[best]!),
      );
    });
  }
  return chosen;
}

function meanOf(vectors: readonly Float32Array[]): Float64Array {
  const mean = new Float64Array(vectors[0]?.length ?? 0);
  for (const vector of vectors) for (let i = 0; i < mean.length; i++) mean[i]! += vector[i]! / vectors.length;
  return mean;
}
