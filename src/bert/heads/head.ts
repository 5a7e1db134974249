/**
 * What a head is: which tensors it has in a checkpoint, what can be asked of it, how that is recorded, and what becomes of
 * what the GPU computed. A file for each beside this one, and a line in index.ts; the rest derives from it.
 */

import type { PackedTokens } from "../../runtime/ops.ts";
import type { OutputData } from "../../runtime/program.ts";
import type { Recorder, Ref } from "../../runtime/recorder.ts";
import type { Shape } from "../../runtime/tensor.ts";
import type { Batch } from "../batch.ts";
import type { BertConfig } from "../config.ts";
import type { Stored } from "../stored.ts";

/** Row-major values and their shape. */
export interface Values {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** What an output has a row for: a token, a sequence, or a row that was asked for. An `option` is none. */
export type Per = "token" | "sequence" | "row" | "option";

/** Where the model decides. */
export type PerModel = (config: BertConfig) => Per;

/** Shapes of a checkpoint's tensors, by our names. */
export type StoredShapes = ReadonlyMap<string, Shape>;

/** For every output a matrix: what most heads give. */
export type RowsOf<Wanted> = { readonly [Name in keyof Wanted]?: Values };
/** And of a single sequence its rows. */
export type PartOf<Wanted> = { readonly [Name in keyof Wanted]?: Float32Array };

export interface HeadContext<Weights> extends PackedTokens {
  readonly config: BertConfig;
  readonly weights: Weights;
  /** The last hidden state [tokens, hidden]. */
  readonly hidden: Ref;
  /** The embeddings' output and that of each layer, each [tokens, hidden]. */
  readonly hiddenStates: readonly Ref[];
  /** Per layer the probabilities of all sequences, where `attentions` is asked for. */
  readonly attentions: readonly Ref[];
  /** What `prepare` gave, as inputs of the program. */
  readonly inputs: Readonly<Record<string, Ref>>;
  readonly size: number | undefined;
  /** What heads share, recorded once. */
  once(name: string, record: () => Ref): Ref;
}

/** Inputs of a head's own, and a size on which its recording depends. */
export interface HeadInputs {
  readonly inputs: Readonly<Record<string, Uint32Array>>;
  readonly size: number;
}

/** A batch, what is asked of it, and what all heads gave as inputs. */
export interface Prepared<Wanted> {
  readonly batch: Batch;
  readonly wanted: Wanted;
  readonly inputs: Readonly<Record<string, Uint32Array>>;
}

/** Refs out, and what they hold; the refs of a list are read back as NAME.0, NAME.1, ... */
export type Refs = Readonly<Record<string, Ref | readonly Ref[]>>;
export interface Raw<Data = OutputData> {
  readonly shape: Shape;
  readonly data: Data;
}
export type RawOutputs = Readonly<Record<string, Raw | readonly Raw[]>>;

/** One sequence of a batch. */
export interface SequencePlace {
  readonly index: number;
  /** Its rows of a matrix [rows, width] that has a row `per` whatever. A view. */
  cut<T extends OutputData>(data: T, width: number, per: Per): T;
}

/**
 * @template Wanted what can be asked; its fields have the docstrings of the outputs
 * @template Forward what is given of a batch, by default a matrix for each output
 * @template Part what is given of one sequence, by default its rows
 */
export interface Head<Wanted, Weights = undefined, Forward = RowsOf<Wanted>, Part = PartOf<Wanted>> {
  /** What it is, for a list of a model's heads; left out where it adds no weights. */
  readonly title?: string | ((shapes: StoredShapes, config: BertConfig) => string);
  readonly outputs: { readonly [Name in keyof Required<Wanted>]: Per | PerModel };
  /** Whether a checkpoint has the head. Left out: every one has. */
  found?(shapes: StoredShapes, config: BertConfig): boolean;
  /** Its tensors, of a checkpoint that has it. */
  weights?(stored: Stored, config: BertConfig, shapes: StoredShapes): Weights;
  /** @throws RangeError for what cannot be asked of this batch */
  prepare?(wanted: Wanted, batch: Batch, config: BertConfig): HeadInputs | undefined;
  record(r: Recorder, wanted: Wanted, context: HeadContext<Weights>): Refs;
  /** Left out: what was recorded is given as it is. */
  give?(raw: RawOutputs, prepared: Prepared<Wanted>, config: BertConfig): Forward;
  /** What there is beside the sequence's rows of each matrix, which are given anyway. Views of the batch's memory. */
  split?(forward: Forward, sequence: SequencePlace): Part;
  /** Elements that a sequence of `length` tokens takes on the GPU, where they are many: what batches are bounded by. */
  elements?(wanted: Wanted, length: number, rows: number, config: BertConfig): number;
}

/** Any of them. */
export interface AnyHead extends Omit<Head<object, unknown, object, object>, "outputs"> {
  readonly outputs: Readonly<Record<string, Per | PerModel>>;
}
