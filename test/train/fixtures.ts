/** Reads the fixtures of training: a model, a batch with labels, and what PyTorch computed of it. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type BertConfig, parseConfig } from "../../src/bert/config.ts";
import type { HeadName } from "../../src/bert/heads/index.ts";
import { type Checkpoint, openCheckpoint, openCheckpointFile } from "../../src/files/checkpoint.ts";
import { openFile, openFolder } from "../../src/node/folder.ts";
import { type Labels, OBJECTIVES, type ObjectiveName } from "../../src/train/objectives.ts";
import type { Example } from "../../src/train/step.ts";

type Rows = readonly (readonly number[])[];

export interface Inputs {
  readonly input_ids: Rows;
  readonly attention_mask?: Rows;
  readonly token_type_ids?: Rows;
  readonly labels?: Rows | readonly number[];
  readonly next_sentence_label?: readonly number[];
  readonly start_positions?: readonly number[];
  readonly end_positions?: readonly number[];
}

export interface Expected {
  readonly name: string;
  readonly architecture: string;
  readonly inputs: Inputs;
  readonly loss: number;
  readonly gradient_accumulation?: { readonly micro_0?: string };
  readonly runs?: Readonly<Record<string, ExpectedRun>>;
  readonly gradient: {
    readonly total_l2_norm: number;
    readonly parameters: Readonly<Record<string, { readonly l2: number; readonly max_abs: number }>>;
    readonly suggested_max_abs_tolerance: number;
    readonly mathematically_zero?: readonly (string | readonly string[])[];
  };
}

export interface ExpectedRun {
  readonly lr: number;
  readonly schedule: string;
  readonly steps: readonly {
    readonly step: number;
    readonly lr: number;
    readonly loss: number;
    readonly grad_norm_before_clip: number;
  }[];
}

/** Steps on batches in a stored order, of sequences without padding or with it. */
export interface ExpectedCurve {
  readonly architecture: string;
  readonly optimizer: { readonly lr: number; readonly schedule: string };
  readonly losses: readonly number[];
  readonly lrs: readonly number[];
  readonly grad_norms: readonly number[];
  readonly evaluation_float64: { readonly test_accuracy?: number; readonly test_logits?: readonly number[] };
  readonly batch_size: number;
  /** By epoch, places in the training texts. */
  readonly order: Rows;
  readonly train_input_ids: Rows;
  readonly train_labels: readonly number[];
  readonly test_input_ids: Rows;
  readonly test_labels: readonly number[];
  /** Of masked LM, for one epoch after the other; labels are [row, position, word]. */
  readonly batches?: readonly {
    readonly input_ids: Rows;
    readonly lengths: readonly number[];
    readonly labels: Rows;
  }[];
}

export interface Fixture<Expectation = Expected> {
  readonly folder: string;
  readonly expected: Expectation;
  readonly config: BertConfig;
  readonly objectives: readonly ObjectiveName[];
  readonly heads: readonly HeadName[];
}

export function readFixture<Expectation extends { readonly architecture: string } = Expected>(
  folder: string,
): Fixture<Expectation> | undefined {
  const file = join(folder, "expected.json");
  if (!existsSync(file)) return undefined;
  const expected = JSON.parse(readFileSync(file, "utf8")) as Expectation;
  const config = parseConfig(readFileSync(join(folder, "config.json"), "utf8"));
  const objectives = objectivesOf(expected.architecture, config);
  return { folder, expected, config, objectives, heads: objectives.flatMap((name) => OBJECTIVES[name].heads) };
}

function objectivesOf(architecture: string, { problemType }: BertConfig): ObjectiveName[] {
  const one = {
    BertForMaskedLM: "mlm",
    BertForNextSentencePrediction: "next",
    BertForTokenClassification: "tags",
    BertForQuestionAnswering: "span",
  }[architecture] as ObjectiveName | undefined;
  if (one) return [one];
  if (architecture === "BertForPreTraining") return ["mlm", "next"];
  return [problemType === "regression" ? "number" : problemType === "multi_label_classification" ? "labels" : "label"];
}

export const checkpointOf = (folder: string): Promise<Checkpoint> => openCheckpoint(openFolder(folder));

export async function tensorsIn(file: string): Promise<Map<string, Float32Array>> {
  const checkpoint = await openCheckpointFile(await openFile(file));
  const tensors = new Map<string, Float32Array>();
  for (const name of checkpoint.tensors.keys()) tensors.set(name, (await checkpoint.readFloats(name)).slice());
  await checkpoint.close();
  return tensors;
}

export function examplesOf(inputs: Inputs, objectives: readonly ObjectiveName[]): Example[] {
  const { input_ids, attention_mask, token_type_ids, labels, next_sentence_label } = inputs;
  return input_ids.map((inputIds, i) => {
    const own = labels?.[i];
    const given: { -readonly [K in keyof Labels]: Labels[K] } = {};
    if (objectives.includes("mlm")) given.words = own as readonly number[];
    if (objectives.includes("next")) given.next = (next_sentence_label ?? (labels as readonly number[]))[i];
    if (objectives.includes("tags")) given.tags = own as readonly number[];
    if (objectives.includes("span")) {
      given.start = inputs.start_positions![i];
      given.end = inputs.end_positions![i];
    }
    if (objectives.some((name) => name === "label" || name === "labels" || name === "number")) {
      given.label = own as number;
    }
    return {
      sequence: { inputIds, attentionMask: attention_mask?.[i], tokenTypeIds: token_type_ids?.[i] },
      labels: given,
    };
  });
}

/** Batches of a curve, one for each step. */
export function curveBatches(expected: ExpectedCurve): Example[][] {
  if (expected.batches) {
    return expected.batches.map(({ input_ids, lengths, labels }) => {
      const words = lengths.map((length) => new Array<number>(length).fill(-100));
      for (const [row, at, word] of labels) words[row!]![at!] = word!;
      return words.map((own, i) => ({
        sequence: { inputIds: input_ids[i]!.slice(0, own.length) },
        labels: { words: own },
      }));
    });
  }
  const { order, batch_size: size, train_input_ids: ids, train_labels: labels } = expected;
  return order.flatMap((places) =>
    Array.from({ length: Math.ceil(places.length / size) }, (_, b) =>
      places.slice(b * size, (b + 1) * size).map((at) => ({
        sequence: { inputIds: ids[at]! },
        labels: { label: labels[at]! },
      })),
    ),
  );
}
