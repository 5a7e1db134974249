/** A step of decoding, on refs of a recorder: what its kernels read and write stays on the GPU from step to step. */

import {
  type ChooseBeamsShape,
  type ChooseTokensShape,
  chooseBeams as chooseBeamsKernel,
  chooseTokens as chooseTokensKernel,
  type SampleShape,
  sampleKeys,
  type TokenRulesShape,
  tokenRules,
} from "../../kernels/generation/choice.ts";
import {
  cachedAttention as cachedAttentionKernel,
  sourceAttention as sourceAttentionKernel,
  stepTokens as stepTokensKernel,
} from "../../kernels/generation/decoding.ts";
import { copyBlocks } from "../../kernels/rows/copy_blocks.ts";
import { scalar } from "../ops.ts";
import type { Recorder, Ref, ScalarInput } from "../recorder.ts";
import type { Tensor } from "../tensor.ts";

/** What stays on the GPU from step to step. A slot is a sequence in work, `width` of them for each source. */
export interface DecodingState {
  /** u32 [sources]: those that are still worked on, in any order; `NOBODY` in place of one. */
  readonly batch: Tensor;
  /** u32 [slots, capacity]: what each slot has written. */
  readonly tokens: Tensor;
  /** u32 [slots, capacity], of a search twice: which slot wrote each place; then the same of what is finished. */
  readonly chains: Tensor;
  /** u32: of draws and of one sequence each [slots]; of a search [2 * slots + sources]. See the kernels. */
  readonly ended: Tensor;
  /** f32 [2, slots], of a search. */
  readonly sums: Tensor;
  /** u32 [slots]: a number of each sequence, for draws. */
  readonly names: Tensor;
  /** u32: ids that end a sequence, then whatever else rules read. */
  readonly lists: Tensor;
  /** u32 [sources + 1], and u32 of the sources' tokens. */
  readonly cuSeqlens: Tensor;
  readonly sourceIds: Tensor;
}

/** The rows of a step, and what is set at each. */
export interface StepRows {
  readonly rows: number;
  readonly width: number;
  readonly capacity: number;
  /** The place of the newest token. */
  readonly step: ScalarInput;
}

/** In place of a source. */
export const NOBODY = 0xffffffff;

const plain = ({ rows, width, capacity }: StepRows) => ({ rows, width, capacity });

/** The newest token of each row, for the embeddings: u32 [rows, 4] and u32 [rows]. */
export function stepTokens(r: Recorder, state: DecodingState, at: StepRows): { tokens: Ref; ids: Ref } {
  const tokens = r.temporary("tokens", [at.rows, 4], "u32");
  const ids = r.temporary("ids", [at.rows], "u32");
  const operands = { batch: state.batch, tokens: r.state(state.tokens), out: tokens, ids };
  r.dispatch(stepTokensKernel, plain(at), operands, { step: at.step });
  return { tokens, ids };
}

/** @param qkv [rows, 3 * hidden] @param cache [slots * capacity, 2 * hidden], which takes the new keys and values */
export function cachedAttention(
  r: Recorder,
  qkv: Ref,
  cache: Tensor,
  state: DecodingState,
  at: StepRows,
  heads: number,
): Ref {
  const hidden = qkv.shape[1]! / 3;
  const out = r.temporary("attention", [at.rows, hidden], qkv.dtype);
  const operands = { batch: state.batch, chains: r.state(state.chains), qkv, cache: r.state(cache), out };
  const shape = { ...plain(at), heads, headDim: hidden / heads, dtype: scalar(qkv) };
  r.dispatch(cachedAttentionKernel, shape, operands, { step: at.step });
  return out;
}

/** @param q [rows, hidden] @param keyValue [source tokens, 2 * hidden] */
export function sourceAttention(
  r: Recorder,
  q: Ref,
  keyValue: Tensor,
  { batch, cuSeqlens }: DecodingState,
  { rows, width }: StepRows,
  heads: number,
): Ref {
  const hidden = q.shape[1]!;
  const out = r.temporary("attention", [rows, hidden], q.dtype);
  const operands = { batch, cu_seqlens: cuSeqlens, q, key_value: r.state(keyValue), out };
  const shape = { rows, width, heads, headDim: hidden / heads, dtype: scalar(q) };
  r.dispatch(sourceAttentionKernel, shape, operands);
  return out;
}

export type Rules = Omit<TokenRulesShape, "rows" | "width" | "capacity" | "step" | "vocab" | "dtype">;

/** Scores f32 [rows, vocab] of what may come next. @param forced where in `lists` it is said what must */
export function tokenScores(
  r: Recorder,
  logits: Ref,
  state: DecodingState,
  at: StepRows,
  rules: Rules,
  forced: { readonly begin: ScalarInput; readonly end: ScalarInput },
): Ref {
  const scores = r.temporary("scores", logits.shape, "f32");
  r.dispatch(
    tokenRules,
    { ...plain(at), ...rules, vocab: logits.shape[1]!, dtype: scalar(logits) },
    {
      ...{ batch: state.batch, logits, chains: r.state(state.chains), tokens: r.state(state.tokens), scores },
      ...{ cu_seqlens: state.cuSeqlens, source_ids: state.sourceIds, lists: state.lists },
    },
    { step: at.step, forced_begin: forced.begin, forced_end: forced.end },
  );
  return scores;
}

export type Draws = Pick<SampleShape, "temperature" | "topK" | "topP" | "seed">;

/** Makes keys of the scores, of which the greatest is a draw. */
export function drawKeys(r: Recorder, scores: Ref, state: DecodingState, at: StepRows, draws: Draws): void {
  const { rows, width } = at;
  const shape = { rows, width, vocab: scores.shape[1]!, ...draws };
  r.dispatch(sampleKeys, shape, { batch: state.batch, names: state.names, scores }, { step: at.step });
}

/** Writes the best of each row behind its sequence. @param best of each row one */
export function chooseTokens(
  r: Recorder,
  best: { readonly values: Ref; readonly indices: Ref },
  state: DecodingState,
  at: StepRows,
  of: Pick<ChooseTokensShape, "ends" | "pad">,
): void {
  const operands = { ...best, batch: state.batch, lists: state.lists };
  const written = { tokens: r.state(state.tokens), lengths: r.state(state.ended) };
  r.dispatch(chooseTokensKernel, { ...plain(at), ...of }, { ...operands, ...written }, { step: at.step });
}

/** A step of beam search. @param best of each row the candidates */
export function chooseBeams(
  r: Recorder,
  best: { readonly values: Ref; readonly indices: Ref },
  state: DecodingState,
  at: StepRows,
  of: Pick<ChooseBeamsShape, "slots" | "ends" | "stops">,
  set: { readonly last: ScalarInput; readonly divisor: ScalarInput; readonly reach: ScalarInput },
): void {
  const { tokens, chains, sums, ended, batch, lists } = state;
  const written = { tokens: r.state(tokens), chains: r.state(chains), sums: r.state(sums), ended: r.state(ended) };
  const shape = { ...plain(at), ...of, candidates: best.values.shape[1]! };
  r.dispatch(chooseBeamsKernel, shape, { ...best, batch, lists, ...written }, { step: at.step, ...set });
}

/** Keeps rows in the beginning of a state that has more. */
export function keepRows(r: Recorder, x: Ref, kept: Tensor): void {
  const [rows, cols] = x.shape as [number, number];
  r.dispatch(copyBlocks, { rows, cols, dtype: scalar(x) }, { x, out: r.state(kept) });
}
