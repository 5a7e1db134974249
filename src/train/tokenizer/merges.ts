/**
 * Byte-pair merges of words: of all pairs of neighbouring pieces the most frequent becomes a piece, again and again.
 * Counts follow each merge in the words where the pair stands, no others. Mirrors do_train of
 * tokenizers/src/models/bpe/trainer.rs, on which its WordPieceTrainer rests.
 */

import { createQueue } from "./queue.ts";

/** What a piece inside a word begins with. */
export const PREFIX = "##";

/** Code points of a piece, without its prefix: BERT's tokenizer cuts no longer word. */
const LONGEST_PIECE = 100;

export interface SpelledWords {
  /** Ids of pieces, word after word. Merges change them. */
  readonly symbols: Int32Array;
  /** Where each word begins, and the last one ends. */
  readonly starts: Int32Array;
  /** How often each word was there. */
  readonly counts: Float64Array;
}

/** Two pieces, one after the other in a word. */
interface Pair {
  readonly a: number;
  readonly b: number;
  /** How often they stand so in all words. */
  count: number;
  /** Words in which a merge has brought them together, and for which they are yet to be queued. */
  found: number[];
}

/** A pair that is to be merged in these words; `count` may have changed since. */
interface Candidate {
  readonly pair: Pair;
  readonly words: readonly number[];
  count: number;
}

/** The more frequent pair; of such as are equally frequent the one of the lower first id, then of the lower second one. */
function isBefore(one: Candidate, other: Candidate): boolean {
  if (one.count !== other.count) return one.count > other.count;
  return one.pair.a !== other.pair.a ? one.pair.a < other.pair.a : one.pair.b < other.pair.b;
}

/**
 * Appends a piece for each merge to `pieces`, until there are `vocabSize` of them or no pair is left that is there
 * `minFrequency` times. Gives way after each, and before them as pairs are counted, so that a caller may do other things.
 * @param pieces by id; those of one character are there
 */
export function* mergePairs(
  { symbols, starts, counts }: SpelledWords,
  pieces: string[],
  { vocabSize, minFrequency }: { readonly vocabSize: number; readonly minFrequency: number },
): Generator<void> {
  const ids = new Map(pieces.map((piece, id) => [piece, id]));
  const sizes = pieces.map(() => 1);
  /** By the first id, then the second. */
  const pairs: Map<number, Pair>[] = [];
  const queue = createQueue(isBefore);
  /** Those with words in `found`. */
  let changed: Pair[] = [];

  const pairOf = (a: number, b: number): Pair => {
    pairs[a] ??= new Map();
    const seconds = pairs[a];
    let pair = seconds.get(b);
    if (pair === undefined) {
      pair = { a, b, count: 0, found: [] };
      seconds.set(b, pair);
    }
    return pair;
  };
  const add = (a: number, b: number, word: number): void => {
    if (sizes[a]! + sizes[b]! > LONGEST_PIECE) return;
    const pair = pairOf(a, b);
    pair.count += counts[word]!;
    if (pair.found.length === 0) changed.push(pair);
    if (pair.found.at(-1) !== word) pair.found.push(word);
  };
  const remove = (a: number, b: number, word: number): void => {
    if (sizes[a]! + sizes[b]! <= LONGEST_PIECE) pairOf(a, b).count -= counts[word]!;
  };
  const queueChanged = (): void => {
    for (const pair of changed) {
      if (pair.count > 0) queue.push({ pair, words: pair.found, count: pair.count });
      pair.found = [];
    }
    changed = [];
  };

  const ends = starts.slice(1);
  const mergeIn = (word: number, a: number, b: number, merged: number): void => {
    const [start, end] = [starts[word]!, ends[word]!];
    let to = start;
    for (let from = start; from < end; ) {
      const here = symbols[from++]!;
      if (here !== a || from === end || symbols[from] !== b) {
        symbols[to++] = here;
        continue;
      }
      from++;
      if (to > start) {
        remove(symbols[to - 1]!, a, word);
        add(symbols[to - 1]!, merged, word);
      }
      symbols[to++] = merged;
      if (from < end) {
        remove(b, symbols[from]!, word);
        add(merged, symbols[from]!, word);
      }
    }
    ends[word] = to;
  };

  for (let word = 0; word < counts.length; word++) {
    if (word % 1024 === 1023) yield;
    for (let i = starts[word]! + 1; i < ends[word]!; i++) add(symbols[i - 1]!, symbols[i]!, word);
  }
  queueChanged();

  while (pieces.length < vocabSize) {
    const best = queue.pop();
    if (best === undefined) return;
    const { pair, words } = best;
    const { a, b } = pair;
    if (best.count !== pair.count) {
      best.count = pair.count;
      queue.push(best);
      continue;
    }
    if (best.count < 1 || best.count < minFrequency) return;
    const second = pieces[b]!;
    const piece = pieces[a]! + (second.startsWith(PREFIX) ? second.slice(PREFIX.length) : second);
    const known = ids.get(piece);
    const merged = known ?? pieces.length;
    if (known === undefined) {
      pieces.push(piece);
      ids.set(piece, merged);
    }
    sizes[merged] = sizes[a]! + sizes[b]!;
    for (const word of words) mergeIn(word, a, b, merged);
    queueChanged();
    yield;
  }
}
