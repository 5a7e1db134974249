/** The forward pass over sources and the texts that are to follow from them, all places at once ("teacher forcing"). */

import { requireKnown } from "../../files/options.ts";
import { type Attending, attend, type Columns, attended as probabilitiesOf } from "../../runtime/ops/decoder.ts";
import { embed, linear, type PackedTokens } from "../../runtime/ops.ts";
import type { OutputData } from "../../runtime/program.ts";
import type { Recorder, Ref } from "../../runtime/recorder.ts";
import type { Batch, Sequence } from "../batch.ts";
import { encode, packBatch } from "../forward.ts";
import type { Values } from "../heads/head.ts";
import type { GenerationModelConfig } from "./config.ts";
import { decoderStates, vocabularyLogits } from "./layers.ts";
import type { GenerationWeights } from "./weights.ts";

/** A source and what follows from it; a causal model has no source. */
export interface Pair {
  readonly source?: Sequence | undefined;
  /** What the decoder reads, from its start token on. A masked token is seen by no other. */
  readonly target: Sequence;
}

export interface GenerationWanted {
  /** Of each target token the scores of the next one [tokens, vocab]. */
  readonly logits?: boolean | undefined;
  /** [source tokens, hidden] */
  readonly encoderLastHiddenState?: boolean | undefined;
  /** Of the decoder, the embeddings' output and that of each layer, each [tokens, hidden]. */
  readonly decoderHiddenStates?: boolean | undefined;
  /** Per layer, for each pair in turn [heads, tokens, tokens]. */
  readonly decoderAttentions?: boolean | undefined;
  /** Per layer, for each pair in turn [heads, tokens, source tokens]. */
  readonly crossAttentions?: boolean | undefined;
}

export interface GenerationForward {
  readonly logits?: Values;
  readonly encoderLastHiddenState?: Values;
  readonly decoderHiddenStates?: readonly Values[];
  readonly decoderAttentions?: readonly (readonly Values[])[];
  readonly crossAttentions?: readonly (readonly Values[])[];
  /** Where the tokens of each target begin, [pairs + 1]. */
  readonly cuSeqlens: Uint32Array;
}

const WANTED: Readonly<Record<keyof GenerationWanted, 1>> = {
  logits: 1,
  encoderLastHiddenState: 1,
  decoderHiddenStates: 1,
  decoderAttentions: 1,
  crossAttentions: 1,
};

export interface PreparedPairs {
  readonly sources: Batch | undefined;
  readonly targets: Batch;
  readonly wanted: GenerationWanted;
  /** All that a recording depends on beside the model. */
  readonly key: string;
}

/** What recordings read of a model. */
export interface GenerationParts {
  readonly config: GenerationModelConfig;
  readonly weights: GenerationWeights;
  /** Of activations. */
  readonly dtype: "f32" | "f16";
}

/** @throws TypeError for what cannot be asked, for a source too few or too many; RangeError as `packBatch` */
export function preparePairs(
  pairs: readonly Pair[],
  wanted: GenerationWanted,
  { encoder, decoder }: GenerationModelConfig,
): PreparedPairs {
  requireKnown("wanted", wanted, WANTED);
  if (!encoder && (wanted.crossAttentions || wanted.encoderLastHiddenState)) {
    throw new TypeError("what is wanted is of an encoder, which a causal language model does not have");
  }
  const wrong = pairs.findIndex(({ source }) => (source === undefined) !== (encoder === undefined));
  if (wrong >= 0) {
    throw new TypeError(
      encoder ? `pair ${wrong} has no source` : `pair ${wrong} has a source, but a causal language model reads none`,
    );
  }
  const targets = packBatch(
    pairs.map(({ target }) => target),
    decoder,
  );
  const sources =
    encoder &&
    packBatch(
      pairs.map(({ source }) => source!),
      encoder,
    );
  const sized = (batch: Batch | undefined) => batch && [batch.wordIds.length, batch.masked];
  const offsets = [offsetsOf(targets, targets), sources && offsetsOf(targets, sources)].map((of) => of?.at(-1));
  return {
    ...{ sources, targets, wanted },
    key: JSON.stringify([pairs.length, sized(targets), sized(sources), offsets, wanted]),
  };
}

/** Where the queries times keys of each pair begin, and the end of the last; of a single head. */
function offsetsOf({ cuSeqlens: queries }: Batch, { cuSeqlens: keys }: Batch): Uint32Array {
  const offsets = new Uint32Array(queries.length);
  for (let s = 0; s + 1 < queries.length; s++) {
    offsets[s + 1] = offsets[s]! + (queries[s + 1]! - queries[s]!) * (keys[s + 1]! - keys[s]!);
  }
  return offsets;
}

/** What a recorded program is run with. */
export function pairInputs(
  { sources, targets, wanted }: PreparedPairs,
  { weights, config }: Pick<GenerationParts, "weights" | "config">,
): Record<string, Uint32Array> {
  const inputs: Record<string, Uint32Array> = {};
  const batch = (name: string, of: Batch, split: boolean): void => {
    inputs[`${name} tokens`] = of.tokens;
    inputs[`${name} cuSeqlens`] = of.cuSeqlens;
    if (split) inputs[`${name} wordIds`] = of.wordIds;
  };
  batch("target", targets, isSplit(weights.decoder));
  if (sources) batch("source", sources, isSplit(weights.encoder!));
  const begins = (keys: Batch): Uint32Array =>
    offsetsOf(targets, keys)
      .subarray(0, -1)
      .map((at) => at * config.decoder.numAttentionHeads);
  if (wanted.decoderAttentions) inputs["self offsets"] = begins(targets);
  if (wanted.crossAttentions) inputs["cross offsets"] = begins(sources!);
  return inputs;
}

/** Whether the word table takes several bindings. */
export function isSplit({ embeddings }: Pick<GenerationWeights["decoder"], "embeddings">): boolean {
  return embeddings.word.parts.length > 1;
}

/** A batch as inputs of a recorder, and its ids where the word table is split. */
function batchInputs(
  r: Recorder,
  name: string,
  batch: Batch,
  split: boolean,
): { packed: PackedTokens; wordIds: Ref | undefined } {
  const { wordIds, cuSeqlens, masked } = batch;
  return {
    packed: {
      tokens: r.input(`${name} tokens`, [wordIds.length, 4], "u32"),
      cuSeqlens: r.input(`${name} cuSeqlens`, [cuSeqlens.length], "u32"),
      masked,
    },
    wordIds: split ? r.input(`${name} wordIds`, [wordIds.length], "u32") : undefined,
  };
}

/** What the encoder makes of the sources: its last hidden state, and that in the decoder's width. */
export function recordSources(
  r: Recorder,
  sources: Batch,
  { config, weights, dtype }: GenerationParts,
): { packed: PackedTokens; last: Ref; given: Ref } {
  const [encoder, part] = [config.encoder!, weights.encoder!];
  const { packed, wordIds } = batchInputs(r, "source", sources, isSplit(part));
  const model = { config: encoder, weights: { ...part, heads: {} }, dtype };
  const last = encode(r, packed, wordIds, undefined, model).hiddenStates.at(-1)!;
  return { packed, last, given: weights.projection ? linear(r, last, weights.projection) : last };
}

/** Names and shapes what the program has computed for a batch like the one it was recorded for. */
export type CollectPairs = (
  outputs: Readonly<Record<string, OutputData>>,
  prepared: PreparedPairs,
) => GenerationForward;

export function recordPairs(r: Recorder, prepared: PreparedPairs, model: GenerationParts): CollectPairs {
  const { config, weights, dtype } = model;
  const { decoder } = config;
  const { wanted, targets, sources } = prepared;
  const { numAttentionHeads: heads, hiddenSize: hidden } = decoder;
  const { packed, wordIds } = batchInputs(r, "target", targets, isSplit(weights.decoder));
  const source = sources && recordSources(r, sources, model);
  const common = { queries: packed, heads, headDim: hidden / heads };
  const looked = { self: [] as Ref[], cross: [] as Ref[] };
  const attention = (
    kind: "self" | "cross",
    columns: readonly [q: Columns, k: Columns, v: Columns],
    at: Attending,
    keys: Batch,
  ): Ref => {
    const [q, k, v] = columns;
    if (wanted[kind === "self" ? "decoderAttentions" : "crossAttentions"]) {
      const size = heads * offsetsOf(targets, keys).at(-1)!;
      looked[kind].push(probabilitiesOf(r, q, k, at, offsets(kind), size));
    }
    return attend(r, q, k, v, at);
  };
  const known = new Map<string, Ref>();
  const offsets = (kind: string): Ref => {
    const found = known.get(kind) ?? r.input(`${kind} offsets`, [targets.cuSeqlens.length - 1], "u32");
    known.set(kind, found);
    return found;
  };
  const { embeddings, layers, head } = weights.decoder;
  const embedded = embed(r, packed, wordIds, embeddings, embeddings.norm, decoder.layerNormEps, dtype);
  const states = decoderStates(r, embedded, layers, decoder, {
    self(of) {
      const columns = [0, hidden, 2 * hidden].map((offset) => ({ of, offset })) as [Columns, Columns, Columns];
      return attention("self", columns, { ...common, keys: packed, causal: true }, targets);
    },
    cross(of, layer) {
      const keyValue = linear(r, source!.given, layers[layer]!.cross!.keyValue);
      const columns = [
        { of, offset: 0 },
        { of: keyValue, offset: 0 },
        { of: keyValue, offset: hidden },
      ] as const;
      return attention("cross", columns, { ...common, keys: source!.packed, causal: false }, sources!);
    },
  });
  const outputs: [name: keyof GenerationWanted, refs: readonly Ref[]][] = [
    ["logits", wanted.logits ? [vocabularyLogits(r, states.at(-1)!, head, decoder)] : []],
    ["encoderLastHiddenState", source ? [source.last] : []],
    ["decoderHiddenStates", states],
    ["decoderAttentions", looked.self],
    ["crossAttentions", looked.cross],
  ];
  for (const [name, refs] of outputs) {
    if (wanted[name]) for (const [i, ref] of refs.entries()) r.output(`${name}.${i}`, ref);
  }
  return (data, { targets, sources }) => {
    const given: Record<string, unknown> = { cuSeqlens: targets.cuSeqlens };
    for (const [name, refs] of outputs) {
      if (!wanted[name]) continue;
      const values = refs.map(({ shape }, i) => ({ shape, data: data[`${name}.${i}`] as Float32Array }));
      if (name === "decoderAttentions") given[name] = values.map((layer) => split(layer, heads, targets, targets));
      else if (name === "crossAttentions") given[name] = values.map((layer) => split(layer, heads, targets, sources!));
      else given[name] = name === "decoderHiddenStates" ? values : values[0];
    }
    return given as unknown as GenerationForward;
  };
}

/** The probabilities of a layer, pair by pair. */
function split({ data }: Values, heads: number, queries: Batch, keys: Batch): Values[] {
  const offsets = offsetsOf(queries, keys);
  const length = ({ cuSeqlens }: Batch, s: number): number => cuSeqlens[s + 1]! - cuSeqlens[s]!;
  return Array.from({ length: offsets.length - 1 }, (_, s) => ({
    shape: [heads, length(queries, s), length(keys, s)],
    data: data.subarray(heads * offsets[s]!, heads * offsets[s + 1]!),
  }));
}
