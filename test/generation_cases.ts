/** Tables as those of cases.ts, of the kernels that decode: batches of sources of which some stand empty. */

import {
  type ChooseBeamsShape,
  type ChooseTokensShape,
  chooseBeams,
  chooseTokens,
  type SampleShape,
  sampleKeys,
  type TokenRulesShape,
  tokenRules,
} from "../src/kernels/generation/choice.ts";
import {
  cachedAttention,
  type OneQueryShape,
  type StepShape,
  sourceAttention,
  stepTokens,
} from "../src/kernels/generation/decoding.ts";
import type { Kernel, Scalar } from "../src/kernels/kernel.ts";
import * as generation from "../src/kernels/reference/generation.ts";
import { absolute, type Bound, type Case, type CaseTable, exact, type Random, UNIT } from "./case.ts";

/** Kernels that know one type of numbers are run as they are for each. */
type Typed<Shape> = Shape & { readonly dtype: Scalar };
type Table<Shape> = Omit<CaseTable<Typed<Shape>>, "typical">;
type Of<Shape> = Case<Typed<Shape>>;

const { NOBODY } = generation;
const LOWEST = -3.4028234e38;

/** As [rows / width], with sources out of order. */
interface Places {
  readonly batch: readonly number[];
  readonly sources: number;
  readonly width: number;
  readonly capacity: number;
  readonly step: number;
}

const rowsOf = ({ batch, width }: Places): number => batch.length * width;
const slotsOf = ({ sources, width }: Places): number => sources * width;
const stepOf = (at: Places) => ({ rows: rowsOf(at), width: at.width, capacity: at.capacity, step: at.step });

/** Beams that came from one another: at each place some slot of the same source. */
function chainsOf(at: Places, random: Random, own: boolean): number[] {
  return Array.from({ length: slotsOf(at) * at.capacity }, (_, i) => {
    const [slot, place] = [Math.floor(i / at.capacity), i % at.capacity];
    if (own && place >= at.step) return slot;
    return slot - (slot % at.width) + random.integer(at.width);
  });
}

const tokensOf = (at: Places, random: Random, vocab: number): number[] =>
  Array.from({ length: slotsOf(at) * at.capacity }, () => random.integer(vocab));

const PLACES: readonly Places[] = [
  { batch: [0], sources: 1, width: 1, capacity: 1, step: 0 },
  { batch: [2, NOBODY, 0], sources: 3, width: 2, capacity: 9, step: 5 },
  { batch: [1], sources: 2, width: 4, capacity: 140, step: 131 },
  { batch: [0, 3, 1, NOBODY], sources: 4, width: 1, capacity: 70, step: 64 },
];

export const stepTokensCases: Table<StepShape> = {
  kernels: () => [stepTokens],
  reference: generation.stepTokens,
  cases: PLACES.map((at) => ({
    shape: stepOf(at),
    inputs: (random) => ({ batch: at.batch, tokens: tokensOf(at, random, 1000) }),
    outputs: { out: 4 * rowsOf(at), ids: rowsOf(at) },
    bound: exact,
  })),
};

const HEADS: readonly (readonly [heads: number, dim: number])[] = [
  [1, 1],
  [3, 12],
  [2, 64],
  [1, 67],
];

/** As that of attention: a score sums `dim` terms of up to 4. */
const attends = (dim: number, keys: number): ((dtype: Scalar) => Bound) => absolute(4 * Math.sqrt(dim) + keys + 64);

export const cachedAttentionCases: Table<OneQueryShape> = {
  kernels: () => [cachedAttention],
  reference: generation.cachedAttention,
  cases: PLACES.map((at, i) => {
    const [heads, headDim] = HEADS[i]!;
    const [rows, hidden] = [rowsOf(at), heads * headDim];
    return {
      shape: { ...stepOf(at), heads, headDim },
      inputs: (random) => ({
        batch: at.batch,
        chains: chainsOf(at, random, true),
        qkv: random.values(rows * 3 * hidden, 2),
        cache: random.values(slotsOf(at) * at.capacity * 2 * hidden, 2),
      }),
      outputs: { out: rows * hidden, cache: slotsOf(at) * at.capacity * 2 * hidden },
      bound: attends(headDim, at.step),
    };
  }),
};

export const sourceAttentionCases: Table<Omit<OneQueryShape, "capacity" | "step">> = {
  kernels: () => [sourceAttention],
  reference: generation.sourceAttention,
  cases: PLACES.map((at, i) => {
    const [heads, headDim] = HEADS[i]!;
    const [rows, hidden] = [rowsOf(at), heads * headDim];
    const begins = Array.from({ length: at.sources + 1 }, (_, s) => s * 45 - (s > 1 ? 44 : 0)); // 45, 1, 45 keys
    return {
      shape: { rows, width: at.width, heads, headDim },
      inputs: (random) => ({
        batch: at.batch,
        cu_seqlens: begins,
        q: random.values(rows * hidden, 2),
        key_value: random.values(begins.at(-1)! * 2 * hidden, 2),
      }),
      outputs: { out: rows * hidden },
      bound: attends(headDim, 45),
    };
  }),
};

function rulesCase(
  at: Places,
  vocab: number,
  rules: Partial<TokenRulesShape>,
  why?: string,
  sourceVocab = vocab,
): Of<TokenRulesShape> {
  const words = [[1], [5, 6], [2, 2, 3]];
  const shape = {
    ...{ ...stepOf(at), vocab, log: false, penalty: 1, ngram: 0, sourceNgram: 0, least: 0, ends: 2, words: 3 },
    wordCount: 0,
    ...rules,
  };
  return {
    shape,
    ...(why !== undefined && { why }),
    inputs: (random) => ({
      batch: at.batch,
      logits: random.values(rowsOf(at) * vocab, 10),
      chains: chainsOf(at, random, true),
      tokens: tokensOf(at, random, vocab),
      cu_seqlens: Array.from({ length: at.sources + 1 }, (_, s) => 9 * s),
      source_ids: Array.from({ length: 9 * at.sources }, () => random.integer(sourceVocab)),
      lists: [3, 4, 2, ...words.flatMap((word) => [word.length, ...word])].map((id, i) => (i < 2 ? id % vocab : id)),
    }),
    outputs: { scores: rowsOf(at) * vocab },
    bound: () => ({ absolute: 64 * UNIT, relative: 8 * UNIT }),
  };
}

const [ONE, SOME, LONG] = PLACES as [Places, Places, Places];

export const tokenRulesCases: Table<TokenRulesShape> = {
  kernels: () => [tokenRules],
  reference: generation.tokenRules,
  cases: [
    rulesCase(ONE, 1, { ends: 0 }),
    rulesCase(SOME, 7, { log: true, ngram: 2, least: 9 }, "few tokens, so that all comes twice"),
    rulesCase(SOME, 1009, { log: true }),
    rulesCase(SOME, 8, { penalty: 1.5, sourceNgram: 2, wordCount: 3 }),
    rulesCase(SOME, 9, { ngram: 1, least: 6 }, "long enough to end"),
    rulesCase(SOME, 9, { forcedBegin: 0, forcedEnd: 1, ngram: 1 }),
    rulesCase(LONG, 300, { ngram: 3, penalty: 0.8, log: true }, "more places than a step of a workgroup"),
    rulesCase(LONG, 3, { sourceNgram: 3, ngram: 4 }),
    rulesCase(SOME, 9, { sourceNgram: 1 }, "ids of a source that the decoder's vocabulary does not have", 18),
  ],
};

function sampleCase(at: Places, vocab: number, of: Partial<SampleShape>): Of<SampleShape> {
  const { rows, width, step } = stepOf(at);
  return {
    shape: { ...{ rows, width, step, vocab, temperature: 1, topK: 0, topP: 1, seed: 5 }, ...of },
    inputs: (random) => ({
      batch: at.batch,
      names: Array.from({ length: slotsOf(at) }, (_, i) => 7 * i + 1),
      scores: random.values(rows * vocab, 6).map((score, i) => (i % 11 === 3 ? LOWEST : score)),
    }),
    outputs: { scores: rows * vocab },
    // log of log: of a number near 1 it is small, and its relative error large
    bound: () => ({ absolute: 2 ** -10, relative: 2 ** -14 }),
  };
}

export const sampleKeysCases: Table<SampleShape> = {
  kernels: () => [sampleKeys],
  reference: generation.sampleKeys,
  cases: [
    sampleCase(ONE, 1, {}),
    sampleCase(SOME, 37, { temperature: 0.7 }),
    sampleCase(SOME, 300, { topK: 5 }),
    sampleCase(SOME, 300, { topP: 0.6, temperature: 1.5 }),
    sampleCase(LONG, 1000, { topK: 50, topP: 0.9, seed: 4_000_000_000 }),
    sampleCase(SOME, 5, { topK: 9, topP: 0.01 }),
  ],
};

export const chooseTokensCases: Table<ChooseTokensShape> = {
  kernels: () => [chooseTokens],
  reference: generation.chooseTokens,
  cases: PLACES.slice(1).map((at) => ({
    shape: { ...stepOf(at), ends: 2, pad: 0 },
    inputs: (random) => ({
      batch: at.batch,
      values: random.values(rowsOf(at)),
      indices: Array.from({ length: rowsOf(at) }, () => random.integer(6)),
      lists: [3, 4],
      tokens: tokensOf(at, random, 9),
      lengths: Array.from({ length: slotsOf(at) }, () => random.integer(3)),
    }),
    outputs: { tokens: slotsOf(at) * at.capacity, lengths: slotsOf(at) },
    bound: exact,
  })),
};

function beamsCase(
  at: Places,
  finished: readonly number[],
  of: Partial<ChooseBeamsShape>,
  why: string,
): Of<ChooseBeamsShape> {
  const [slots, candidates] = [slotsOf(at), 2 * at.width];
  const rows = rowsOf(at);
  return {
    shape: { ...stepOf(at), slots, candidates, ends: 1, stops: false, ...of },
    why,
    inputs: (random) => ({
      batch: at.batch,
      values: Array.from({ length: rows }, () => [...random.values(candidates, 4)].sort((a, b) => b - a)).flat(),
      indices: Array.from({ length: rows * candidates }, () => random.integer(5)),
      lists: [3],
      tokens: tokensOf(at, random, 9),
      chains: [...chainsOf(at, random, true), ...chainsOf(at, random, false)],
      sums: [
        ...random.values(slots, 3),
        ...Array.from({ length: at.sources }, () => [...random.values(at.width, 2)].sort((a, b) => b - a)).flat(),
      ],
      ended: [
        ...Array.from({ length: slots }, (_, i) => (i % at.width < finished[Math.floor(i / at.width)]! ? 3 : 0)),
        ...Array.from({ length: slots }, () => random.integer(9)),
        ...new Array<number>(at.sources).fill(0),
      ],
    }),
    outputs: {
      tokens: slots * at.capacity,
      chains: 2 * slots * at.capacity,
      sums: 2 * slots,
      ended: 2 * slots + at.sources,
    },
    bound: () => ({ absolute: 8 * UNIT, relative: 4 * UNIT }),
  };
}

export const chooseBeamsCases: Table<ChooseBeamsShape> = {
  kernels: () => [chooseBeams] as readonly Kernel<Typed<ChooseBeamsShape>>[],
  reference: generation.chooseBeams,
  cases: [
    beamsCase({ ...ONE, capacity: 3 }, [0], {}, "one beam"),
    beamsCase(SOME, [0, 1, 2], { divisor: 2.5, reach: 2.5 }, "none, one and all are finished"),
    beamsCase(SOME, [2, 2, 1], { stops: true }, "done as soon as all are finished"),
    beamsCase(SOME, [1, 0, 0], { last: true, divisor: 0.3, reach: 0.3 }, "the greatest length"),
    beamsCase(LONG, [1, 3], { divisor: 9, reach: 20 }, "four beams, more places than threads"),
    beamsCase(LONG, [4, 4], { ends: 0, reach: 20 }, "nothing ends"),
    beamsCase({ ...LONG, width: 7 }, [0, 6], { divisor: 4, reach: 4 }, "seven beams"),
  ],
};
