/** Masked language modelling: which word pieces are to be guessed, and what stands in their place. */

import type { Encoding } from "../../bert/tokenizer/tokenizer.ts";
import type { Example } from "../step.ts";
import { below, type Draw, shuffle } from "./draw.ts";

/** Word pieces of a sequence, and which of them make a word. */
export interface Pieces {
  readonly ids: ArrayLike<number>;
  readonly typeIds?: ArrayLike<number> | undefined;
  /** Number of the word that a piece belongs to, -1 for special tokens, which are never chosen. */
  readonly words: ArrayLike<number>;
}

export interface MaskingOptions {
  /** [MASK]. */
  readonly mask: number;
  readonly vocabSize: number;
  /** Ids that never stand in for a word. */
  readonly special: ReadonlySet<number>;
  /** Share of pieces that are to be guessed, rounded, at least 1 of a sequence. Default 0.15. */
  readonly share?: number | undefined;
  /** All pieces of a word or none. Default false. */
  readonly wholeWord?: boolean | undefined;
}

/** Of what is guessed: replaced by [MASK], and by any word piece; the rest stays as it is. */
const MASKED = 0.8;
const ANY = 0.1;

/** `-100`: nothing is to be guessed there. */
export const NONE = -100;

/** What a corpus is held as. Words are numbered over both texts of a pair. */
export function piecesOf({ ids, typeIds, wordIds, sequenceIds }: Encoding): Pieces {
  let word = -1;
  const words = wordIds.map((own, i) => {
    if (own === null) return -1;
    const goes = i > 0 && own === wordIds[i - 1] && sequenceIds[i] === sequenceIds[i - 1];
    return goes ? word : ++word;
  });
  return {
    ids: Uint32Array.from(ids),
    ...(typeIds.some((type) => type > 0) && { typeIds: Uint8Array.from(typeIds) }),
    words: Int32Array.from(words),
  };
}

/** A sequence with some of its pieces hidden, and what they were. */
export function maskedExample({ ids, typeIds, words }: Pieces, options: MaskingOptions, draw: Draw): Example {
  const { mask, vocabSize, special, share = 0.15, wholeWord = false } = options;
  const groups = groupsOf(words, wholeWord);
  const pieces = groups.reduce((sum, group) => sum + group.length, 0);
  const most = Math.max(1, Math.round(pieces * share));
  const inputIds = Uint32Array.from(ids);
  const labels = new Int32Array(ids.length).fill(NONE);
  let chosen = 0;
  for (const group of shuffle(groups, draw)) {
    if (chosen >= most) break;
    if (chosen > 0 && chosen + group.length > most) continue; // a shorter word may still fit
    chosen += group.length;
    for (const at of group) {
      labels[at] = ids[at]!;
      const kind = draw();
      if (kind < MASKED) inputIds[at] = mask;
      else if (kind < MASKED + ANY) inputIds[at] = anyPiece(vocabSize, special, draw);
    }
  }
  return { sequence: { inputIds, tokenTypeIds: typeIds }, labels: { words: labels } };
}

function groupsOf(words: ArrayLike<number>, wholeWord: boolean): number[][] {
  const groups: number[][] = [];
  for (let i = 0; i < words.length; i++) {
    if (words[i]! < 0) continue;
    if (wholeWord && i > 0 && words[i] === words[i - 1]) groups.at(-1)!.push(i);
    else groups.push([i]);
  }
  return groups;
}

function anyPiece(vocabSize: number, special: ReadonlySet<number>, draw: Draw): number {
  for (;;) {
    const id = below(draw, vocabSize);
    if (!special.has(id)) return id;
  }
}
