/**
 * Where sequences are written: caches and state on the GPU, by capacity, and the programs recorded for them. One program
 * serves all steps: which step it is, is a scalar, and who is still worked on, is in a buffer.
 */

import { latest } from "../../files/latest.ts";
import type { Allocation } from "../../runtime/allocation.ts";
import type { Engine } from "../../runtime/engine.ts";
import {
  cachedAttention,
  chooseBeams,
  chooseTokens,
  type DecodingState,
  drawKeys,
  keepRows,
  type StepRows,
  sourceAttention,
  stepTokens,
  tokenScores,
} from "../../runtime/ops/decoding.ts";
import { embed, linear, topK } from "../../runtime/ops.ts";
import { type Program, roundUp } from "../../runtime/program.ts";
import type { Recorder, Ref } from "../../runtime/recorder.ts";
import type { DType, Shape, Tensor } from "../../runtime/tensor.ts";
import type { Batch } from "../batch.ts";
import { decoderStates, vocabularyLogits } from "./layers.ts";
import type { Settled } from "./settings.ts";
import { type GenerationParts, isSplit, recordSources } from "./teacher_forced.ts";

/** What a workspace has room for. */
export interface Capacity {
  readonly sources: number;
  /** Slots of a source. */
  readonly width: number;
  /** Places of a slot. */
  readonly places: number;
  readonly sourceTokens: number;
  readonly lists: number;
  readonly beams: boolean;
}

export interface Workspace {
  readonly capacity: Capacity;
  /** Of the engine's device. */
  readonly generation: number;
  readonly allocation: Allocation;
  readonly state: DecodingState;
  /** Of each layer keys and values [slots * places, 2 * hidden]. */
  readonly caches: readonly Tensor[];
  /** Of each layer those of the sources [sourceTokens, 2 * hidden]; none without an encoder. */
  readonly keyValues: readonly Tensor[];
  readonly programs: Map<string, Promise<Program>>;
}

/** Programs kept for shapes seen lately. */
const KEPT_PROGRAMS = 32;

/** A capacity that many batches share. */
export function roundCapacity({ sources, places, sourceTokens, lists, ...rest }: Capacity): Capacity {
  return {
    ...rest,
    sources: 2 ** Math.ceil(Math.log2(sources)),
    places: roundUp(places, 16),
    sourceTokens: roundUp(Math.max(1, sourceTokens), 64),
    lists: roundUp(Math.max(1, lists), 16),
  };
}

/** @throws RangeError for a cache that no binding of the device holds, GpuError for one that there is no memory for */
export async function makeWorkspace(
  engine: Engine,
  capacity: Capacity,
  { config, weights, dtype, generation }: GenerationParts & { readonly generation: number },
): Promise<Workspace> {
  const { sources, width, places, sourceTokens, lists, beams } = capacity;
  const slots = sources * width;
  const hidden = config.decoder.hiddenSize;
  const allocation = engine.allocate();
  const tensor = (name: string, shape: Shape, type: DType): Tensor => allocation.tensor(name, shape, type);
  const { layers } = weights.decoder;
  try {
    const made: Omit<Workspace, "programs"> = {
      ...{ capacity, generation, allocation },
      state: {
        batch: tensor("batch", [sources], "u32"),
        tokens: tensor("sequences", [slots, places], "u32"),
        chains: tensor("chains", [beams ? 2 : 1, slots, places], "u32"),
        ended: tensor("ended", [beams ? 2 * slots + sources : slots], "u32"),
        sums: tensor("sums", [2, slots], "f32"),
        names: tensor("names", [slots], "u32"),
        lists: tensor("lists", [lists], "u32"),
        cuSeqlens: tensor("source starts", [sources + 1], "u32"),
        sourceIds: tensor("source ids", [sourceTokens], "u32"),
      },
      caches: layers.map((_, i) => tensor(`cache ${i}`, [slots * places, 2 * hidden], dtype)),
      keyValues: config.encoder ? layers.map((_, i) => tensor(`source ${i}`, [sourceTokens, 2 * hidden], dtype)) : [],
    };
    await allocation.done();
    return { ...made, programs: new Map() };
  } catch (error) {
    allocation.dispose();
    throw error;
  }
}

/** The program that encodes these sources, and keeps their keys and values for each layer. */
export function sourcesProgram(
  engine: Engine,
  { programs, keyValues }: Workspace,
  sources: Batch,
  parts: GenerationParts,
): Promise<Program> {
  const key = `sources ${sources.cuSeqlens.length - 1} ${sources.wordIds.length} ${sources.masked}`;
  const record = (r: Recorder): void => {
    const { given } = recordSources(r, sources, parts);
    for (const [i, { cross }] of parts.weights.decoder.layers.entries()) {
      keepRows(r, linear(r, given, cross!.keyValue), keyValues[i]!);
    }
  };
  return latest(programs, key, () => engine.record(key, record), KEPT_PROGRAMS);
}

/**
 * The program of a step for so many sources of a batch.
 * @param settled what is chosen; left out, the tokens are those that are there: a step only fills the caches
 */
export function stepProgram(
  engine: Engine,
  workspace: Workspace,
  sources: number,
  settled: Settled | undefined,
  parts: GenerationParts,
): Promise<Program> {
  const key = `step ${sources} ${JSON.stringify(settled && recordedOf(settled))}`;
  const record = (r: Recorder): void => recordStep(r, workspace, sources, settled, parts);
  return latest(workspace.programs, key, () => engine.record(key, record), KEPT_PROGRAMS);
}

/** What a recording depends on: not the lengths, nor what is written into buffers. */
function recordedOf({ beams, ngram, sourceNgram, penalty, least, sample, earlyStopping, ...of }: Settled): object {
  const lists = [of.ends.length, of.words.length, of.forcedFirst !== undefined, of.forcedLast.length];
  return [beams, ngram, sourceNgram, penalty, least, sample, earlyStopping === true, of.pad, lists];
}

/** Where `lists` has what. */
export function listsOf({ ends, forcedFirst, forcedLast, words }: Settled): {
  readonly data: Uint32Array;
  readonly first: number;
  readonly last: number;
  readonly words: number;
} {
  const first = ends.length;
  const last = first + (forcedFirst === undefined ? 0 : 1);
  const begin = last + forcedLast.length;
  const forced = forcedFirst === undefined ? [] : [forcedFirst];
  const data = [...ends, ...forced, ...forcedLast, ...words.flatMap((word) => [word.length, ...word])];
  return { data: Uint32Array.from(data), first, last, words: begin };
}

function recordStep(
  r: Recorder,
  { capacity, state, caches, keyValues }: Workspace,
  sources: number,
  settled: Settled | undefined,
  { config: { decoder }, weights, dtype }: GenerationParts,
): void {
  const { width, places, beams } = capacity;
  const { embeddings, layers, head } = weights.decoder;
  const { numAttentionHeads: heads, layerNormEps: eps } = decoder;
  const at: StepRows = { rows: sources * width, width, capacity: places, step: r.scalar("step", "u32") };
  const { tokens, ids } = stepTokens(r, state, at);
  const packed = { tokens, cuSeqlens: tokens, masked: false }; // where they begin is nothing to the embeddings
  const word = isSplit(weights.decoder) ? ids : undefined;
  const embedded = embed(r, packed, word, embeddings, embeddings.norm, eps, dtype);
  const states = decoderStates(r, embedded, layers, decoder, {
    self: (qkv, layer) => cachedAttention(r, qkv, caches[layer]!, state, at, heads),
    cross: (q, layer) => sourceAttention(r, q, keyValues[layer]!, state, at, heads),
  });
  if (!settled) {
    r.output("ids", ids);
    return;
  }
  const logits = vocabularyLogits(r, states.at(-1)!, head, decoder);
  choose(r, logits, state, at, settled, beams, capacity.sources * width);
  r.output("tokens", r.state(state.tokens));
  r.output("ended", r.state(state.ended));
  if (!beams) return;
  r.output("chains", r.state(state.chains));
  r.output("sums", r.state(state.sums));
}

function choose(
  r: Recorder,
  logits: Ref,
  state: DecodingState,
  at: StepRows,
  settled: Settled,
  beams: boolean,
  slots: number,
): void {
  const { ends, pad, penalty, ngram, sourceNgram, least, sample, earlyStopping } = settled;
  const rules = {
    ...{ log: beams, penalty, ngram, sourceNgram, least, ends: ends.length },
    ...{ words: listsOf(settled).words, wordCount: settled.words.length },
  };
  const forced = { begin: r.scalar("forced begin", "u32"), end: r.scalar("forced end", "u32") };
  const scores = tokenScores(r, logits, state, at, rules, forced);
  if (beams) {
    const best = topK(r, scores, Math.max(2, 1 + ends.length) * at.width);
    const set = { last: r.scalar("last", "u32"), divisor: r.scalar("divisor", "f32"), reach: r.scalar("reach", "f32") };
    chooseBeams(r, best, state, at, { slots, ends: ends.length, stops: earlyStopping === true }, set);
    return;
  }
  if (sample) drawKeys(r, scores, state, at, sample);
  chooseTokens(r, topK(r, scores, 1), state, at, { ends: ends.length, pad });
}
