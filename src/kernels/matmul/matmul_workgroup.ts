/** Linear layers through tiles in workgroup memory: what a GPU with many threads and little cache wants. */
import type { Kernel } from "../kernel.ts";
import activation from "../shared/activation.wgsl";
import { type MatmulShape, planLinear } from "./linear.ts";
import scalarOperands from "./matmul_scalar.wgsl";
import store from "./matmul_store.wgsl";
import vec4Operands from "./matmul_vec4.wgsl";
import wgsl from "./matmul_workgroup.wgsl";

/** Sizes of matmul_workgroup.wgsl. Rows and columns of a thread come in fours. */
export interface WorkgroupTile {
  /** Outputs of a workgroup along m and n: multiples of 4 * rowFours and 4 * colFours. */
  readonly rows: number;
  readonly cols: number;
  /** How much of k lies in workgroup memory at a time: a multiple of 4. */
  readonly depth: number;
  readonly rowFours: number;
  readonly colFours: number;
}

/** Bindings: x, weight, bias, residual, out. */
export function matmulWorkgroupTiled(tile: WorkgroupTile, vec4: boolean): Kernel<MatmulShape> {
  const name = `matmul_workgroup${vec4 ? "" : "_unaligned"}`;
  return {
    name,
    source: [vec4 ? vec4Operands : scalarOperands, wgsl, store, activation].join("\n"),
    plan(shape, limits) {
      if (vec4 && shape.k % 4 !== 0) throw new RangeError(`${name}: k is ${shape.k}, not a multiple of 4`);
      const { rows, cols, depth, rowFours, colFours } = tile;
      const threads = (rows / 4 / rowFours) * (cols / 4 / colFours);
      if (threads > limits.maxComputeInvocationsPerWorkgroup) {
        throw new RangeError(
          `${name}: ${threads} threads in a workgroup, the device has ${limits.maxComputeInvocationsPerWorkgroup}`,
        );
      }
      const bytes = (rows + cols) * depth * (shape.dtype === "f16" ? 2 : 4);
      if (bytes > limits.maxComputeWorkgroupStorageSize) {
        throw new RangeError(
          `${name}: ${bytes} bytes of workgroup memory, the device has ${limits.maxComputeWorkgroupStorageSize}`,
        );
      }
      const workgroups = Math.ceil(shape.m / rows) * Math.ceil(shape.n / cols);
      const constants = { TILE_ROWS: rows, TILE_COLS: cols, DEPTH: depth, ROW_FOURS: rowFours, COL_FOURS: colFours };
      return planLinear(name, shape, workgroups, constants, limits);
    },
  };
}

/** With the tile that the .wgsl has by default, for `k` a multiple of 4. */
export const matmulWorkgroup: Kernel<MatmulShape> = /* @__PURE__ */ matmulWorkgroupTiled(
  { rows: 64, cols: 64, depth: 16, rowFours: 1, colFours: 1 },
  true,
);
