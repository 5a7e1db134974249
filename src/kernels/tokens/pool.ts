/** One vector for each sequence out of its tokens' vectors. */
import { foldWorkgroups, type Kernel, keyedVectors, requireIndexable, requireSizes, type Scalar } from "../kernel.ts";
import wgsl from "./pool.wgsl";

/** `cls` takes the first row of each sequence, which for BERT is the token [CLS]. */
export type PoolMode = "mean" | "cls" | "max";

export interface PoolShape {
  readonly sequences: number;
  readonly hidden: number;
  readonly dtype: Scalar;
  readonly mode: PoolMode;
  /** Whether rows whose `tokens[row].w` is 0 are left out. */
  readonly mask: boolean;
}

const WORKGROUP_SIZE = 32;
/** The constants of pool.wgsl. */
const MODES: Readonly<Record<PoolMode, number>> = { mean: 0, cls: 1, max: 2 };

/**
 * Bindings: x [tokens, hidden], cu_seqlens u32 [sequences + 1], tokens u32 [tokens, 4] (.w: mask), out
 * [sequences, hidden]. A sequence with no row, or none that is kept, gives zeros.
 */
export const pool: Kernel<PoolShape> = {
  name: "pool",
  source: wgsl,
  plan({ sequences, hidden, dtype, mode, mask }, limits) {
    requireSizes("pool", { sequences, hidden });
    requireIndexable("pool", { out: sequences * hidden });
    const vectors = keyedVectors(hidden);
    return {
      constants: { Scalar: dtype, WORKGROUP_SIZE, HAS_MASK: mask, MODE: MODES[mode], ...vectors },
      params: { sequences, hidden },
      workgroups: foldWorkgroups(Math.ceil((sequences * hidden) / vectors.WIDTH / WORKGROUP_SIZE), limits),
      label: `${mode} ${sequences}x${hidden}`,
    };
  },
};
