/** What each kind of training makes of its options and files. */

import type { BertConfig } from "../../../bert/config.ts";
import type { Confusion } from "../../../bert/metrics/classification.ts";
import type { Tokenizer } from "../../../bert/tokenizer/tokenizer.ts";
import type { Parts } from "../../../bert/weights.ts";
import type { Folder } from "../../../files/bytes.ts";
import { split } from "../../../train/data/epochs.ts";
import type { Evaluation, ObjectiveName, SentenceOptions, TrainingData } from "../../../train/index.ts";
import { InputError } from "../failure.ts";
import type { TrainOptions } from "./options.ts";
import type { Placed } from "./rows.ts";

export interface Prepared {
  readonly objectives: readonly ObjectiveName[];
  /** Of losses of sentences. */
  readonly sentence?: SentenceOptions | undefined;
  /** Of the classes, where there are any. */
  readonly labels?: readonly string[] | undefined;
  readonly data: TrainingData;
  readonly evaluation?: Evaluation | undefined;
  /** What an evaluation gives; the first is what checkpoints are judged by where nothing is said. */
  readonly metrics: readonly string[];
  /** About the data, for people. */
  readonly facts: Readonly<Record<string, string>>;
}

export interface Context {
  readonly options: TrainOptions;
  readonly tokenizer: Tokenizer;
  readonly config: BertConfig;
  /** That training begins with. */
  readonly folder: Folder;
  /** Of the model that training begins with; undefined: its weights are random. */
  readonly parts: Parts | undefined;
  /** Tokens of a sequence. */
  readonly maxLength: number;
  readonly warn: (message: string) => void;
  /** Told by each evaluation what was taken for what, where labels are single ones. */
  readonly onConfusion: (confusion: Confusion) => void;
}

export type Prepare = (context: Context) => Promise<Prepared>;

/**
 * Rows to learn from, and to evaluate on where that is wanted.
 * @param read of these files
 */
export async function learntAndHeld<Row>(
  { input, evalInput, evalSplit, seed }: TrainOptions,
  read: (paths: readonly string[]) => Promise<Placed<Row>[]>,
): Promise<{ readonly learnt: readonly Placed<Row>[]; readonly held: readonly Placed<Row>[] }> {
  const rows = await read(input);
  if (rows.length === 0) throw new InputError(`${input.join(", ")}: there is nothing to learn from`);
  if (evalSplit !== undefined) {
    const [learnt, held] = split(rows, evalSplit, seed);
    return { learnt, held };
  }
  const held = evalInput ? await read(evalInput) : [];
  if (evalInput && held.length === 0) throw new InputError(`${evalInput.join(", ")}: there is nothing to evaluate on`);
  return { learnt: rows, held };
}

export const count = (value: number, what: string): string =>
  `${value.toLocaleString("en")} ${what}${value === 1 ? "" : "s"}`;

/** Ids of special tokens, those that the data cannot do without among them. @throws InputError naming what is missing */
export function requireSpecial<Name extends "cls" | "sep" | "mask">(
  { special }: Tokenizer,
  names: readonly Name[],
): Readonly<Record<Name, number>> {
  const missing = names.filter((name) => special[name] === undefined);
  if (missing.length === 0) return special as Readonly<Record<Name, number>>;
  throw new InputError(`the tokenizer has no [${missing.join("], [").toUpperCase()}]`);
}
