/** Everything that the views show of one text: a single forward. */

import type { Encoding, Pretrained, Sequence, TopPredictions, Values, Wanted } from "bert-webgpu";
import { maxLength } from "bert-webgpu";

/** Maps and tables of more tokens are neither quick to draw nor easy to read. */
export const MOST_TOKENS = 64;
/** From so many tokens on, a matrix is as wide as the page. */
export const LONG = 28;
/** Guesses per token and layer. */
export const GUESSES = 5;

export interface Token {
  readonly text: string;
  /** Added around the texts, such as [CLS]. */
  readonly special: boolean;
  readonly masked: boolean;
  /** 0 for the first text, 1 for the pair; null for special tokens. */
  readonly of: 0 | 1 | null;
  /** Belongs to the word that the token before it begins. */
  readonly continues: boolean;
  /** [start, end) in UTF-16 units of its text. */
  readonly at: readonly [start: number, end: number];
}

export interface Look {
  readonly tokens: readonly Token[];
  /** Of the texts as given, before anything was cut. */
  readonly given: number;
  readonly heads: number;
  readonly layers: number;
  /** Per layer [heads, tokens, tokens]. */
  readonly attentions: readonly Values[];
  /** The embeddings' output, then that of each layer, each [tokens, hidden]. */
  readonly hiddenStates: readonly Values[];
  /** Of the embeddings' output, then of each layer; none without a masked-LM head. */
  readonly guesses: readonly TopPredictions[] | undefined;
  spell(id: number): string;
}

/** What is asked of the model; guesses only where it has the head for them. */
export function wantedOf({ model }: Pretrained): Wanted {
  const guesses = model.has("predictionLogits") && { layerPredictionTopK: Math.min(GUESSES, model.config.vocabSize) };
  return { attentions: true, hiddenStates: true, ...guesses };
}

export async function lookInside(bert: Pretrained, text: string, pair: string, signal: AbortSignal): Promise<Look> {
  const { model, tokenizer } = bert;
  const whole = tokenizer.encode(text, pair || undefined);
  const most = Math.min(MOST_TOKENS, maxLength(bert));
  const encoding =
    whole.ids.length <= most
      ? whole
      : tokenizer.encode(text, pair || undefined, { truncation: "longest_first", maxLength: most });
  const sequence: Sequence = { inputIds: encoding.ids, tokenTypeIds: encoding.typeIds };
  const output = await model.forward([sequence], wantedOf(bert), { signal });
  return {
    tokens: tokensOf(bert, encoding),
    given: whole.ids.length,
    heads: model.config.numAttentionHeads,
    layers: model.config.numHiddenLayers,
    attentions: output.attentions!.map(([values]) => values!),
    hiddenStates: output.hiddenStates!,
    guesses: output.layerPredictionTopK,
    spell: (id) => tokenizer.idToToken(id) ?? `#${id}`,
  };
}

function tokensOf({ tokenizer }: Pretrained, encoding: Encoding): Token[] {
  const { ids, wordIds, sequenceIds, specialTokensMask, offsets } = encoding;
  return ids.map((id, i) => ({
    text: tokenizer.idToToken(id) ?? `#${id}`,
    special: specialTokensMask[i] === 1,
    masked: id === tokenizer.special.mask,
    of: sequenceIds[i]!,
    continues: i > 0 && wordIds[i] !== null && wordIds[i] === wordIds[i - 1] && sequenceIds[i] === sequenceIds[i - 1],
    at: offsets[i]!,
  }));
}

/** `embeddings`, `layer 1`, ... as states are counted: one more than there are layers. */
export function stateName(state: number): string {
  return state === 0 ? "embeddings" : `layer ${state}`;
}
