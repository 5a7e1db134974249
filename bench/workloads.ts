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

const SENTENCES = 32;
const [SHORTEST, MEDIAN, LONGEST, LONG_TEXT] = [3, 17, 60, 256];

/** `batch` sequences of `tokens` random ids. */
export function denseBatch(batch: number, tokens: number, vocab: number, seed = 1): Workload {
  const lengths = new Array<number>(batch).fill(tokens);
  return { name: `${batch} x ${tokens}`, sequences: sequencesOf(lengths, vocab, seed) };
}

/** 32 review sentences and one long text. */
export function raggedBatch(vocab: number, seed = 1): Workload {
  const lengths = raggedLengths(seed);
  return { name: `ragged ${lengths.length}`, sequences: sequencesOf(lengths, vocab, seed) };
}

/** As many sequences and tokens as `ragged`, but of equal lengths, give or take one. */
export function evenedBatch(ragged: Workload, vocab: number, seed = 2): Workload {
  const batch = ragged.sequences.length;
  const tokens = tokensOf(ragged);
  const lengths = Array.from({ length: batch }, (_, i) => Math.floor((tokens + i) / batch));
  return { name: `even ${batch}`, sequences: sequencesOf(lengths, vocab, seed) };
}

/** Log-normal about a median of 17 word pieces, as sentences of reviews are: 3 to 60, about 22 on average. */
function raggedLengths(seed: number): number[] {
  const next = random(seed);
  const sentences = Array.from({ length: SENTENCES }, () => {
    const normal = Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
    return Math.min(LONGEST, Math.max(SHORTEST, Math.round(MEDIAN * Math.exp(0.5 * normal))));
  });
  return [...sentences, LONG_TEXT];
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
