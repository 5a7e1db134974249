/** What a forward pass takes: sequences of tokens, and how they lie in one batch. */

/** One sequence of token ids, special tokens included. An `Encoding` of the tokenizer fits but for its names. */
export interface Sequence {
  readonly inputIds: ArrayLike<number>;
  /** 0 where not given. */
  readonly tokenTypeIds?: ArrayLike<number> | undefined;
  /** 0, 1, 2, ... where not given. */
  readonly positionIds?: ArrayLike<number> | undefined;
  /** 1: others attend to this token. 0: it is computed, but nobody sees it. Nothing else; all 1 where not given. */
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
