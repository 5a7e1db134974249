/** How the next token of each sequence is chosen: rules over the vocabulary, draws, and the two ways to go on. */
import { foldWorkgroups, type Kernel, requireIndexable, requireSizes, type Scalar } from "../kernel.ts";
import beams from "./choose_beams.wgsl";
import greedy from "./choose_tokens.wgsl";
import { requireRows, type StepShape } from "./decoding.ts";
import sample from "./sample_keys.wgsl";
import rules from "./token_rules.wgsl";

export interface TokenRulesShape extends StepShape {
  readonly vocab: number;
  /** Of logits. */
  readonly dtype: Scalar;
  /** Whether the scores are logarithms of probabilities before the rules change them. */
  readonly log: boolean;
  /** Repetition penalty; 1 for none. */
  readonly penalty: number;
  /** Tokens of what may not come twice; 0 for no rule. */
  readonly ngram: number;
  readonly sourceNgram: number;
  /** Tokens of a sequence before it may end. */
  readonly least: number;
  /** Where `lists` has what: ids that end a sequence are first. */
  readonly ends: number;
  readonly words: number;
  readonly wordCount: number;
  /** Of `lists`; default none. Set at each run. */
  readonly forcedBegin?: number;
  readonly forcedEnd?: number;
}

/**
 * Bindings: batch u32 [rows / width], logits [rows, vocab], chains and tokens u32 [slots, capacity], cu_seqlens u32
 * [sources + 1], source_ids u32, lists u32, scores f32 [rows, vocab].
 */
export const tokenRules: Kernel<TokenRulesShape> = {
  name: "token_rules",
  source: rules,
  plan(shape, limits) {
    const { rows, width, vocab, capacity, dtype, log, penalty, ngram, sourceNgram, least, ends, words } = shape;
    requireRows("token_rules", shape);
    requireSizes("token_rules", { vocab, capacity });
    requireIndexable("token_rules", { scores: rows * vocab });
    return {
      constants: { Scalar: dtype, WIDTH: width, LOG: log },
      params: {
        ...{ rows, vocab, capacity, penalty, ngram, source_ngram: sourceNgram, least, ends, words },
        ...{ word_count: shape.wordCount, forced_begin: shape.forcedBegin ?? 0, forced_end: shape.forcedEnd ?? 0 },
        step: shape.step ?? 0,
      },
      workgroups: foldWorkgroups(rows, limits),
      label: `${rows}x${vocab}`,
    };
  },
};

export interface SampleShape extends Omit<StepShape, "capacity"> {
  readonly vocab: number;
  readonly temperature: number;
  /** 0 for all. */
  readonly topK: number;
  /** 1 for all. */
  readonly topP: number;
  /** u32 */
  readonly seed: number;
}

/** Bindings: batch u32 [rows / width], names u32 [slots], scores f32 [rows, vocab], which become the keys of a draw. */
export const sampleKeys: Kernel<SampleShape> = {
  name: "sample_keys",
  source: sample,
  plan({ rows, width, vocab, temperature, topK, topP, seed, step = 0 }, limits) {
    requireRows("sample_keys", { rows, width });
    requireSizes("sample_keys", { vocab });
    requireIndexable("sample_keys", { scores: rows * vocab });
    return {
      constants: { WIDTH: width },
      params: { rows, vocab, temperature, top_k: topK, top_p: topP, seed, step },
      workgroups: foldWorkgroups(rows, limits),
      label: `${rows}x${vocab}`,
    };
  },
};

export interface ChooseTokensShape extends StepShape {
  /** Ids that end a sequence, the first of `lists`. */
  readonly ends: number;
  readonly pad: number;
}

/** Threads that own a row each. */
const WORKGROUP_SIZE = 64;

/** Bindings: batch u32 [rows / width], values f32 [rows], indices u32 [rows], lists u32, tokens u32 [slots, capacity], lengths u32 [slots]. */
export const chooseTokens: Kernel<ChooseTokensShape> = {
  name: "choose_tokens",
  source: greedy,
  plan({ rows, width, capacity, ends, pad, step = 0 }, limits) {
    requireRows("choose_tokens", { rows, width });
    requireSizes("choose_tokens", { capacity });
    return {
      constants: { WIDTH: width, WORKGROUP_SIZE },
      params: { rows, capacity, ends, pad, step },
      workgroups: foldWorkgroups(Math.ceil(rows / WORKGROUP_SIZE), limits),
      label: `${rows}`,
    };
  },
};

export interface ChooseBeamsShape extends StepShape {
  readonly slots: number;
  /** Of a row: more than `width` by what may end in a step. */
  readonly candidates: number;
  readonly ends: number;
  /** Whether a source is done as soon as `width` sequences of it are finished. */
  readonly stops: boolean;
  /** Whether the sequences reach their greatest length with this step; default false. Set at each run, as what follows. */
  readonly last?: boolean;
  /** The length of a sequence that ends now, and the one that a beam may come to, to the power of the length penalty. */
  readonly divisor?: number;
  readonly reach?: number;
}

/**
 * Bindings: batch u32 [rows / width], values f32 and indices u32 [rows, candidates], lists u32, tokens u32 [slots,
 * capacity], chains u32 [2, slots, capacity], sums f32 [2, slots], ended u32 [2 * slots + sources].
 */
export const chooseBeams: Kernel<ChooseBeamsShape> = {
  name: "choose_beams",
  source: beams,
  plan(shape, limits) {
    const { rows, width, slots, capacity, candidates, ends, stops, step = 0, last = false } = shape;
    requireRows("choose_beams", shape);
    requireSizes("choose_beams", { slots, capacity, candidates });
    return {
      constants: { WIDTH: width, CANDIDATES: candidates },
      params: {
        ...{ rows, width, candidates, slots, capacity, ends, stops: stops ? 1 : 0, step, last: last ? 1 : 0 },
        ...{ divisor: shape.divisor ?? 1, reach: shape.reach ?? 1 },
      },
      workgroups: foldWorkgroups(rows / width, limits),
      label: `${rows / width}x${width}`,
    };
  },
};
