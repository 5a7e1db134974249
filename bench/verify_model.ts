/**
 * What is checked of a model before it is timed. A sequence is held against float64 on the CPU: the timed one where that
 * takes seconds, else a short one, at the same widths. And a row must not depend on the rest of its batch.
 */

import type { Sequence } from "../src/bert/batch.ts";
import type { BertModel } from "../src/bert/model.ts";
import type { Folder } from "../src/files/bytes.ts";
import { cosine } from "../test/support.ts";
import { encodeOnCpu } from "./encoder_reference.ts";
import type { Check } from "./rows.ts";
import { encoderFlops, type Workload } from "./workloads.ts";

export type Storage = BertModel["storage"];

/** Operations that the CPU's float64 takes a few seconds for. */
const CPU_FLOPS = 1e9;

/** Largest error over largest value; measured 4e-7 in f32 (4 layers). */
const BOUNDS = { f32: 1e-5, f16: 1e-2 };
const LEAST_COSINE = { f32: 0.99999, f16: 0.9999 };

/** How far off a sequence is, in parts of the largest value. */
interface Found {
  readonly error: number;
  readonly bound: number;
  /** Of a row alone and in a batch. */
  readonly leastCosine: number;
  /** From what. */
  readonly exact: string;
}

/** Sequences that were held against float64, by their ids: a model's workloads share them. */
export type Compared = Map<string, Found>;

/**
 * @param storage as the model was loaded
 * @throws Error naming what is wrong. Leaves the workload's program recorded and compiled.
 */
export async function verifyModel(
  model: BertModel,
  folder: Folder,
  storage: Storage,
  workload: Workload,
  compared: Compared,
): Promise<Check> {
  const { sequences } = workload;
  const hidden = await hiddenStates(model, sequences);
  hidden.forEach((row, s) => {
    const bad = row.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) throw new Error(`sequence ${s}: element ${bad} of the hidden state is ${row[bad]}`);
  });

  const sample = sampleOf(model, sequences[0]!);
  const key = sample.join();
  const found = compared.get(key) ?? (await findError(model, folder, storage, { inputIds: sample }));
  compared.set(key, found);
  const { error, bound, leastCosine, exact } = found;
  if (!(error <= bound)) {
    throw new Error(`${sample.length} tokens are off ${exact} by ${error} of the largest value, allowed is ${bound}`);
  }
  const rows = await checkRows(model, sequences, hidden, leastCosine);
  return {
    how: `all finite; ${sample.length} tokens within ${error.toExponential(1)} of ${exact}; ${rows}`,
    error,
    bound,
  };
}

/** The sequence itself, or its beginning where all of it would take the CPU too long. */
function sampleOf({ config }: BertModel, { inputIds }: Sequence): number[] {
  const ids = Array.from(inputIds);
  const flops = encoderFlops(config, { name: "", sequences: [{ inputIds: ids }] });
  return flops <= CPU_FLOPS ? ids : ids.slice(0, Math.max(4, Math.floor((ids.length * CPU_FLOPS) / flops)));
}

/**
 * In q8 against float64 whose linear layers are rounded to the same int8. An input halfway between two of these, which
 * f32 and float64 round apart, makes others fall so further on: in the end the two differ as two independent roundings
 * would, by 1.4 times what rounding moves float64. Without such an input the error is that of f32; 0.9 times was seen.
 */
async function findError(model: BertModel, folder: Folder, storage: Storage, sequence: Sequence): Promise<Found> {
  const [actual] = await hiddenStates(model, [sequence]);
  const plain = await encodeOnCpu(folder, sequence);
  if (storage !== "q8") {
    const error = errorOf(actual!, plain);
    return { error, bound: BOUNDS[storage], leastCosine: LEAST_COSINE[storage], exact: "float64" };
  }
  const rounded = await encodeOnCpu(folder, sequence, true);
  const moved = errorOf(rounded, plain);
  const exact = `float64 on the same int8, which moves it by ${moved.toExponential(1)}`;
  const bound = Math.max(BOUNDS.f32, 2 * moved);
  const leastCosine = Math.min(LEAST_COSINE.f16, 1 - bound ** 2 / 2); // of two rows that differ by as much
  return { error: errorOf(actual!, rounded), bound, leastCosine, exact };
}

/** In parts of the largest value. */
function errorOf(actual: ArrayLike<number>, expected: Float64Array): number {
  const range = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return largestError(actual, expected) / range;
}

/** Over the elements of `expected`, with which `actual` begins. NaN where one of them is; Infinity where some are missing. */
export function largestError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length < expected.length) return Number.POSITIVE_INFINITY;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i]! - expected[i]!);
    if (!(error <= largest)) largest = error;
    if (Number.isNaN(error)) break;
  }
  return largest;
}

/** The first, the last, the shortest and the longest row; a single sequence is put beside another. */
async function checkRows(
  model: BertModel,
  sequences: readonly Sequence[],
  hidden: readonly Float32Array[],
  least: number,
): Promise<string> {
  const compare = (a: Float32Array, b: Float32Array, s: number): void => {
    const angle = cosine(a, b);
    if (!(angle > least)) throw new Error(`sequence ${s} alone and in a batch: cosine ${angle}, allowed is ${least}`);
  };
  if (sequences.length === 1) {
    const other = { inputIds: Array.from(sequences[0]!.inputIds).reverse().slice(0, 7) };
    const [, batched] = await hiddenStates(model, [other, sequences[0]!]);
    compare(hidden[0]!, batched!, 0);
    return "the same in a batch";
  }
  const byLength = sequences
    .map((_, s) => s)
    .sort((a, b) => sequences[a]!.inputIds.length - sequences[b]!.inputIds.length);
  const chosen = [...new Set([0, sequences.length - 1, byLength[0]!, byLength.at(-1)!])].sort((a, b) => a - b);
  for (const s of chosen) {
    const [alone] = await hiddenStates(model, [sequences[s]!]);
    compare(hidden[s]!, alone!, s);
  }
  return `rows ${chosen.join(", ")} the same alone`;
}

/** [tokens, hidden] of each sequence. */
async function hiddenStates(model: BertModel, sequences: readonly Sequence[]): Promise<Float32Array[]> {
  const { lastHiddenState, cuSeqlens } = await model.forward(sequences, { lastHiddenState: true });
  const { hiddenSize } = model.config;
  return sequences.map((_, s) =>
    lastHiddenState!.data.subarray(cuSeqlens[s]! * hiddenSize, cuSeqlens[s + 1]! * hiddenSize),
  );
}
