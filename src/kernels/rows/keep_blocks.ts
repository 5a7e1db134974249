/** A matrix of which only some blocks are wanted: the gradient of a low-rank update of several layers that lie as one. */

import { foldWorkgroups, type Kernel, requireIndexable, requireSizes } from "../kernel.ts";
import wgsl from "./keep_blocks.wgsl";

export interface KeepBlocksShape {
  readonly rows: number;
  /** As many blocks of `width` as there are in `blocks`. */
  readonly width: number;
  /** Rows of a block. */
  readonly height: number;
  /** For each block of the columns, which of the rows stays: one to three of them. */
  readonly blocks: readonly number[];
}

const WORKGROUP_SIZE = 64;

/** Bindings: x f32 [rows, blocks * width], in place. */
export const keepBlocks: Kernel<KeepBlocksShape> = {
  name: "keep_blocks",
  source: wgsl,
  plan({ rows, width, height, blocks }, limits) {
    requireSizes("keep_blocks", { rows, width, height, blocks: blocks.length });
    if (blocks.length > 3) throw new RangeError(`keep_blocks: ${blocks.length} blocks, it takes at most 3`);
    const cols = blocks.length * width;
    requireIndexable("keep_blocks", { x: rows * cols });
    const [first = 0, second = 0, third = 0] = blocks;
    return {
      constants: { WORKGROUP_SIZE },
      params: { count: rows * cols, cols, width, height, first, second, third },
      workgroups: foldWorkgroups(Math.ceil((rows * cols) / WORKGROUP_SIZE), limits),
      label: `${rows}x${cols}`,
    };
  },
};
