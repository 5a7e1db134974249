/** What tells one kernel from another in words: its name, what sets it apart from others of that name, its storage. */

import type { Kernel, KernelLimits, KernelPlan, Scalar } from "./kernel.ts";

/** What tells kernels of one name apart: its tile and matrix unit, the threads that share k or a row, its vectors. */
export function variantOf({ constants }: Pick<KernelPlan, "constants">): string {
  const { TILE_ROWS, TILE_COLS, DEPTH, SPLIT, LANES, WIDTH } = constants;
  if (constants.MATRIX_ROWS !== undefined) return matrixVariant(constants as Readonly<Record<string, number>>);
  if (TILE_ROWS !== undefined) return [TILE_ROWS, TILE_COLS, DEPTH].filter((size) => size !== undefined).join("x");
  if (SPLIT !== undefined) return `by ${SPLIT}`;
  return [WIDTH === 2 ? "in pairs" : "", LANES === 1 ? "by thread" : ""].filter(Boolean).join(" ");
}

/** `128x128x32 16x16x16`: the outputs of a workgroup and the depth, then the matrices that are multiplied. */
function matrixVariant(sizes: Readonly<Record<string, number>>): string {
  const { MATRIX_ROWS, MATRIX_COLS, MATRIX_DEPTH, SUBGROUPS_DOWN, SUBGROUPS_ACROSS, DEPTH } = sizes;
  const rows = SUBGROUPS_DOWN! * sizes.MATRICES_DOWN! * MATRIX_ROWS!;
  const cols = SUBGROUPS_ACROSS! * sizes.MATRICES_ACROSS! * MATRIX_COLS!;
  return `${rows}x${cols}x${DEPTH} ${MATRIX_ROWS}x${MATRIX_COLS}x${MATRIX_DEPTH}`;
}

/**
 * `matmul_workgroup 128x128x16 f16`, `layernorm by thread f32`: a kernel as it is kept on the list of those to avoid.
 * @throws as its plan, where it does not take the shape
 */
export function variantName<S extends { readonly dtype: Scalar }>(
  kernel: Kernel<S>,
  shape: S,
  limits: KernelLimits,
): string {
  return [kernel.name, variantOf(kernel.plan(shape, limits)), shape.dtype].filter(Boolean).join(" ");
}
