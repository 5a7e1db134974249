/** How the examples of an epoch become batches: always in the same way, so that a run can be gone on with in the middle. */

import { distinct } from "./distinct.ts";
import type { Example } from "./step.ts";

export interface BatchOptions {
  /**
   * Tokens of a batch at most, of all sequences of its examples; a single longer example goes alone. Examples of like
   * lengths come together, unless `noDuplicates` keeps their order.
   */
  readonly batchTokens?: number | undefined;
  /** Examples of a batch, in the order they come in. Default 8 where `batchTokens` is not given. */
  readonly batchSize?: number | undefined;
  /** Whether no batch has a text twice: a row that does not go with the others waits for a later one. Default: for `mnrl`. */
  readonly noDuplicates?: boolean | undefined;
}

type Examples = AsyncIterable<Example> | Iterable<Example>;

/** Batches' worth of tokens that are read ahead, to be sorted by length. */
const WINDOW = 16;

/** @param options `objectives`: what is trained for */
export function batchesOf(
  examples: Examples,
  options: BatchOptions & { readonly objectives?: readonly string[] },
): AsyncGenerator<Example[]> {
  const { batchTokens, batchSize = 8, noDuplicates = options.objectives?.includes("mnrl") ?? false } = options;
  if (noDuplicates) {
    const fits = (batch: readonly Example[], next: Example): boolean =>
      batchTokens === undefined
        ? batch.length < batchSize
        : batch.length === 0 || tokensOf(batch) + lengthOf(next) <= batchTokens;
    return distinct(examples, fits);
  }
  return batchTokens === undefined ? inOrder(examples, batchSize) : byLength(examples, batchTokens);
}

/** Lists of `size` of what comes; the last may be shorter. */
export async function* inOrder<T>(items: AsyncIterable<T> | Iterable<T>, size: number): AsyncGenerator<T[]> {
  let batch: T[] = [];
  for await (const item of items) {
    batch.push(item);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

const lengthOf = ({ sequence, more = [] }: Example): number =>
  more.reduce((sum, { inputIds }) => sum + inputIds.length, sequence.inputIds.length);

async function* byLength(examples: Examples, most: number): AsyncGenerator<Example[]> {
  let [window, tokens]: [Example[], number] = [[], 0];
  for await (const example of examples) {
    window.push(example);
    tokens += lengthOf(example);
    if (tokens < WINDOW * most) continue;
    yield* cut(window, most);
    [window, tokens] = [[], 0];
  }
  yield* cut(window, most);
}

/** Sorted by length, cut by tokens; every other half of the batches goes first, so that lengths do not only grow. */
function cut(window: readonly Example[], most: number): Example[][] {
  const batches: Example[][] = [];
  let tokens = Number.POSITIVE_INFINITY;
  for (const example of [...window].sort((a, b) => lengthOf(a) - lengthOf(b))) {
    tokens += lengthOf(example);
    if (tokens > most) {
      batches.push([]);
      tokens = lengthOf(example);
    }
    batches.at(-1)!.push(example);
  }
  const half = Math.ceil(batches.length / 2);
  return batches.slice(0, half).flatMap((batch, i) => [batch, ...batches.slice(half + i, half + i + 1)]);
}

export const tokensOf = (batch: readonly Example[]): number =>
  batch.reduce((sum, example) => sum + lengthOf(example), 0);
