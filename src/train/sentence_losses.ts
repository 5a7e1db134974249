/**
 * Losses of sentence vectors, as sentence-transformers 6 defines them: from the pooled vectors of a batch to the loss and
 * back. A batch has its sequences column by column: all anchors, then all positives, then all negatives. All is computed
 * in f32.
 */

import { rowOwnerFor } from "../kernels/kernel.ts";
import { IGNORED, NO_NUMBER, squaredError } from "../kernels/losses/losses.ts";
import { cosentBy, cosentGradientBy, rowDotsBackward, rowDotsBy, tripletBy } from "../kernels/losses/sentences.ts";
import { matmulBackwardKernelFor } from "../kernels/matmul/matmul_backward.ts";
import { matmulKernelFor } from "../kernels/matmul/matmul_choice.ts";
import { copyBlocks } from "../kernels/rows/copy_blocks.ts";
import type { PoolMode } from "../kernels/tokens/pool.ts";
import type { Ref, ScalarInput } from "../runtime/recorder.ts";
import { sizeOf } from "../runtime/tensor.ts";
import { addUp, crossEntropy, type LabelInputs, type Labels, type LossContext } from "./losses.ts";
import { l2Normalize, scalarOf } from "./operations.ts";
import type { SentenceRows } from "./sentence_rows.ts";

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
   * @param columns sequences of each row
   * @param labels of each row
   * @param room rows that programs are recorded for
   * @throws RangeError for another number of sequences than it takes, and for a label that is missing
   */
  prepare(columns: number, labels: readonly Labels[], room: number): LabelInputs;
  /**
   * @param x f32 [rows.room + rows.others or more, cols]: columns * rows vectors, and any behind them
   * @returns its gradient, of which what is behind that of columns * rows vectors is anything
   */
  record(context: SentenceContext, x: Ref, rows: SentenceRows): Ref;
}

/** In-batch negatives (MultipleNegativesRankingLoss): each anchor's positive among those of all, and all negatives. */
const mnrl: SentenceLoss = {
  counts: ["rows"],
  directions: true,
  prepare(columns, { length: rows }, room) {
    if (columns < 2) throw columnsError("mnrl", "an anchor, a positive and any number of negatives");
    return {
      inputs: { targets: Uint32Array.from({ length: room }, (_, i) => (i < rows ? i : IGNORED)) },
      counts: { rows },
    };
  },
  record(context, x, rows) {
    const { r } = context.tape;
    const { room, others, columns } = rows;
    const cols = x.shape[1]!;
    const candidates = r.temporary("candidates", [others, cols], "f32");
    const from = { rows: others, cols, dtype: "f32", xOffset: room * cols } as const;
    r.dispatch(copyBlocks, from, { x, out: candidates }, rows.times({ x_offset: cols }));
    const plain = { dtype: "f32", bias: false, residual: false, activation: "none" } as const;
    const scores = r.temporary("scores", [room, others], "f32");
    const nt = { ...plain, m: room, n: others, k: cols };
    r.dispatch(matmulKernelFor(nt, r.traits), nt, { x, weight: candidates, out: scores });
    const { counted } = rows.times({ counted: columns - 1 });
    crossEntropy(context, scores, context.inputs.targets!, "rows", context.sentence.scale, counted);
    const dx = r.temporary("gradient", x.shape, "f32");
    const nn = { ...plain, m: room, n: cols, k: others, operands: "nn" } as const;
    r.dispatch(matmulBackwardKernelFor(nn, r.traits), nn, { x: scores, weight: candidates, out: dx });
    const dCandidates = r.temporary("gradient of candidates", [others, cols], "f32");
    const tn = { ...plain, m: others, n: cols, k: room, operands: "tn", outStride: cols, outOffset: 0 } as const;
    r.dispatch(matmulBackwardKernelFor(tn, r.traits), tn, { x: scores, weight: x, out: dCandidates });
    const to = { rows: others, cols, dtype: "f32", outOffset: room * cols } as const;
    r.dispatch(copyBlocks, to, { x: dCandidates, out: dx }, rows.times({ out_offset: cols }));
    return dx;
  },
};

/** Of pairs with a number. @param loss puts the gradient of the similarities, f32 [rows.room], in their place or elsewhere */
function ofPairs(
  name: SentenceLossName,
  count: "rows" | "batches",
  loss: (context: SentenceContext, similarities: Ref, rows: SentenceRows) => Ref,
): SentenceLoss {
  return {
    counts: [count],
    directions: true,
    prepare(columns, labels, room) {
      const rows = labels.length;
      if (columns !== 2) throw columnsError(name, "two sequences");
      const scores = new Float32Array(room).fill(NO_NUMBER);
      for (const [row, { label }] of labels.entries()) {
        if (typeof label !== "number" || !Number.isFinite(label))
          throw new RangeError(`row ${row}: label is ${JSON.stringify(label)}, it must be a finite number`);
        scores[row] = label;
      }
      return { inputs: { scores }, counts: { [count]: count === "rows" ? rows : 1 } };
    },
    record(context, x, rows) {
      const { r } = context.tape;
      const shape = { rows: rows.room, cols: x.shape[1]!, dtype: "f32" } as const;
      const counted = rows.times({ rows: 1 });
      const similarities = r.temporary("similarities", [rows.room], "f32");
      r.dispatch(rowDotsBy(rowOwnerFor(r.traits)), shape, { x, dots: similarities }, counted);
      const dDots = loss(context, similarities, rows);
      const dx = r.temporary("gradient", x.shape, "f32");
      r.dispatch(rowDotsBackward, shape, { x, d_dots: dDots, dx }, counted);
      return dx;
    },
  };
}

/** CosineSimilarityLoss: the squared error of the cosine. */
const cosine = ofPairs("cosine", "rows", (context, similarities, { room }) => {
  const { tape, inputs, scales, state } = context;
  const losses = tape.r.temporary("losses", [room], "f32");
  const operands = { logits: similarities, labels: inputs.scores!, state, losses };
  tape.r.dispatch(squaredError, { count: room, dtype: "f32", scale: 0 }, operands, { scale: scales.rows! });
  addUp(context, losses);
  return similarities;
});

/** CoSENTLoss: pairs are to be in the order of their numbers. It is one loss of a whole batch. */
const cosent = ofPairs("cosent", "batches", (context, similarities, rows) => {
  const { tape, inputs, scales, state, sentence } = context;
  const { r } = tape;
  const owner = rowOwnerFor(r.traits);
  const [sums, dSimilarities, losses] = ["sums", "gradient", "losses"].map((name) =>
    r.temporary(name, [rows.room], "f32"),
  );
  const given = { similarities, labels: inputs.scores! };
  const shape = { rows: rows.room, dtype: "f32", factor: sentence.scale } as const;
  const counted = rows.times({ rows: 1 });
  r.dispatch(cosentBy(owner), shape, { ...given, sums }, counted);
  const operands = { ...given, sums, state, d_similarities: dSimilarities, losses };
  r.dispatch(cosentGradientBy(owner), { ...shape, scale: 0 }, operands, { scale: scales.batches!, ...counted });
  addUp(context, losses!, counted);
  return dSimilarities!;
});

/** TripletLoss, by Euclidean distances. */
const triplet: SentenceLoss = {
  counts: ["rows"],
  directions: false,
  prepare(columns, { length: rows }) {
    if (columns !== 3) throw columnsError("triplet", "an anchor, a positive and a negative");
    return { inputs: {}, counts: { rows } };
  },
  record(context, x, rows) {
    const { tape, scales, state, sentence } = context;
    const { r } = tape;
    const dx = r.temporary("gradient", x.shape, "f32");
    const losses = r.temporary("losses", [rows.room], "f32");
    const counted = rows.times({ rows: 1 });
    r.dispatch(
      tripletBy(rowOwnerFor(r.traits)),
      { rows: rows.room, cols: x.shape[1]!, dtype: "f32", margin: sentence.margin, scale: 0 },
      { x, state, dx, losses },
      { scale: scales.rows!, ...counted },
    );
    addUp(context, losses, counted);
    return dx;
  },
};

export const SENTENCE_LOSSES: Readonly<Record<SentenceLossName, SentenceLoss>> = { mnrl, cosine, cosent, triplet };

export const isSentenceLoss = (name: string): name is SentenceLossName => Object.hasOwn(SENTENCE_LOSSES, name);

function columnsError(loss: SentenceLossName, what: string): RangeError {
  return new RangeError(`${loss} takes ${what} of each example: its \`sequence\`, then those of \`more\``);
}

/**
 * A loss of vectors [columns * rows or more, hidden] of any type.
 * @returns the vectors' gradient, in their type; zeros behind those of the rows
 */
export function recordSentenceLoss(
  context: SentenceContext,
  loss: SentenceLoss,
  vectors: Ref,
  rows: SentenceRows,
): Ref {
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
  const { given } = rows.times({ given: rows.columns * hidden });
  if (!given) return converted(context, sum!, scalarOf(vectors));
  return firstOf(context, sum!, vectors, given);
}

/** Of `x` the first elements, zeros behind them, in the shape and type of another one. */
export function firstOf(
  { tape: { r } }: Pick<LossContext, "tape">,
  x: Ref,
  { shape, dtype }: Ref,
  given: ScalarInput | number,
): Ref {
  const out = r.temporary("gradient of rows", shape, dtype);
  const to = dtype === "f16" ? "f16" : "f32";
  const one = { rows: 1, cols: sizeOf(shape), dtype: scalarOf(x), to } as const;
  if (typeof given === "number") r.dispatch(copyBlocks, { ...one, given }, { x, out });
  else r.dispatch(copyBlocks, one, { x, out }, { given });
  return out;
}

/** The same numbers in another type of storage. */
function converted({ tape: { r } }: LossContext, x: Ref, to: "f32" | "f16"): Ref {
  if (x.dtype === to) return x;
  const out = r.temporary(`${x.name} in ${to}`, x.shape, to);
  const [rows, cols] = x.shape as [number, number];
  r.dispatch(copyBlocks, { rows, cols, dtype: scalarOf(x), to }, { x, out });
  return out;
}
