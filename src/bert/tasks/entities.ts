/** Tokens with scores per label to entities. Mirrors TokenClassificationPipeline of transformers. */

import { joinTokens } from "../tokenizer/decoding.ts";
import { argmax } from "./text_classification.ts";

export type AggregationStrategy = "none" | "simple" | "first" | "average" | "max";

interface Span {
  readonly score: number;
  /** Put together from word pieces; the text itself is between `start` and `end`. */
  readonly word: string;
  /** UTF-16 units. */
  readonly start: number;
  readonly end: number;
}

export interface TokenEntity extends Span {
  /** The label, `B-` or `I-` included. */
  readonly entity: string;
  /** The token's place in its window, special tokens counted. */
  readonly index: number;
}

export interface EntityGroup extends Span {
  /** The label without `B-` or `I-`. */
  readonly entity_group: string;
}

export type Entity = TokenEntity | EntityGroup;

export interface ScoredToken {
  readonly word: string;
  /** It goes on with the word of the token before. */
  readonly inside: boolean;
  /** Probability per label. */
  readonly scores: Float64Array;
  readonly index: number;
  readonly start: number;
  readonly end: number;
}

type Labeller = (id: number) => string;

export function tokenEntities(tokens: readonly ScoredToken[], label: Labeller): TokenEntity[] {
  return tokens.map(({ scores, index, word, start, end }) => {
    const best = argmax(scores);
    return { entity: label(best), score: scores[best]!, index, word, start, end };
  });
}

export function groupEntities(
  tokens: readonly ScoredToken[],
  strategy: Exclude<AggregationStrategy, "none">,
  label: Labeller,
): EntityGroup[] {
  const parts = strategy === "simple" ? tokenEntities(tokens, label) : words(tokens, strategy, label);
  const groups: Labelled[][] = [];
  for (const part of parts) {
    const group = groups.at(-1);
    const { begins, tag } = tagOf(part.entity);
    if (group && !begins && tag === tagOf(group.at(-1)!.entity).tag) group.push(part);
    else groups.push([part]);
  }
  return groups.map((group) => ({
    entity_group: group[0]!.entity.replace(/^[^-]*-/, ""),
    score: mean(group.map(({ score }) => score)),
    word: join(group),
    start: group[0]!.start,
    end: group.at(-1)!.end,
  }));
}

/**
 * Entities of overlapping windows, in the order of the text. Of two that overlap the longer one stays, of two equally
 * long ones the likelier.
 */
export function mergeOverlapping(entities: readonly Entity[]): Entity[] {
  const sorted = [...entities].sort((a, b) => a.start - b.start);
  const merged: Entity[] = [];
  for (const entity of sorted) {
    const previous = merged.at(-1);
    if (!previous || entity.start >= previous.end) {
      merged.push(entity);
      continue;
    }
    const longer = entity.end - entity.start - (previous.end - previous.start);
    if (longer > 0 || (longer === 0 && entity.score > previous.score)) merged[merged.length - 1] = entity;
  }
  return merged;
}

type Labelled = Span & { readonly entity: string };

/** One label for all pieces of a word. */
function words(tokens: readonly ScoredToken[], strategy: "first" | "average" | "max", label: Labeller): Labelled[] {
  const grouped: ScoredToken[][] = [];
  for (const token of tokens) {
    if (token.inside && grouped.length > 0) grouped.at(-1)!.push(token);
    else grouped.push([token]);
  }
  return grouped.map((pieces) => {
    const scores = agreed(pieces, strategy);
    const best = argmax(scores);
    return {
      entity: label(best),
      score: scores[best]!,
      word: join(pieces),
      start: pieces[0]!.start,
      end: pieces.at(-1)!.end,
    };
  });
}

function agreed(pieces: readonly ScoredToken[], strategy: "first" | "average" | "max"): Float64Array {
  const [first] = pieces;
  if (strategy === "first") return first!.scores;
  if (strategy === "max") return pieces[argmax(pieces.map(({ scores }) => scores[argmax(scores)]!))]!.scores;
  return first!.scores.map((_, label) => mean(pieces.map(({ scores }) => scores[label]!)));
}

/** A label that is not of the form B- or I- goes on with one like it. */
function tagOf(entity: string): { readonly begins: boolean; readonly tag: string } {
  return { begins: entity.startsWith("B-"), tag: entity.replace(/^[BI]-/, "") };
}

function join(parts: readonly { readonly word: string }[]): string {
  return joinTokens(
    parts.map(({ word }) => word),
    { prefix: "##", cleanup: true },
  );
}

const mean = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length;
