/**
 * Batches without a text that is there twice, for losses that take what belongs to other rows as negatives: a row that has
 * a text of the batch comes in a later one, as with NO_DUPLICATES of sentence-transformers. Which one follows from the
 * examples alone.
 */

import type { Example } from "./step.ts";

/** Texts that a row may have twice itself: an anchor that is its positive is no false negative. */
function textsOf({ sequence, more = [] }: Example): Set<string> {
  return new Set([sequence, ...more].map(({ inputIds }) => Array.prototype.join.call(inputIds)));
}

interface Waiting {
  readonly example: Example;
  readonly texts: ReadonlySet<string>;
}

/** @param fits whether there is room for one more in a batch: in an empty one there always is */
export async function* distinct(
  examples: AsyncIterable<Example> | Iterable<Example>,
  fits: (batch: readonly Example[], next: Example) => boolean,
): AsyncGenerator<Example[]> {
  let waiting: Waiting[] = [];
  let batch: Example[] = [];
  let held = new Set<string>();
  const placed = ({ example, texts }: Waiting): boolean => {
    if ([...texts].some((text) => held.has(text))) return false;
    batch.push(example);
    for (const text of texts) held.add(text);
    return true;
  };
  /** Begins a batch with those that wait. @returns whether it is full with some of them */
  const begin = (): boolean => {
    [batch, held] = [[], new Set()];
    const before = waiting;
    waiting = [];
    for (const [i, one] of before.entries()) {
      if (!fits(batch, one.example)) {
        waiting.push(...before.slice(i));
        return true;
      }
      if (!placed(one)) waiting.push(one);
    }
    return false;
  };
  for await (const example of examples) {
    const one = { example, texts: textsOf(example) };
    while (!fits(batch, example)) {
      yield batch;
      while (begin()) yield batch;
    }
    if (!placed(one)) waiting.push(one);
  }
  if (batch.length > 0) yield batch;
  while (waiting.length > 0) {
    begin();
    yield batch;
  }
}
