/** Rows of a table by index; a table split over several buffers is gathered part by part. */

import { foldWorkgroups, type Kernel, requireIndexable, requireOffsets, requireSizes, type Scalar } from "../kernel.ts";
import wgsl from "./gather_rows.wgsl";

export interface GatherRowsShape {
  /** Indices, and rows of the output. */
  readonly count: number;
  readonly cols: number;
  readonly dtype: Scalar;
  /** Rows of `table`. */
  readonly tableRows: number;
  /** The index of the table's first row, where it is a part of a larger one; default 0. */
  readonly firstRow?: number;
}

/**
 * Bindings: table [tableRows, cols], indices u32 [count], out [count, cols]. Writes only the rows whose index lies in
 * [firstRow, firstRow + tableRows), so that one dispatch for each part fills the output. Copies bits, subnormals and NaN
 * included, except f16 rows of an odd number of columns, which the GPU copies as numbers.
 */
export const gatherRows: Kernel<GatherRowsShape> = {
  name: "gather_rows",
  source: wgsl,
  plan({ count, cols, dtype, tableRows, firstRow = 0 }, limits) {
    requireSizes("gather_rows", { count, cols, tableRows });
    requireOffsets("gather_rows", { firstRow });
    requireIndexable("gather_rows", { table: tableRows * cols, out: count * cols });
    const word = wordOf(cols, dtype);
    const words = (cols * SIZES[dtype]) / word.size;
    return {
      constants: { Word: word.type },
      params: { count, row_words: words, first_row: firstRow, table_rows: tableRows },
      workgroups: foldWorkgroups(count, limits),
      label: `${count}x${cols}`,
    };
  },
};

/** Bytes of an element. */
const SIZES: Readonly<Record<Scalar, number>> = { f32: 4, f16: 2 };
/** What rows can be copied by, the widest first. */
const WORDS = [
  { type: "vec4<u32>", size: 16 },
  { type: "u32", size: 4 },
  { type: "f16", size: 2 },
] as const;

/** The widest word that a row divides into. */
function wordOf(cols: number, dtype: Scalar): { readonly type: string; readonly size: number } {
  return WORDS.find(({ size }) => (cols * SIZES[dtype]) % size === 0)!;
}
