/** Encodings: tokens with everything a model and a reader of its output need, put together from a template. */

import type { Cut } from "./truncation.ts";

/** The tokens of one text before special ones join them: parallel arrays. */
export interface TextTokens {
  readonly ids: number[];
  /** [start, end) in UTF-16 units of the text as given, or of the word as given. */
  readonly starts: number[];
  readonly ends: number[];
  readonly words: number[];
  /** What the text says where it differs from the token: an added token with the white space that it swallowed. */
  readonly surfaces: Map<number, string>;
}

export function emptyTokens(): TextTokens {
  return { ids: [], starts: [], ends: [], words: [], surfaces: new Map() };
}

/** Leaves the first `count` tokens. */
export function truncate({ ids, starts, ends, words }: TextTokens, count: number): void {
  ids.length = starts.length = ends.length = words.length = count;
}

/** Appends a token. */
export function push(into: TextTokens, id: number, start: number, end: number, word: number): void {
  into.ids.push(id);
  into.starts.push(start);
  into.ends.push(end);
  into.words.push(word);
}

/** One row of model input. All arrays have the same length: the tokens, special ones and padding included. */
export interface Encoding {
  readonly ids: number[];
  readonly tokens: string[];
  /** 0 for the first text, 1 for the second. */
  readonly typeIds: number[];
  /** 1 for tokens, 0 for padding. */
  readonly attentionMask: number[];
  /** 1 for special tokens and padding. */
  readonly specialTokensMask: number[];
  /** [start, end) in UTF-16 units of the text as given (of its word, for words); [0, 0] for special tokens. */
  readonly offsets: [start: number, end: number][];
  /** The word, counted per text, that a token is part of; null for special tokens. */
  readonly wordIds: (number | null)[];
  /** Which text a token is from; null for special tokens. */
  readonly sequenceIds: (0 | 1 | null)[];
  /** The windows after this one, with `returnOverflow`. Their own `overflow` is empty. */
  readonly overflow: Encoding[];
}

/** A text or a special token in its place. */
export type TemplatePiece =
  | { readonly sequence: 0 | 1; readonly typeId: number }
  | { readonly ids: readonly number[]; readonly tokens: readonly string[]; readonly typeId: number };

/** How texts and special tokens make one encoding: `[CLS] A [SEP]`. */
export type Template = readonly TemplatePiece[];

export interface Templates {
  readonly single: Template;
  readonly pair: Template;
}

/** A special token by name and number. */
export interface NamedId {
  readonly id: number;
  readonly token: string;
}

/** `[CLS] A [SEP]` and `[CLS] A [SEP] B [SEP]`, the second text and its separator of type 1. */
export function bertTemplates(cls: NamedId, sep: NamedId): Templates {
  const special = ({ id, token }: NamedId, typeId: number): TemplatePiece => ({ ids: [id], tokens: [token], typeId });
  const single: Template = [special(cls, 0), { sequence: 0, typeId: 0 }, special(sep, 0)];
  return { single, pair: [...single, { sequence: 1, typeId: 1 }, special(sep, 1)] };
}

/** The number of special tokens that a template adds. */
export function addedBy(template: Template): number {
  return template.reduce((sum, piece) => sum + ("ids" in piece ? piece.ids.length : 0), 0);
}

/** One encoding of the tokens that `cut` leaves of each sequence. `idToToken` spells them. */
export function assemble(
  template: Template,
  sequences: readonly TextTokens[],
  cut: Cut,
  addSpecialTokens: boolean,
  idToToken: readonly (string | undefined)[],
): Encoding {
  const encoding = emptyEncoding();
  for (const piece of template) {
    if ("ids" in piece) {
      if (addSpecialTokens)
        piece.ids.forEach((id, i) => void pushToken(encoding, id, piece.tokens[i]!, piece.typeId, 1));
      continue;
    }
    const { ids, starts, ends, words, surfaces } = sequences[piece.sequence]!;
    const [start, end] = cut[piece.sequence]!;
    for (let i = start; i < end; i++) {
      const token = (surfaces.size > 0 && surfaces.get(i)) || idToToken[ids[i]!]!;
      pushToken(encoding, ids[i]!, token, piece.typeId, 1, [starts[i]!, ends[i]!], words[i]!, piece.sequence);
    }
  }
  return encoding;
}

/** Pads the encoding and its overflow, in place, to `length` tokens. Longer ones stay. */
export function pad(encoding: Encoding, length: number, id: number, token: string): void {
  while (encoding.ids.length < length) pushToken(encoding, id, token, 0, 0);
  for (const window of encoding.overflow) pad(window, length, id, token);
}

/** Without a sequence that it is of, a special token. */
function pushToken(
  encoding: Encoding,
  id: number,
  token: string,
  typeId: number,
  attended: 0 | 1,
  offsets: [start: number, end: number] = [0, 0],
  word: number | null = null,
  sequence: 0 | 1 | null = null,
): void {
  encoding.ids.push(id);
  encoding.tokens.push(token);
  encoding.typeIds.push(typeId);
  encoding.attentionMask.push(attended);
  encoding.specialTokensMask.push(sequence === null ? 1 : 0);
  encoding.offsets.push(offsets);
  encoding.wordIds.push(word);
  encoding.sequenceIds.push(sequence);
}

function emptyEncoding(): Encoding {
  return {
    ids: [],
    tokens: [],
    typeIds: [],
    attentionMask: [],
    specialTokensMask: [],
    offsets: [],
    wordIds: [],
    sequenceIds: [],
    overflow: [],
  };
}
