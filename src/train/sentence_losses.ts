/**
 * Losses of sentence vectors, as sentence-transformers 6 defines them: from the pooled vectors of a batch to the loss and
 * back. A batch has its sequences column by column: all anchors, then all positives, then all negatives. All is computed
 * in f32.
 */

import { rowOwnerFor } from "../kernels/kernel.ts";
import { squaredError } from "../kernels/losses/losses.ts";
import { cosentBy, cosentGradientBy, rowDotsBackward, rowDotsBy, tripletBy } from "../kernels/losses/sentences.ts";
import { matmulBackwardKernelFor } from "../kernels/matmul/matmul_backward.ts";
import { matmulKernelFor } from "../kernels/matmul/matmul_choice.ts";
import { copyBlocks } from "../kernels/rows/copy_blocks.ts";
import type { PoolMode } from "../kernels/tokens/pool.ts";
import type { Ref } from "../runtime/recorder.ts";
import { addUp, crossEntropy, type LabelInputs, type Labels, type LossContext } from "./losses.ts";
import { l2Normalize, scalarOf } from "./operations.ts";

export type SentenceLossName = "mnrl" | "cosine" | "cosent" | "triplet";

export interface SentenceOptions {
  /** How tokens become a vector. Default: as the folder's files of sentence-transformers say, else `mean`. */
  readonly pooling?: PoolMode | undefined;
  /** By which cosines are multiplied, in `mnrl` and `cosent`. Default 20. */
  readonly scale?: number | undefined;
  /** By which a negative is to be farther than a positive, in `triplet`. Default 5. */
  readonly margin?: number | undefined;
  /** The loss is the sum of those of the first so many dimensions of the vectors, each scaled to length 1. */
  readonly matryoshka?: readonly number[] | undefined;
  /** Tokens of a text, for whoever loads the model. Default: as the folder's files say, else what the model takes. */
  readonly maxLength?: number | undefined;
}

export interface SentenceSettings {
  readonly pooling: PoolMode;
  /** Whether the model scales its vectors to length 1 itself. */
  readonly normalize: boolean;
  readonly scale: number;
  readonly margin: number;
  readonly matryoshka: readonly number[] | undefined;
}

/**
 * @param hidden dimensions of the vectors
 * @throws RangeError with all numbers that make no sense
 */
export function sentenceSettings(
  { pooling = "mean", scale = 20, margin = 5, matryoshka }: SentenceOptions,
  hidden: number,
  normalize: boolean = false,
): SentenceSettings {
  const faults = Object.entries({ scale, margin }).flatMap(([name, value]) =>
    Number.isFinite(value) && value > 0 ? [] : [`${name} is ${value}, it must be a number above 0`],
  );
  const dims = [...(matryoshka ?? [])].sort((a, b) => b - a);
  if (matryoshka?.length === 0 || new Set(dims).size < dims.length) {
    faults.push(`matryoshka is [${matryoshka}], it must be numbers of dimensions, each once`);
  }
  for (const dim of dims) {
    if (!(Number.isInteger(dim) && dim >= 1 && dim <= hidden)) {
      faults.push(`matryoshka has ${dim}, the vectors have ${hidden} dimensions`);
    }
  }
  if (faults.length > 0) throw new RangeError(faults.join("; "));
  return { pooling, normalize, scale, margin, matryoshka: matryoshka && dims };
}

export type SentenceContext = LossContext & { readonly sentence: SentenceSettings };

export interface SentenceLoss {
  /** Names of its counts. */
  readonly counts: readonly string[];
  /** Whether it is one of directions: vectors are scaled to length 1. */
  readonly directions: boolean;
  /**
   * @param sequences of the batch
   * @throws RangeError for another number of sequences than it takes, and for a label that is missing
   */
  prepare(sequences: number, labels: readonly Labels[]): LabelInputs;
  /**
   * @param x f32 [columns * rows, cols]
   * @returns its gradient
   */
  record(context: SentenceContext, x: Ref, rows: number): Ref;
}

/** In-batch negatives (MultipleNegativesRankingLoss): each anchor's positive among those of all, and all negatives. */
const mnrl: SentenceLoss = {
  counts: ["rows"],
  directions: true,
  prepare(sequences, { length: rows }) {
    if (sequences < 2 * rows) throw columnsError("mnrl", "an anchor, a positive and any number of negatives");
    return { inputs: { targets: Uint32Array.from({ length: rows }, (_, i) => i) }, counts: { rows } };
  },
  record(context, x, rows) {
    const { r } = context.tape;
    const [all, cols] = x.shape as [number, number];
    const others = all - rows;
    const candidates = r.temporary("candidates", [others, cols], "f32");
    r.dispatch(copyBlocks, { rows: others, cols, dtype: "f32", xOffset: rows * cols }, { x, out: candidates });
    const plain = { dtype: "f32", bias: false, residual: false, activation: "none" } as const;
    const scores = r.temporary("scores", [rows, others], "f32");
    const nt = { ...plain, m: rows, n: others, k: cols };
    r.dispatch(matmulKernelFor(nt, r.traits), nt, { x, weight: candidates, out: scores });
    crossEntropy(context, scores, context.inputs.targets!, "rows", context.sentence.scale);
    const dx = r.temporary("gradient", x.shape, "f32");
    const nn = { ...plain, m: rows, n: cols, k: others, operands: "nn" } as const;
    r.dispatch(matmulBackwardKernelFor(nn, r.traits), nn, { x: scores, weight: candidates, out: dx });
    const tn = {
      ...plain,
      m: others,
      n: cols,
      k: rows,
      operands: "tn",
      outStride: cols,
      outOffset: rows * cols,
    } as const;
    r.dispatch(matmulBackwardKernelFor(tn, r.traits), tn, { x: scores, weight: x, out: dx });
    return dx;
  },
};

/** Of pairs with a number. @param loss puts the gradient of the similarities, f32 [rows], in their place or elsewhere */
function ofPairs(
  name: SentenceLossName,
  count: "rows" | "batches",
  loss: (context: SentenceContext, similarities: Ref, rows: number) => Ref,
): SentenceLoss {
  return {
    counts: [count],
    directions: true,
    prepare(sequences, labels) {
      const rows = labels.length;
      if (sequences !== 2 * rows) throw columnsError(name, "two sequences");
      const scores = Float32Array.from(labels, ({ label }, row) => {
        if (typeof label === "number" && Number.isFinite(label)) return label;
        throw new RangeError(`row ${row}: label is ${JSON.stringify(label)}, it must be a finite number`);
      });
      return { inputs: { scores }, counts: { [count]: count === "rows" ? rows : 1 } };
    },
    record(context, x, rows) {
      const { r } = context.tape;
      const shape = { rows, cols: x.shape[1]!, dtype: "f32" } as const;
      const similarities = r.temporary("similarities", [rows], "f32");
      r.dispatch(rowDotsBy(rowOwnerFor(r.traits)), shape, { x, dots: similarities });
      const dDots = loss(context, similarities, rows);
      const dx = r.temporary("gradient", x.shape, "f32");
      r.dispatch(rowDotsBackward, shape, { x, d_dots: dDots, dx });
      return dx;
    },
  };
}

/** CosineSimilarityLoss: the squared error of the cosine. */
const cosine = ofPairs("cosine", "rows", (context, similarities, rows) => {
  const { tape, inputs, scales, state } = context;
  const losses = tape.r.temporary("losses", [rows], "f32");
  const operands = { logits: similarities, labels: inputs.scores!, state, losses };
  tape.r.dispatch(squaredError, { count: rows, dtype: "f32", scale: 0 }, operands, { scale: scales.rows! });
  addUp(context, losses);
  return similarities;
});

/** CoSENTLoss: pairs are to be in the order of their numbers. It is one loss of a whole batch. */
const cosent = ofPairs("cosent", "batches", (context, similarities, rows) => {
  const { tape, inputs, scales, state, sentence } = context;
  const { r } = tape;
  const owner = rowOwnerFor(r.traits);
  const [sums, dSimilarities, losses] = ["sums", "gradient", "losses"].map((name) => r.temporary(name, [rows], "f32"));
  const given = { similarities, labels: inputs.scores! };
  const shape = { rows, dtype: "f32", factor: sentence.scale } as const;
  r.dispatch(cosentBy(owner), shape, { ...given, sums });
  const operands = { ...given, sums, state, d_similarities: dSimilarities, losses };
  r.dispatch(cosentGradientBy(owner), { ...shape, scale: 0 }, operands, { scale: scales.batches! });
  addUp(context, losses!);
  return dSimilarities!;
});

/** TripletLoss, by Euclidean distances. */
const triplet: SentenceLoss = {
  counts: ["rows"],
  directions: false,
  prepare(sequences, { length: rows }) {
    if (sequences !== 3 * rows) throw columnsError("triplet", "an anchor, a positive and a negative");
    return { inputs: {}, counts: { rows } };
  },
  record(context, x, rows) {
    const { tape, scales, state, sentence } = context;
    const { r } = tape;
    const dx = r.temporary("gradient", x.shape, "f32");
    const losses = r.temporary("losses", [rows], "f32");
    r.dispatch(
      tripletBy(rowOwnerFor(r.traits)),
      { rows, cols: x.shape[1]!, dtype: "f32", margin: sentence.margin, scale: 0 },
      { x, state, dx, losses },
      { scale: scales.rows! },
    );
    addUp(context, losses);
    return dx;
  },
};

export const SENTENCE_LOSSES: Readonly<Record<SentenceLossName, SentenceLoss>> = { mnrl, cosine, cosent, triplet };

export const isSentenceLoss = (name: string): name is SentenceLossName => Object.hasOwn(SENTENCE_LOSSES, name);

function columnsError(loss: SentenceLossName, what: string): RangeError {
  return new RangeError(`${loss} takes ${what} of each example: its \`sequence\`, then those of \`more\``);
}

/**
 * A loss of vectors [columns * rows, hidden] of any type.
 * @returns the vectors' gradient, in their type
 */
export function recordSentenceLoss(context: SentenceContext, loss: SentenceLoss, vectors: Ref, rows: number): Ref {
  const { tape, sentence } = context;
  const { r } = tape;
  const [count, hidden] = vectors.shape as [number, number];
  const { matryoshka, normalize } = sentence;
  const single = converted(context, vectors, "f32");
  let sum: Ref | undefined;
  for (const cols of matryoshka ?? [hidden]) {
    let part = single;
    if (cols < hidden) {
      part = r.temporary("dimensions", [count, cols], "f32");
      r.dispatch(copyBlocks, { rows: count, cols, xStride: hidden, dtype: "f32" }, { x: single, out: part });
    }
    const normal = loss.directions || normalize || matryoshka ? l2Normalize(tape, part) : undefined;
    const dNormal = loss.record(context, normal?.out ?? part, rows);
    const dPart = normal ? normal.backward(dNormal) : dNormal;
    if (sum) {
      const shape = { rows: count, cols, outStride: hidden, dtype: "f32", accumulate: true } as const;
      r.dispatch(copyBlocks, shape, { x: dPart, out: sum });
    } else if (cols === hidden) sum = dPart;
    else {
      sum = r.temporary("gradient", [count, hidden], "f32");
      r.dispatch(copyBlocks, { rows: count, cols: hidden, given: cols, dtype: "f32" }, { x: dPart, out: sum });
    }
  }
  return converted(context, sum!, scalarOf(vectors));
}

/** The same numbers in another type of storage. */
function converted({ tape: { r } }: LossContext, x: Ref, to: "f32" | "f16"): Ref {
  if (x.dtype === to) return x;
  const out = r.temporary(`${x.name} in ${to}`, x.shape, to);
  const [rows, cols] = x.shape as [number, number];
  r.dispatch(copyBlocks, { rows, cols, dtype: scalarOf(x), to }, { x, out });
  return out;
}
