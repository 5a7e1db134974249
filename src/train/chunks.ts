/**
 * Batches of sentences larger than memory holds (GradCache): the vectors of all chunks are computed and kept, then the loss
 * and the gradients of the vectors, then each chunk is computed once more and takes its gradients. What comes out is the
 * step of the one large batch, since a loss sees vectors alone.
 */

import { copyBlocks } from "../kernels/rows/copy_blocks.ts";
import type { Allocation } from "../runtime/allocation.ts";
import type { Engine } from "../runtime/engine.ts";
import type { Ref, ScalarInput } from "../runtime/recorder.ts";
import type { Tensor } from "../runtime/tensor.ts";
import type { LossContext } from "./losses.ts";
import type { ObjectiveContext as Whole } from "./objectives.ts";
import { type Gradient, pool, scalarOf } from "./operations.ts";
import { firstOf, recordSentenceLoss, type SentenceContext, type SentenceLoss } from "./sentence_losses.ts";
import { fixedRows } from "./sentence_rows.ts";

export interface ChunkOptions {
  /** Of losses of sentence vectors: examples of a batch that are in memory together. Default: all. */
  readonly miniBatchSize?: number | undefined;
}

type ObjectiveContext = Omit<Whole, keyof LossContext> & Pick<LossContext, "tape">;

/** Lists of at most `size`. */
export function chunksOf<T>(items: readonly T[], size: number = items.length): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}

/** Vectors of a batch and their gradients, f32 [columns * rows, hidden] each, column by column. */
export interface VectorCache {
  /** Rows that it has room for. */
  readonly room: number;
  readonly bytes: number;
  vectors(rows: number): Tensor;
  gradients(rows: number): Tensor;
  dispose(): void;
}

/** @throws GpuError when the memory is not there */
export async function allocateCache(engine: Engine, room: number, hidden: number): Promise<VectorCache> {
  const allocation: Allocation = engine.allocate();
  const [vectors, gradients] = ["vectors", "gradients of vectors"].map((name) =>
    allocation.tensor(name, [room, hidden], "f32"),
  );
  try {
    await allocation.done();
  } catch (error) {
    allocation.dispose();
    throw error;
  }
  return {
    room,
    bytes: allocation.bytes,
    vectors: (rows) => vectors!.part("vectors", [rows, hidden], 0),
    gradients: (rows) => gradients!.part("gradients of vectors", [rows, hidden], 0),
    dispose: () => allocation.dispose(),
  };
}

/** Which rows of each column of a cache a chunk has. */
export interface ChunkPlace {
  readonly columns: number;
  /** Of a column: of the batch. */
  readonly rows: number;
  /** Element where the chunk's first row is, set at each run. */
  readonly first: ScalarInput;
}

/** A chunk's vectors into those of the batch; nothing goes back. */
export function keepVectors(context: ObjectiveContext, { columns, rows, first }: ChunkPlace, vectors: Ref): undefined {
  const { tape, hidden, packed, sentence } = context;
  const { room: own } = context.rows;
  const x = pool(tape, hidden, packed, sentence!.pooling).out;
  const cols = hidden.shape[1]!;
  const shape = { blocks: columns, rows: own, cols, dtype: scalarOf(x), to: "f32", outBlock: rows * cols } as const;
  tape.r.dispatch(copyBlocks, shape, { x, out: vectors }, { out_offset: first });
}

/** The gradient of a chunk's hidden states, out of those of the batch's vectors. */
export function gradientOfChunk(
  context: ObjectiveContext,
  { columns, rows, first }: ChunkPlace,
  gradients: Ref,
): Gradient {
  const { tape, hidden, packed, sentence } = context;
  const { room } = context.rows;
  const pooled = pool(tape, hidden, packed, sentence!.pooling);
  const cols = hidden.shape[1]!;
  const own = tape.r.temporary("gradient", [columns * room, cols], pooled.out.dtype);
  const shape = { blocks: columns, rows: room, cols, dtype: scalarOf(own), from: "f32", xBlock: rows * cols } as const;
  tape.r.dispatch(copyBlocks, shape, { x: gradients, out: own }, { x_offset: first });
  return pooled.backward(firstOf(context, own, pooled.out, columns * room * cols));
}

/** The loss of all vectors, and their gradients. */
export function recordCachedLoss(
  context: SentenceContext,
  loss: SentenceLoss,
  rows: number,
  vectors: Ref,
  gradients: Ref,
): void {
  const [count, cols] = vectors.shape as [number, number];
  const x = recordSentenceLoss(context, loss, vectors, fixedRows(rows, count / rows));
  context.tape.r.dispatch(copyBlocks, { rows: count, cols, dtype: "f32" }, { x, out: gradients });
}
