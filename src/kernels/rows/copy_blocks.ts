/** Rows copied between matrices: some of their columns, some of their rows, into another type of storage. */
import { foldWorkgroups, type Kernel, requireIndexable, requireOffsets, requireSizes, type Scalar } from "../kernel.ts";
import wgsl from "./copy_blocks.wgsl";

export interface CopyBlocksShape {
  /** Default 1. */
  readonly blocks?: number;
  /** Of a block. */
  readonly rows: number;
  /** Of out. */
  readonly cols: number;
  /** Columns that are copied; those behind them become zeros. Default `cols`. */
  readonly given?: number;
  /** Of what is not said otherwise. */
  readonly dtype: Scalar;
  readonly from?: Scalar;
  readonly to?: Scalar;
  /** Elements between the starts of two rows, and of two blocks; defaults: rows and blocks lie end to end. */
  readonly xStride?: number;
  readonly xBlock?: number;
  readonly outStride?: number;
  readonly outBlock?: number;
  /** Element where the first one is; default 0. A recorder may set them at each run. */
  readonly xOffset?: number;
  readonly outOffset?: number;
  /** Whether out is added to. */
  readonly accumulate?: boolean;
}

const WORKGROUP_SIZE = 64;

/** Bindings: x, out. What of out is not written stays as it is. */
export const copyBlocks: Kernel<CopyBlocksShape> = {
  name: "copy_blocks",
  source: wgsl,
  plan(shape, limits) {
    const { blocks = 1, rows, cols, given = cols, dtype, from = dtype, to = dtype, accumulate = false } = shape;
    const { xStride = given, xBlock = rows * xStride, xOffset = 0 } = shape;
    const { outStride = cols, outBlock = rows * outStride, outOffset = 0 } = shape;
    requireSizes("copy_blocks", { blocks, rows, cols, given, xStride, outStride });
    requireOffsets("copy_blocks", { xBlock, xOffset, outBlock, outOffset });
    if (given > cols) throw new RangeError(`copy_blocks: given is ${given}, there are ${cols} columns`);
    const end = (block: number, stride: number, offset: number): number =>
      (blocks - 1) * block + (rows - 1) * stride + cols + offset;
    requireIndexable("copy_blocks", { x: end(xBlock, xStride, xOffset), out: end(outBlock, outStride, outOffset) });
    const count = blocks * rows * cols;
    return {
      constants: { In: from, Out: to, ACCUMULATE: accumulate, WORKGROUP_SIZE },
      params: {
        ...{ count, rows, cols, given, x_block: xBlock, x_stride: xStride, x_offset: xOffset },
        ...{ out_block: outBlock, out_stride: outStride, out_offset: outOffset },
      },
      workgroups: foldWorkgroups(Math.ceil(count / WORKGROUP_SIZE), limits),
      label: `${blocks}x${rows}x${cols}`,
    };
  },
};
