/** Who attends to whom: the encoder records it beside its own attention, which keeps no probabilities. */

import type { Head, Values } from "./head.ts";

export interface AttentionsWanted {
  /** Per layer, for each sequence in turn [heads, length, length]. */
  readonly attentions?: boolean | undefined;
}

interface Attentions<Layer> {
  /** Per layer [heads, length, length], of a batch for each sequence in turn. */
  readonly attentions?: readonly Layer[];
}

/** What a u32 can count. */
const MOST_ELEMENTS = 4_294_967_295;

export const attentions: Head<AttentionsWanted, undefined, Attentions<readonly Values[]>, Attentions<Values>> = {
  outputs: { attentions: "sequence" },
  prepare(_, { cuSeqlens }, { numAttentionHeads: heads }) {
    const probOffsets = new Uint32Array(cuSeqlens.length - 1);
    let size = 0;
    for (let s = 0; s < probOffsets.length; s++) {
      probOffsets[s] = size;
      size += heads * (cuSeqlens[s + 1]! - cuSeqlens[s]!) ** 2;
      if (size <= MOST_ELEMENTS) continue;
      throw new RangeError(`attentions: a layer has ${size}, at most ${MOST_ELEMENTS} fit; ask for fewer sequences`);
    }
    return { inputs: { probOffsets }, size };
  },
  record: (_, __, { attentions }) => ({ attentions }),
  give(raw, { batch: { cuSeqlens }, inputs }, { numAttentionHeads: heads }) {
    const split = ({ data }: Values): Values[] =>
      Array.from(inputs.probOffsets!, (begin, s) => {
        const length = cuSeqlens[s + 1]! - cuSeqlens[s]!;
        return { shape: [heads, length, length], data: data.subarray(begin, begin + heads * length * length) };
      });
    return { attentions: (raw.attentions as readonly Values[]).map(split) };
  },
  split: ({ attentions }, { index }) => ({ attentions: attentions!.map((layer) => layer[index]!) }),
  elements: (_, length, __, { numHiddenLayers, numAttentionHeads }) =>
    numHiddenLayers * numAttentionHeads * length ** 2,
};
