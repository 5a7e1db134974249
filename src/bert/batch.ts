/** A batch of sequences as the encoder takes it: tokens laid end to end, checked against the configuration. */

import type { BertConfig } from "./config.ts";

/** One sequence of token ids, special tokens included. An `Encoding` of the tokenizer fits but for its names. */
export interface Sequence {
  readonly inputIds: ArrayLike<number>;
  /** 0 where not given. */
  readonly tokenTypeIds?: ArrayLike<number> | undefined;
  /** 0, 1, 2, ... where not given. */
  readonly positionIds?: ArrayLike<number> | undefined;
  /** 1: others attend to this token. 0: it is computed, but nobody sees it. All 1 where not given. */
  readonly attentionMask?: ArrayLike<number> | undefined;
}

export interface Batch {
  /** [tokens, 4]: word id, token type, position, 1 unless masked */
  readonly tokens: Uint32Array;
  /** [tokens] */
  readonly wordIds: Uint32Array;
  /** [sequences + 1] */
  readonly cuSeqlens: Uint32Array;
  readonly masked: boolean;
}

/** @throws RangeError naming the sequence, the token, its value and the bound */
export function packBatch(sequences: readonly Sequence[], config: BertConfig): Batch {
  if (sequences.length === 0) throw new RangeError("the batch has no sequences, at least 1 is needed");
  const cuSeqlens = new Uint32Array(sequences.length + 1);
  sequences.forEach(({ inputIds }, s) => {
    if (inputIds.length === 0) throw new RangeError(`sequence ${s} is empty, at least 1 token is needed`);
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
      const keep = attentionMask && !attentionMask[i] ? 0 : 1;
      if (keep === 0) masked = true;
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
