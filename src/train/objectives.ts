/**
 * What a BERT is trained for, each as data: its labels, the heads that are trained, how many labels count, and what is
 * recorded, from the last hidden state to the loss and back.
 */

import type { Batch } from "../bert/batch.ts";
import type { BertConfig } from "../bert/config.ts";
import type { HeadName } from "../bert/heads/index.ts";
import type { MaskedLmWeights } from "../bert/heads/masked_lm.ts";
import type { BertWeights } from "../bert/weights.ts";
import { rowOwnerFor } from "../kernels/kernel.ts";
import { binaryCrossEntropy, IGNORED, NO_NUMBER, spanLossBy, squaredError } from "../kernels/losses/losses.ts";
import { NO_ROW } from "../kernels/tokens/backward.ts";
import type { LinearWeights, PackedTokens } from "../runtime/ops.ts";
import type { Ref } from "../runtime/recorder.ts";
import { sizeOf } from "../runtime/tensor.ts";
import { ladder } from "./fillers.ts";
import { addUp, crossEntropy, type LabelInputs, type Labels, type LossContext } from "./losses.ts";
import { activate, chooseRows, dropout, type Gradient, layerNorm, linear, pool, scalarOf } from "./operations.ts";
import {
  recordSentenceLoss,
  SENTENCE_LOSSES,
  type SentenceLoss,
  type SentenceLossName,
  type SentenceSettings,
} from "./sentence_losses.ts";
import type { SentenceRows } from "./sentence_rows.ts";

export interface ObjectiveContext extends LossContext {
  readonly packed: PackedTokens;
  readonly hidden: Ref;
  readonly config: BertConfig;
  readonly weights: BertWeights["heads"];
  readonly classifierDropout: number;
  /** Of losses of sentence vectors. */
  readonly rows: SentenceRows;
  readonly sentence: SentenceSettings | undefined;
}

export interface Objective {
  readonly heads: readonly HeadName[];
  /** Names of its counts. */
  readonly counts: readonly string[];
  /** Labels of a sequence of so many tokens of which nothing is learnt; without it batches keep their shapes. */
  unlabelled?(tokens: number, config: BertConfig): Labels;
  /**
   * @param labels of each sequence; of losses of sentence vectors, of each row
   * @param rows of those, as programs are recorded for them
   * @throws RangeError for a label that is missing or out of range, by its sequence
   */
  prepare(
    batch: Batch,
    labels: readonly Labels[],
    config: BertConfig,
    rows: Pick<SentenceRows, "columns" | "room">,
  ): LabelInputs;
  /** @returns the gradient of the hidden state */
  record(context: ObjectiveContext): Gradient;
}

export type ObjectiveName = "mlm" | "next" | "label" | "labels" | "number" | "tags" | "span" | SentenceLossName;

const lengthsOf = ({ cuSeqlens }: Batch): number[] =>
  Array.from(cuSeqlens.subarray(1), (end, s) => end - cuSeqlens[s]!);

/** -100 to what kernels ignore. @throws RangeError for another number that is no class */
function classOf(label: number | undefined, classes: number, where: string): number {
  if (label === -100) return IGNORED;
  if (label !== undefined && Number.isInteger(label) && label >= 0 && label < classes) return label;
  throw new RangeError(`${where}: label is ${label}, it must be a class from 0 to ${classes - 1}, or -100`);
}

const labelled = (labels: Uint32Array): number => labels.reduce((sum, label) => sum + (label === IGNORED ? 0 : 1), 0);

const mlm: Objective = {
  heads: ["maskedLm"],
  counts: ["words"],
  unlabelled: (tokens) => ({ words: Array(tokens).fill(-100) }),
  prepare(batch, labels, { vocabSize }) {
    const rows: number[] = [];
    const words: number[] = [];
    const places = new Uint32Array(batch.wordIds.length).fill(NO_ROW);
    for (const [s, length] of lengthsOf(batch).entries()) {
      for (let i = 0; i < length; i++) {
        const word = classOf(labels[s]?.words?.[i], vocabSize, `sequence ${s}: token ${i}`);
        if (word === IGNORED) continue;
        const at = batch.cuSeqlens[s]! + i;
        places[at] = rows.length;
        rows.push(at);
        words.push(word);
      }
    }
    const counts = { words: rows.length };
    const size = ladder(Math.max(1, rows.length));
    while (rows.length < size) {
      rows.push(0);
      words.push(IGNORED);
    }
    return { inputs: { rows: Uint32Array.from(rows), words: Uint32Array.from(words), places }, counts };
  },
  record(context) {
    const { tape, hidden, config, inputs } = context;
    const { transform, norm, decoder } = context.weights.maskedLm as MaskedLmWeights;
    const chosen = chooseRows(tape, hidden, inputs.rows!, inputs.places!);
    const transformed = linear(tape, chosen.out, transform);
    const active = activate(tape, transformed.out, config.hiddenAct as Parameters<typeof activate>[2]);
    const normal = layerNorm(tape, active.out, norm, config.layerNormEps);
    const logits = linear(tape, normal.out, decoder);
    crossEntropy(context, logits.out, inputs.words!, "words");
    const dActive = normal.backward(logits.backward(logits.out));
    return chosen.backward(transformed.backward(active.backward(dActive)));
  },
};

/** A linear layer on the pooled first token of each sequence. */
function onPooled(
  context: ObjectiveContext,
  { pooler, output }: { readonly pooler: LinearWeights | undefined; readonly output: LinearWeights },
  probability: number,
  loss: (logits: Ref) => void,
): Gradient {
  const { tape, packed, hidden } = context;
  const first = pool(tape, hidden, packed, "cls");
  const dense = linear(tape, first.out, pooler!);
  const tanh = activate(tape, dense.out, "tanh");
  const dropped = dropout(tape, tanh.out, probability);
  const logits = linear(tape, dropped.out, output);
  loss(logits.out);
  const dTanh = dropped.backward(logits.backward(logits.out));
  return first.backward(dense.backward(tanh.backward(dTanh)));
}

type ClassifierWeights = Parameters<typeof onPooled>[1];

const next: Objective = {
  heads: ["nextSentence"],
  counts: ["next"],
  unlabelled: () => ({ next: -100 }),
  prepare(batch, labels) {
    const next = Uint32Array.from(lengthsOf(batch), (_, s) => classOf(labels[s]?.next, 2, `sequence ${s}`));
    return { inputs: { next }, counts: { next: labelled(next) } };
  },
  record: (context) =>
    onPooled(context, context.weights.nextSentence as ClassifierWeights, 0, (logits) =>
      crossEntropy(context, logits, context.inputs.next!, "next"),
    ),
};

const label: Objective = {
  heads: ["classifier"],
  counts: ["label"],
  unlabelled: () => ({ label: -100 }),
  prepare(batch, labels, config) {
    const classes = config.labels.length;
    const own = Uint32Array.from(lengthsOf(batch), (_, s) =>
      classOf(labels[s]?.label as number | undefined, classes, `sequence ${s}`),
    );
    return { inputs: { label: own }, counts: { label: labelled(own) } };
  },
  record: (context) =>
    onPooled(context, context.weights.classifier as ClassifierWeights, context.classifierDropout, (logits) =>
      crossEntropy(context, logits, context.inputs.label!, "label"),
    ),
};

/** Several labels at once, or the numbers of a regression: a number for each output. */
function eachOutput(kernel: typeof squaredError, check: (value: number) => boolean, what: string): Objective {
  return {
    heads: ["classifier"],
    counts: ["numbers"],
    unlabelled: (_, { labels }) => ({ label: labels.map(() => NO_NUMBER) }),
    prepare(batch, labels, config) {
      const outputs = config.labels.length;
      const numbers = new Float32Array((batch.cuSeqlens.length - 1) * outputs);
      for (let s = 0; s < batch.cuSeqlens.length - 1; s++) {
        const own = labels[s]?.label;
        const list = typeof own === "number" ? [own] : (own ?? []);
        if (list.length !== outputs || !list.every((value) => value === NO_NUMBER || check(value))) {
          throw new RangeError(`sequence ${s}: label is ${JSON.stringify(own)}, it must be ${outputs} ${what}`);
        }
        numbers.set(list, s * outputs);
      }
      const labelled = numbers.filter((value) => value < NO_NUMBER).length;
      return { inputs: { numbers }, counts: { numbers: labelled } };
    },
    record: (context) =>
      onPooled(context, context.weights.classifier as ClassifierWeights, context.classifierDropout, (logits) => {
        const { tape, inputs, scales, state } = context;
        const count = sizeOf(logits.shape);
        const losses = tape.r.temporary("losses", [count], "f32");
        const shape = { count, dtype: scalarOf(logits), scale: 0 };
        const operands = { logits, labels: inputs.numbers!, state, losses };
        tape.r.dispatch(kernel, shape, operands, { scale: scales.numbers! });
        addUp(context, losses);
      }),
  };
}

const tags: Objective = {
  heads: ["classifier"],
  counts: ["tags"],
  unlabelled: (tokens) => ({ tags: Array(tokens).fill(-100) }),
  prepare(batch, labels, config) {
    const tags = new Uint32Array(batch.wordIds.length);
    for (const [s, length] of lengthsOf(batch).entries()) {
      for (let i = 0; i < length; i++) {
        const where = `sequence ${s}: token ${i}`;
        tags[batch.cuSeqlens[s]! + i] = classOf(labels[s]?.tags?.[i], config.labels.length, where);
      }
    }
    return { inputs: { tags }, counts: { tags: labelled(tags) } };
  },
  record(context) {
    const { tape, hidden, inputs, classifierDropout } = context;
    const dropped = dropout(tape, hidden, classifierDropout);
    const logits = linear(tape, dropped.out, (context.weights.classifier as ClassifierWeights).output);
    crossEntropy(context, logits.out, inputs.tags!, "tags");
    return dropped.backward(logits.backward(logits.out));
  },
};

const span: Objective = {
  heads: ["spans"],
  counts: ["starts", "ends"],
  unlabelled: (tokens) => ({ start: tokens, end: tokens }),
  prepare(batch, labels) {
    const lengths = lengthsOf(batch);
    const spans = new Uint32Array(2 * lengths.length);
    for (const [s, length] of lengths.entries()) {
      for (const [i, at] of [labels[s]?.start, labels[s]?.end].entries()) {
        if (at === undefined || !Number.isInteger(at) || at < 0) {
          throw new RangeError(`sequence ${s}: ${i === 0 ? "start" : "end"} is ${at}, it must be a token from 0`);
        }
        spans[2 * s + i] = at < length ? at : IGNORED;
      }
    }
    const count = (i: number): number => labelled(spans.filter((_, at) => at % 2 === i));
    return { inputs: { spans }, counts: { starts: count(0), ends: count(1) } };
  },
  record(context) {
    const { tape, hidden, packed, inputs, scales, state } = context;
    const logits = linear(tape, hidden, context.weights.spans as LinearWeights); // [tokens, 2]
    const sequences = packed.cuSeqlens.shape[0]! - 1;
    const losses = tape.r.temporary("losses", [sequences, 2], "f32");
    const shape = { sequences, tokens: hidden.shape[0]!, dtype: scalarOf(hidden), startScale: 0, endScale: 0 };
    tape.r.dispatch(
      spanLossBy(rowOwnerFor(tape.r.traits)),
      shape,
      { logits: logits.out, cu_seqlens: packed.cuSeqlens, labels: inputs.spans!, state, losses },
      { start_scale: scales.starts!, end_scale: scales.ends! },
    );
    addUp(context, losses);
    return logits.backward(logits.out);
  },
};

/** On vectors that are pooled from the last hidden state; there are no weights beside the encoder's. */
function ofSentences(loss: SentenceLoss): Objective {
  return {
    heads: [],
    counts: loss.counts,
    prepare: (_batch, labels, _config, { columns, room }) => loss.prepare(columns, labels, room),
    record(context) {
      const { tape, hidden, packed, rows } = context;
      const sentence = context.sentence!;
      const pooled = pool(tape, hidden, packed, sentence.pooling);
      return pooled.backward(recordSentenceLoss({ ...context, sentence }, loss, pooled.out, rows));
    },
  };
}

export const OBJECTIVES: Readonly<Record<ObjectiveName, Objective>> = {
  mlm,
  next,
  label,
  labels: eachOutput(binaryCrossEntropy, (value) => value >= 0 && value <= 1, "numbers from 0 to 1"),
  number: eachOutput(squaredError, (value) => Math.abs(value) < NO_NUMBER, "finite numbers"),
  tags,
  span,
  mnrl: ofSentences(SENTENCE_LOSSES.mnrl),
  cosine: ofSentences(SENTENCE_LOSSES.cosine),
  cosent: ofSentences(SENTENCE_LOSSES.cosent),
  triplet: ofSentences(SENTENCE_LOSSES.triplet),
};
