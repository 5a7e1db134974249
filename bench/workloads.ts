/** Batches as they come to a server, and the work that they are. */

import type { Sequence } from "../src/bert/batch.ts";
import type { BertConfig } from "../src/bert/config.ts";
import { random } from "../test/support.ts";

export interface Workload {
  /** `8 x 128` */
  readonly name: string;
  readonly sequences: readonly Sequence[];
}

/** [CLS] and [SEP] of BERT's vocabularies, and the first id of a whole word. */
const [CLS, SEP, FIRST_WORD] = [101, 102, 1000];

/** Of 32 sentences as reviews have them, about 22 word pieces on average, and of one long text. */
const RAGGED: readonly number[] = [
  ...[34, 31, 13, 15, 29, 10, 14, 21, 29, 18, 20, 15, 21, 19, 8, 23],
  ...[8, 40, 17, 15, 17, 16, 27, 25, 27, 25, 9, 14, 51, 33, 40, 22],
  256,
];

/** `batch` sequences of `tokens` random ids. */
export function denseBatch(batch: number, tokens: number, vocab: number): Workload {
  const lengths = new Array<number>(batch).fill(tokens);
  return { name: `${batch} x ${tokens}`, sequences: sequencesOf(lengths, vocab, 1) };
}

/** 32 review sentences and one long text. */
export function raggedBatch(vocab: number): Workload {
  return { name: `ragged ${RAGGED.length}`, sequences: sequencesOf(RAGGED, vocab, 1) };
}

/** As many sequences and tokens as `ragged`, but of equal lengths, give or take one. */
export function evenedBatch(ragged: Workload, vocab: number): Workload {
  const batch = ragged.sequences.length;
  const tokens = tokensOf(ragged);
  const lengths = Array.from({ length: batch }, (_, i) => Math.floor((tokens + i) / batch));
  return { name: `even ${batch}`, sequences: sequencesOf(lengths, vocab, 2) };
}

function sequencesOf(lengths: readonly number[], vocab: number, seed: number): Sequence[] {
  const next = random(seed);
  const word = (): number => {
    const first = Math.min(FIRST_WORD, vocab - 1);
    return first + Math.floor(next() * (vocab - first));
  };
  return lengths.map((length) => ({
    inputIds: Uint32Array.from({ length }, (_, i) => {
      const special = i === 0 ? CLS : i === length - 1 ? SEP : undefined;
      return special !== undefined && special < vocab ? special : word();
    }),
  }));
}

export function tokensOf({ sequences }: Workload): number {
  return sequences.reduce((sum, { inputIds }) => sum + inputIds.length, 0);
}

/** Multiplications and additions of the encoder's matrix products and attention, at the real lengths. */
export function encoderFlops(config: BertConfig, { sequences }: Workload): number {
  const { hiddenSize: h, intermediateSize: f, numHiddenLayers: layers } = config;
  const perToken = 2 * (4 * h * h + 2 * h * f);
  return layers * sequences.reduce((sum, { inputIds: { length } }) => sum + perToken * length + 4 * length ** 2 * h, 0);
}
