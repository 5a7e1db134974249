/**
 * How to multiply, as plain JSON data: what was found best on a device can so be kept in a file or in a browser's
 * storage; `parseMatmulTuning` reads it back.
 */
import type { MatrixUnit } from "../kernel.ts";

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

/** Sizes of matmul_subgroup.wgsl. */
export interface SubgroupTile {
  /** The matrices that are multiplied; sums in f32. */
  readonly unit: MatrixUnit;
  /** Threads of the device's largest subgroup. */
  readonly subgroup: number;
  /** Whether the kernel asks for subgroups of that size: where they vary, on a device that grants it. */
  readonly sized?: true;
  /** Subgroups of a workgroup along m and n. */
  readonly subgroupsDown: number;
  readonly subgroupsAcross: number;
  /** Matrices of a subgroup along m and n. */
  readonly matricesDown: number;
  readonly matricesAcross: number;
  /** How much of k lies in workgroup memory at a time: a multiple of 4 and of the unit's K. */
  readonly depth: number;
}

/** Which kernel with which tile, as plain JSON data: what was found best on a device can so be kept. */
export type MatmulConfig =
  | { readonly kind: "register" }
  | { readonly kind: "workgroup"; readonly tile: WorkgroupTile }
  | { readonly kind: "split_k"; readonly split: number }
  | { readonly kind: "broadcast"; readonly subgroup: number }
  | { readonly kind: "subgroup"; readonly tile: SubgroupTile };

/** What to use for shapes of a class (`shapeClass`), where it is not the built-in choice. */
export type MatmulTuning = Readonly<Record<string, MatmulConfig>>;

/** In a few words, such as `workgroup 64x64x16 4x4`. */
export function describeConfig(config: MatmulConfig): string {
  switch (config.kind) {
    case "register":
      return "register";
    case "workgroup": {
      const { rows, cols, depth, rowFours, colFours } = config.tile;
      return `workgroup ${rows}x${cols}x${depth} ${4 * rowFours}x${4 * colFours}`;
    }
    case "split_k":
      return `split_k ${config.split}`;
    case "broadcast":
      return `broadcast ${config.subgroup}`;
    case "subgroup": {
      const { unit, subgroupsDown, subgroupsAcross, matricesDown, matricesAcross, depth } = config.tile;
      const [rows, cols] = [subgroupsDown * matricesDown * unit.M, subgroupsAcross * matricesAcross * unit.N];
      return `subgroup ${rows}x${cols}x${depth} ${unit.M}x${unit.N}x${unit.K}`;
    }
  }
}
