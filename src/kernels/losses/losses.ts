/**
 * Losses and their gradients, which take the place of the logits. `scale`, 1 over a number of labels, makes their sum a mean:
 * batches that belong together are divided by what they have together. The optimizer's `state` (`STATE_BYTES`) has the
 * loss scale, which multiplies gradients, not losses.
 */
import {
  foldWorkgroups,
  type Kernel,
  planRows,
  type RowOwner,
  requireIndexable,
  requireSizes,
  type Scalar,
} from "../kernel.ts";
import binaryWgsl from "./binary_cross_entropy.wgsl";
import foursWgsl from "./cross_entropy.wgsl";
import onesWgsl from "./cross_entropy_ones.wgsl";
import pairsWgsl from "./cross_entropy_pairs.wgsl";
import spanWgsl from "./span_loss.wgsl";
import squaredWgsl from "./squared_error.wgsl";

/** A label that counts for nothing: -100 of PyTorch. */
export const IGNORED = 0xffffffff;

/** The same where labels are numbers, which lie below it. */
export const NO_NUMBER: number = 2 ** 127;

/** Vectors that a thread may be left alone with: a longer row than any vocabulary's is. */
const MOST_VECTORS = 262_144;

export interface CrossEntropyShape {
  readonly rows: number;
  readonly cols: number;
  readonly dtype: Scalar;
  /** 1 over the number of labels that are not ignored. */
  readonly scale: number;
  /** By which logits are multiplied: 1 over a temperature; default 1. */
  readonly factor?: number;
  /** Columns that count: those behind them are as if they were not there. A recorder may set it at each run. Default: all. */
  readonly counted?: number;
}

/**
 * Bindings: logits [rows, cols], replaced by their gradient; labels u32 [rows], `IGNORED` or a column; state;
 * losses f32 [rows].
 * @param cols of the rows: by how they divide, they are read in fours, in pairs or one by one
 */
export function crossEntropyBy(owner: RowOwner, cols: number): Kernel<CrossEntropyShape> {
  const width = cols % 4 === 0 ? 4 : cols % 2 === 0 ? 2 : 1;
  const name = { 4: "cross_entropy", 2: "cross_entropy_pairs", 1: "cross_entropy_ones" }[width];
  return {
    name,
    source: { 4: foursWgsl, 2: pairsWgsl, 1: onesWgsl }[width],
    plan({ rows, cols, dtype, scale, factor = 1, counted }, limits) {
      requireSizes(name, { rows, cols });
      requireIndexable(name, { logits: rows * cols });
      if (cols % width !== 0) throw new RangeError(`${name}: cols is ${cols}, not a multiple of ${width}`);
      if (counted !== undefined && !(counted >= 1 && counted <= cols))
        throw new RangeError(`${name}: counted is ${counted}, there are ${cols} columns`);
      const constants = { Scalar: dtype, WIDTH: width, PARTLY: counted !== undefined };
      return planRows(owner, limits, constants, { rows, cols, scale, factor, counted: counted ?? cols }, MOST_VECTORS);
    },
  };
}

export interface ElementLossShape {
  readonly count: number;
  readonly dtype: Scalar;
  /** 1 over the number of labels that are not `NO_NUMBER`. */
  readonly scale: number;
}

/** Bindings: logits [count], replaced by their gradient; labels f32 [count], 0 to 1; state; losses f32 [count]. */
export const binaryCrossEntropy: Kernel<ElementLossShape> = /* @__PURE__ */ elementLoss(
  "binary_cross_entropy",
  binaryWgsl,
);

/** Bindings as those of `binaryCrossEntropy`; labels are any numbers. */
export const squaredError: Kernel<ElementLossShape> = /* @__PURE__ */ elementLoss("squared_error", squaredWgsl);

const WORKGROUP_SIZE = 64;

function elementLoss(name: string, source: string): Kernel<ElementLossShape> {
  return {
    name,
    source,
    plan({ count, dtype, scale }, limits) {
      requireSizes(name, { count });
      requireIndexable(name, { logits: count });
      return {
        constants: { Scalar: dtype, WORKGROUP_SIZE },
        params: { count, scale },
        workgroups: foldWorkgroups(Math.ceil(count / WORKGROUP_SIZE), limits),
        label: `${count}`,
      };
    },
  };
}

export interface SpanLossShape {
  readonly sequences: number;
  /** Of all sequences. */
  readonly tokens: number;
  readonly dtype: Scalar;
  /** 1 over twice the number of starts, and of ends, that are not ignored. */
  readonly startScale: number;
  readonly endScale: number;
}

/**
 * Bindings: logits [tokens, 2], replaced by their gradient; cu_seqlens u32 [sequences + 1]; labels u32 [sequences, 2]:
 * tokens counted in the sequence, or `IGNORED`; state; losses f32 [sequences, 2].
 */
export function spanLossBy(owner: RowOwner): Kernel<SpanLossShape> {
  return {
    name: "span_loss",
    source: spanWgsl,
    plan({ sequences, tokens, dtype, startScale, endScale }, limits) {
      requireSizes("span_loss", { sequences, tokens });
      requireIndexable("span_loss", { logits: 2 * tokens });
      const rows = 2 * sequences;
      const cols = Math.ceil(tokens / sequences); // of a usual sequence
      const plan = planRows(owner, limits, { Scalar: dtype, WIDTH: 1 }, { rows, cols });
      const { WIDTH: _, ...constants } = plan.constants;
      const params = { rows, start_scale: startScale, end_scale: endScale };
      return { ...plan, constants, params, label: `${tokens} in ${sequences}` };
    },
  };
}

/** A workgroup for each start and each end. */
export const spanLoss: Kernel<SpanLossShape> = /* @__PURE__ */ spanLossBy("workgroup");
