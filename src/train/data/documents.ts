/** Pairs for BERT's pre-training: B follows A in its document, or comes from another one. */

import type { TrainingData } from "../options.ts";
import type { Example } from "../step.ts";
import { below, type Draw, drawsFor, permutation, shuffled } from "./draw.ts";
import { type MaskingOptions, maskedExample, type Pieces } from "./masking.ts";

/** Word pieces of a sentence, without special tokens: a piece goes on with a word where `words` repeats. */
export type Sentence = Pieces;
export type Document = readonly Sentence[];

export interface PairOptions extends MaskingOptions {
  readonly cls: number;
  readonly sep: number;
  /** Tokens of a pair, [CLS] and both [SEP] included. */
  readonly maxLength: number;
  /** Share of pairs that are shorter, so that short ones are learnt as well. Default 0.1. */
  readonly shortShare?: number | undefined;
}

/** Examples among which an order is drawn; documents are in an order of their own. */
const HELD = 16384;

/** B follows A, or is from anywhere: what Hugging Face has as labels. */
const FOLLOWS = 0;
const ANYWHERE = 1;

/**
 * Each epoch cuts the documents anew. A document of one sentence has nothing that follows: it is used for random Bs alone.
 * @throws RangeError for fewer than two documents, or none with two sentences
 */
export function pairEpochs(documents: readonly Document[], seed: number, options: PairOptions): TrainingData {
  const whole = documents.filter((sentences) => sentences.length > 0);
  if (whole.length < 2) {
    throw new RangeError(`${whole.length} documents; pairs need at least 2, with a blank line between them`);
  }
  if (!whole.some(({ length }) => length > 1)) {
    throw new RangeError(`none of ${whole.length} documents has two sentences: write one a line`);
  }
  return {
    epoch(epoch) {
      const pairs = function* (): Generator<{ readonly pair: Pair; readonly draw: Draw }> {
        for (const at of permutation(whole.length, drawsFor(seed, epoch, 4))) {
          const draw = drawsFor(seed, epoch, 5, at);
          for (const pair of pairsOf(whole, at, options, draw)) yield { pair, draw: drawsFor(below(draw, 2 ** 31)) };
        }
      };
      return examples(shuffled(pairs(), HELD, drawsFor(seed, epoch, 6)), options);
    },
  };
}

async function* examples(
  pairs: AsyncIterable<{ readonly pair: Pair; readonly draw: Draw }>,
  options: PairOptions,
): AsyncGenerator<Example> {
  for await (const { pair, draw } of pairs) {
    const { sequence, labels } = maskedExample(joined(pair, options), options, draw);
    yield { sequence, labels: { ...labels, next: pair.next } };
  }
}

interface Piece {
  readonly id: number;
  /** Whether it goes on with the word before. */
  readonly inside: boolean;
}

interface Pair {
  readonly a: readonly Piece[];
  readonly b: readonly Piece[];
  readonly next: number;
}

/** Google's way: sentences are gathered to the length that is wanted, then parted at one of their ends. */
function* pairsOf(
  documents: readonly Document[],
  own: number,
  { maxLength, shortShare = 0.1 }: PairOptions,
  draw: Draw,
): Generator<Pair> {
  const document = documents[own]!;
  const most = maxLength - 3;
  if (document.length < 2) return;
  let begin = 0;
  while (begin < document.length) {
    const wanted = draw() < shortShare ? 2 + below(draw, Math.max(1, most - 1)) : most;
    if (begin === document.length - 1) begin--; // the last one, left alone, follows the one before
    let end = begin;
    let length = 0;
    while (end < document.length && (end - begin < 2 || length < wanted)) length += document[end++]!.ids.length;
    const middle = begin + 1 + below(draw, end - begin - 1);
    const a = document.slice(begin, middle).flatMap(listOf);
    const follows = draw() < 0.5;
    const b = follows
      ? document.slice(middle, end).flatMap(listOf)
      : anywhere(documents, own, Math.max(1, wanted - a.length), draw);
    yield { ...cut(a, b, wanted, draw), next: follows ? FOLLOWS : ANYWHERE };
    begin = follows ? end : middle; // what stood after A is used yet
    if (!follows && begin === document.length - 1) return;
  }
}

function anywhere(documents: readonly Document[], own: number, most: number, draw: Draw): Piece[] {
  const other = (own + 1 + below(draw, documents.length - 1)) % documents.length;
  const document = documents[other]!;
  const pieces: Piece[] = [];
  for (let i = below(draw, document.length); i < document.length && pieces.length < most; i++) {
    pieces.push(...listOf(document[i]!));
  }
  return pieces;
}

function listOf({ ids, words }: Sentence): Piece[] {
  return Array.from(ids, (id, i) => ({ id, inside: i > 0 && words[i] === words[i - 1] }));
}

/** Both together no longer than `most`: the longer one gives way, at its beginning or at its end. */
function cut(a: readonly Piece[], b: readonly Piece[], most: number, draw: Draw): Pick<Pair, "a" | "b"> {
  const ranges = [a, b].map(({ length }) => ({ begin: 0, end: length }));
  const sizeOf = ({ begin, end }: { begin: number; end: number }): number => end - begin;
  const [first, second] = ranges as [{ begin: number; end: number }, { begin: number; end: number }];
  while (sizeOf(first) + sizeOf(second) > most) {
    const longer = sizeOf(first) > sizeOf(second) ? first : second;
    if (draw() < 0.5) longer.begin++;
    else longer.end--;
  }
  return { a: a.slice(first.begin, first.end), b: b.slice(second.begin, second.end) };
}

/** [CLS] A [SEP] B [SEP] */
function joined({ a, b }: Pair, { cls, sep }: PairOptions): Pieces {
  const ids = [cls, ...a.map(({ id }) => id), sep, ...b.map(({ id }) => id), sep];
  let word = -1;
  const number = ({ inside }: Piece, i: number): number => (inside && i > 0 ? word : ++word);
  const words = [-1, ...a.map(number), -1, ...b.map(number), -1];
  return { ids, words, typeIds: ids.map((_, i) => (i < a.length + 2 ? 0 : 1)) };
}
