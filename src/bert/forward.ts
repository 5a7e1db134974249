/**
 * A batch of sequences, laid end to end and checked against the configuration, and the forward pass on it, recorded: the
 * encoder, and of the heads those that are asked for.
 */

import { requireKnown } from "../files/options.ts";
import {
  attentionProbabilities,
  embed,
  layerNorm,
  linear,
  nonFinite,
  type PackedTokens,
  selfAttention,
} from "../runtime/ops.ts";
import type { OutputData } from "../runtime/program.ts";
import type { Recorder, Ref } from "../runtime/recorder.ts";
import type { Batch, Sequence } from "./batch.ts";
import type { BertConfig } from "./config.ts";
import type { AnyHead, Prepared, Raw, RawOutputs, Refs } from "./heads/head.ts";
import { ALL_HEADS, type HeadName } from "./heads/index.ts";
import { blocksOf, requireFinite } from "./non_finite.ts";
import type { Forward, Wanted } from "./outputs.ts";
import type { BertWeights, LayerWeights } from "./weights.ts";

/** Masked and not, and the same as booleans. */
const MASKS: readonly unknown[] = [0, 1, false, true];

/** @throws RangeError naming the sequence, the token, its value and the bound; TypeError for a mask that is no 0 or 1 */
export function packBatch(sequences: readonly Sequence[], config: BertConfig): Batch {
  if (!Array.isArray(sequences)) throw new TypeError("sequences are no list; give one: [{ inputIds }]");
  if (sequences.length === 0) throw new RangeError("the batch has no sequences, at least 1 is needed");
  const cuSeqlens = new Uint32Array(sequences.length + 1);
  sequences.forEach(({ inputIds }, s) => {
    if (!inputIds?.length) throw new RangeError(`sequence ${s} is empty, at least 1 token is needed`);
    cuSeqlens[s + 1] = cuSeqlens[s]! + inputIds.length;
  });
  const total = cuSeqlens[sequences.length]!;
  const tokens = new Uint32Array(total * 4);
  const wordIds = new Uint32Array(total);
  let masked = false;
  sequences.forEach(({ inputIds, tokenTypeIds, positionIds, attentionMask }, s) => {
    const length = inputIds.length;
    for (const [name, list] of Object.entries({ tokenTypeIds, positionIds, attentionMask })) {
      if (list && list.length !== length) {
        throw new RangeError(`sequence ${s}: ${name} has ${list.length} entries, inputIds has ${length}`);
      }
    }
    for (let i = 0; i < length; i++) {
      const at = (cuSeqlens[s]! + i) * 4;
      const id = bounded(inputIds[i]!, config.vocabSize, "inputIds", "vocab_size", s, i);
      const seen = attentionMask ? MASKS.indexOf(attentionMask[i]) : 1;
      if (seen < 0) {
        throw new TypeError(
          `sequence ${s}: attentionMask[${i}] is ${attentionMask![i]}; 1: others attend to this token, 0: masked; additive masks are not taken`,
        );
      }
      const keep = seen & 1;
      if (!keep) masked = true;
      wordIds[cuSeqlens[s]! + i] = id;
      tokens[at] = id;
      tokens[at + 1] = bounded(tokenTypeIds?.[i] ?? 0, config.typeVocabSize, "tokenTypeIds", "type_vocab_size", s, i);
      const positions = config.maxPositionEmbeddings;
      tokens[at + 2] = bounded(positionIds?.[i] ?? i, positions, "positionIds", "max_position_embeddings", s, i);
      tokens[at + 3] = keep;
    }
  });
  return { tokens, wordIds, cuSeqlens, masked };
}

function bounded(value: number, end: number, name: string, bound: string, sequence: number, token: number): number {
  if (!Number.isInteger(value) || value < 0 || value >= end) {
    const remedy = name === "positionIds" ? "; truncate the sequence" : "";
    throw new RangeError(
      `sequence ${sequence}: ${name}[${token}] is ${value}, ${bound} allows 0 to ${end - 1}${remedy}`,
    );
  }
  return value;
}

/** A batch and what is wanted of it, checked; nothing is on the GPU yet. */
export interface PreparedForward extends Prepared<Wanted> {
  readonly sizes: Partial<Readonly<Record<HeadName, number>>>;
  /** Whether outputs that are not finite are an error. */
  readonly checked: boolean;
  /** All that a recording depends on beside the model. */
  readonly key: string;
}

export interface ForwardModel {
  readonly config: BertConfig;
  readonly dtype: "f32" | "f16";
  readonly weights: BertWeights;
}

/** Names and shapes what a recorded program has computed for a batch like the one it was recorded for. */
export type Collect = (outputs: Readonly<Record<string, OutputData>>, prepared: PreparedForward) => Forward;

/** What is wanted of a head. */
export function askedOf({ outputs }: AnyHead, wanted: Wanted): string[] {
  return Object.keys(outputs).filter((output) => (wanted[output as keyof Wanted] ?? false) !== false); // 0 is refused later
}

/** The heads of which something is wanted. @throws TypeError for what none of them has, with all that they have */
export function headsFor(wanted: Wanted): (readonly [name: HeadName, head: AnyHead])[] {
  requireKnown("wanted", wanted, Object.assign({}, ...ALL_HEADS.map(([, { outputs }]) => outputs)));
  return ALL_HEADS.filter(([, head]) => askedOf(head, wanted).length > 0);
}

/** @throws as `packBatch` and `headsFor`, and RangeError for what cannot be asked of these sequences */
export function prepareForward(
  sequences: readonly Sequence[],
  wanted: Wanted,
  config: BertConfig,
  checked: boolean = false,
): PreparedForward {
  const batch = packBatch(sequences, config);
  const inputs: Record<string, Uint32Array> = {};
  const sizes: Partial<Record<HeadName, number>> = {};
  for (const [name, head] of headsFor(wanted)) {
    const own = head.prepare?.(wanted, batch, config);
    if (!own) continue;
    Object.assign(inputs, own.inputs);
    sizes[name] = own.size;
  }
  const { wordIds, masked } = batch;
  const key = JSON.stringify([
    wordIds.length,
    sequences.length,
    masked,
    sizes,
    { ...wanted, predictionRows: undefined },
    checked,
  ]);
  return { batch, wanted, inputs, sizes, checked, key };
}

/** What a program for `prepared` is run with. */
export function inputsOf({ batch, inputs }: PreparedForward, weights: BertWeights): Record<string, Uint32Array> {
  const { tokens, cuSeqlens, wordIds } = batch;
  return { tokens, cuSeqlens, ...(readsWordIds(weights) && { wordIds }), ...inputs };
}

/** A word table that is split over several bindings is gathered from first. */
function readsWordIds({ embeddings }: BertWeights): boolean {
  return embeddings.word.parts.length > 1;
}

export function recordForward(r: Recorder, prepared: PreparedForward, model: ForwardModel): Collect {
  const { config, weights } = model;
  const { batch, wanted, sizes, checked } = prepared;
  const count = batch.wordIds.length;
  const packed: PackedTokens = {
    tokens: r.input("tokens", [count, 4], "u32"),
    cuSeqlens: r.input("cuSeqlens", [batch.cuSeqlens.length], "u32"),
    masked: batch.masked || r.traits.batchInvariant === true, // one kernel for both
  };
  const wordIds = readsWordIds(weights) ? r.input("wordIds", [count], "u32") : undefined;
  const own = Object.entries(prepared.inputs).map(([name, { length }]) => [name, r.input(name, [length], "u32")]);
  const inputs: Readonly<Record<string, Ref>> = Object.fromEntries(own);
  const { probOffsets: offsets } = inputs;
  const probabilities = offsets && { offsets, size: sizes.attentions! };
  const encoded = encode(r, packed, wordIds, probabilities, model);

  const shared: Record<string, Ref> = {};
  const once = (name: string, record: () => Ref): Ref => {
    shared[name] ??= record();
    return shared[name];
  };
  const context = { ...packed, ...encoded, hidden: encoded.hiddenStates.at(-1)!, config, inputs, once };
  const recorded = headsFor(wanted).map(([name, head]) => {
    const refs = head.record(r, wanted, { ...context, weights: weights.heads[name], size: sizes[name] });
    return { head, read: readBack(r, refs) };
  });
  const floats = new Map([...(checked ? r.outputs : [])].filter(([, { dtype }]) => dtype !== "u32"));
  for (const [name, ref] of floats) r.output(blocksOf(name), nonFinite(r, ref));
  return (outputs, prepared) => {
    const parts = recorded.map(({ head, read }) => head.give?.(read(outputs), prepared, config) ?? read(outputs));
    const forward: Forward = Object.assign({ cuSeqlens: prepared.batch.cuSeqlens }, ...parts);
    requireFinite(floats, outputs, forward);
    return forward;
  };
}

/** Has a head's refs read back; the result puts their shapes to the data. */
function readBack(r: Recorder, refs: Refs): (outputs: Readonly<Record<string, OutputData>>) => RawOutputs {
  for (const [name, ref] of Object.entries(refs)) {
    if (isRef(ref)) r.output(name, ref);
    else for (const [i, one] of ref.entries()) r.output(`${name}.${i}`, one);
  }
  return (outputs) => {
    const raw = (name: string, { shape }: Ref): Raw => ({ shape, data: outputs[name]! });
    const entries = Object.entries(refs).map(([name, ref]) => [
      name,
      isRef(ref) ? raw(name, ref) : ref.map((one, i) => raw(`${name}.${i}`, one)),
    ]);
    return Object.fromEntries(entries);
  };
}

function isRef(refs: Refs[string]): refs is Ref {
  return "id" in refs;
}

interface Encoded {
  /** [tokens, hidden] after the embeddings and after each layer; the last is the last hidden state. */
  readonly hiddenStates: readonly Ref[];
  /** Per layer [heads, length, length] of each sequence, where asked for. */
  readonly attentions: readonly Ref[];
}

/** Where the attention probabilities of each sequence begin, u32 [sequences], and how many there are in a layer. */
interface Probabilities {
  readonly offsets: Ref;
  readonly size: number;
}

/** The encoder. */
export function encode(
  r: Recorder,
  packed: PackedTokens,
  wordIds: Ref | undefined,
  probabilities: Probabilities | undefined,
  { config, weights: { embeddings, layers }, dtype }: ForwardModel,
): Encoded {
  const { layerNormEps: eps, numAttentionHeads: heads, hiddenAct: activation } = config;
  const attentions: Ref[] = [];
  const encodeLayer = (x: Ref, layer: LayerWeights): Ref => {
    const qkv = linear(r, x, layer.qkv); // [tokens, 3 * hidden]
    if (probabilities) {
      attentions.push(attentionProbabilities(r, qkv, packed, heads, probabilities.offsets, probabilities.size));
    }
    const context = selfAttention(r, qkv, packed, heads); // [tokens, hidden]
    const projected = linear(r, context, layer.attentionOutput);
    const attended = layerNorm(r, projected, layer.attentionNorm, eps, x); // LayerNorm(projected + x)
    const inner = linear(r, attended, layer.intermediate, { activation }); // [tokens, intermediate]
    const outer = linear(r, inner, layer.output); // [tokens, hidden]
    return layerNorm(r, outer, layer.outputNorm, eps, attended);
  };
  const hiddenStates = [embed(r, packed, wordIds, embeddings, embeddings.norm, eps, dtype)]; // [tokens, hidden]
  for (const layer of layers) hiddenStates.push(encodeLayer(hiddenStates.at(-1)!, layer));
  return { hiddenStates, attentions };
}
