/** Tokens to entities: the strategies where they differ, and windows where they overlap. */

import { expect, test } from "vitest";
import {
  type EntityGroup,
  groupEntities,
  mergeOverlapping,
  type ScoredToken,
} from "../../../src/bert/tasks/entities.ts";

const LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC"];
const label = (id: number): string => LABELS[id]!;

let at = 0;
/** A token of two units after a space, or right behind the one before when it goes on with its word. */
function token(word: string, scores: readonly number[]): ScoredToken {
  const inside = word.startsWith("##");
  const start = inside ? at : at + 1;
  at = start + 2;
  return { word, inside, scores: Float64Array.from(scores), index: start, start, end: at };
}

const brief = (entities: readonly EntityGroup[]): [string, string, number][] =>
  entities.map(({ entity_group, word, score }) => [entity_group, word, Math.round(score * 1e4) / 1e4]);

test("a word's pieces agree on the first label, the largest mean or the largest score", () => {
  const tokens = [token("ab", [0, 0.4, 0, 0.3, 0.3, 0]), token("##cd", [0, 0, 0, 0.45, 0.55, 0])];
  expect(brief(groupEntities(tokens, "simple", label))).toEqual([
    ["PER", "ab", 0.4],
    ["LOC", "##cd", 0.55],
  ]);
  expect(brief(groupEntities(tokens, "first", label))).toEqual([["PER", "abcd", 0.4]]);
  expect(brief(groupEntities(tokens, "average", label))).toEqual([["LOC", "abcd", 0.425]]);
  expect(brief(groupEntities(tokens, "max", label))).toEqual([["LOC", "abcd", 0.55]]);
});

test("neighbours of one label are one entity, until the next one begins", () => {
  const one = (best: number): number[] => LABELS.map((_, i) => (i === best ? 0.9 : 0.02));
  const tokens = [
    token("ab", one(1)),
    token("cd", one(2)),
    token("ef", one(1)),
    token("gh", one(5)),
    token("ij", one(5)),
  ];
  const groups = groupEntities(tokens, "simple", label);
  expect(brief(groups)).toEqual([
    ["PER", "ab cd", 0.9],
    ["PER", "ef", 0.9],
    ["MISC", "gh ij", 0.9],
  ]);
  expect(groups[0]!.end - groups[0]!.start).toBe(5);
});

test("of overlapping entities the longer stays, of equally long ones the likelier", () => {
  const entity = (start: number, end: number, score: number): EntityGroup => ({
    entity_group: "PER",
    word: "",
    start,
    end,
    score,
  });
  const [short, long, next, better] = [entity(0, 4, 0.9), entity(2, 9, 0.1), entity(9, 12, 0.5), entity(9, 12, 0.6)];
  expect(mergeOverlapping([next, short, long, better])).toEqual([long, better]);
  expect(mergeOverlapping([])).toEqual([]);
});
