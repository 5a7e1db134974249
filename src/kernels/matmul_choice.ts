/** Which kernel multiplies: decided from the shape and from what kind of device it is. */
import type { DeviceTraits, Kernel } from "./kernel.ts";
import type { MatmulShape } from "./linear.ts";
import { matmul, matmulUnaligned } from "./matmul.ts";
import { matmulSplitKBy } from "./matmul_split_k.ts";
import { matmulWorkgroupTiled, type WorkgroupTile } from "./matmul_workgroup.ts";

/** Small tiles make enough workgroups of a small product to fill a GPU; large ones read memory less often. */
const SMALL: WorkgroupTile = { rows: 32, cols: 32, depth: 32, rowFours: 1, colFours: 1 };
const MEDIUM: WorkgroupTile = { rows: 64, cols: 64, depth: 16, rowFours: 1, colFours: 1 };
/** 64 outputs a thread; in f32 the 16 KB of workgroup memory that every device has. */
const LARGE: WorkgroupTile = { rows: 128, cols: 128, depth: 16, rowFours: 2, colFours: 2 };

/** Workgroups that keep a large GPU busy: about one for each of its cores, some 100. */
const ENOUGH_WORKGROUPS = 96;

/**
 * The kernel for this shape. A software adapter runs the register-tiled one: its workgroup memory and barriers cost more
 * than they save (measured: 15 GFLOP/s against 5 to 9). A GPU gets tiles in workgroup memory, the largest that still
 * make enough workgroups, and for a handful of rows the split of k. Without traits, the one that runs well anywhere.
 */
export function matmulKernelFor(shape: MatmulShape, traits?: DeviceTraits): Kernel<MatmulShape> {
  const vec4 = shape.k % 4 === 0;
  if (traits === undefined || traits.software) return vec4 ? matmul : matmulUnaligned;
  if (shape.m <= 8) return matmulSplitKBy(32, vec4);
  const count = ({ rows, cols }: WorkgroupTile): number => Math.ceil(shape.m / rows) * Math.ceil(shape.n / cols);
  const bytes = ({ rows, cols, depth }: WorkgroupTile): number => (rows + cols) * depth * 4;
  const fits = (tile: WorkgroupTile): boolean => bytes(tile) <= traits.limits.maxComputeWorkgroupStorageSize;
  const tile = [LARGE, MEDIUM].find((candidate) => fits(candidate) && count(candidate) >= ENOUGH_WORKGROUPS) ?? SMALL;
  return matmulWorkgroupTiled(tile, vec4);
}
