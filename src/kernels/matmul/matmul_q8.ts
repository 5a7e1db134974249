/** The linear layer whose weights are int8, with one scale for each output channel. */
import type { Kernel } from "../kernel.ts";
import { type MatmulShape, planLinear, tilesOf } from "./matmul.ts";
import wgsl from "./matmul_q8.wgsl";

const TILE_ROWS = 32;
const TILE_COLS = 32;

/**
 * For any k. Bindings: x, weight (u32 [n, ceil(k / 4)], four int8 each), bias, residual, out, scales (f32 [n]). x is
 * brought to int8 on the fly, 32 of k at a time; `dtype` is that of x, bias, residual and out.
 */
export const matmulQ8: Kernel<MatmulShape> = {
  name: "matmul_q8",
  source: wgsl,
  plan(shape, limits) {
    const workgroups = tilesOf(shape, TILE_ROWS, TILE_COLS);
    return planLinear("matmul_q8", shape, workgroups, { TILE_ROWS, TILE_COLS }, limits);
  },
};
