/**
 * How to multiply, as plain JSON data: which kernel with which tile. What was found best on a device can so be kept in a
 * file or in a browser's storage; `parseMatmulTuning` reads it back.
 */
import type { DeviceTraits, Kernel } from "../kernel.ts";
import type { MatmulShape } from "./linear.ts";
import { matmul, matmulUnaligned } from "./matmul.ts";
import { matmulBroadcastBy } from "./matmul_broadcast.ts";
import { matmulSplitKBy } from "./matmul_split_k.ts";
import { matmulSubgroup, type SubgroupTile } from "./matmul_subgroup.ts";
import { matmulWorkgroupTiled, type WorkgroupTile } from "./matmul_workgroup.ts";

export type MatmulConfig =
  | { readonly kind: "register" }
  | { readonly kind: "workgroup"; readonly tile: WorkgroupTile }
  | { readonly kind: "split_k"; readonly split: number }
  | { readonly kind: "broadcast"; readonly subgroup: number }
  | { readonly kind: "subgroup"; readonly tile: SubgroupTile };

/** What to use for shapes of a class (`shapeClass`), where it is not the built-in choice. */
export type MatmulTuning = Readonly<Record<string, MatmulConfig>>;

/** Narrow where a tile's rows are mostly idle: what wins at 8 rows may lose at one. */
const M_BUCKETS = [1, 4, 8, 32, 128, 512];
/** 512 x 512, 1024 x 1024, 2048 x 2048: of BERT's layers, those of hidden size 384, of 768, the wide ones, decoders. */
const NK_BUCKETS = [2 ** 18, 2 ** 20, 2 ** 22];

/** Shapes that one config serves, such as `m<=128 nk<=2^20 f32`: by rows, by the size of the weight, by storage. */
export function shapeClass({ m, n, k, dtype }: Pick<MatmulShape, "m" | "n" | "k" | "dtype">): string {
  const rows = M_BUCKETS.find((most) => m <= most);
  const weight = NK_BUCKETS.find((most) => n * k <= most);
  return [
    rows === undefined ? `m>${M_BUCKETS.at(-1)}` : `m<=${rows}`,
    weight === undefined ? `nk>2^${Math.log2(NK_BUCKETS.at(-1)!)}` : `nk<=2^${Math.log2(weight)}`,
    dtype,
  ].join(" ");
}

/** @param vec4 whether k is a multiple of 4; `broadcast` and `subgroup` are for those, else the register-tiled kernel */
export function matmulKernelOf(config: MatmulConfig, vec4: boolean): Kernel<MatmulShape> {
  switch (config.kind) {
    case "register":
      return vec4 ? matmul : matmulUnaligned;
    case "workgroup":
      return matmulWorkgroupTiled(config.tile, vec4);
    case "split_k":
      return matmulSplitKBy(config.split, vec4);
    case "broadcast":
      return vec4 ? matmulBroadcastBy(config.subgroup) : matmulUnaligned;
    case "subgroup":
      return vec4 ? matmulSubgroup(config.tile) : matmulUnaligned;
  }
}

/** Whether a device has the room and the features for `config` on this shape. */
export function matmulFits(config: MatmulConfig, shape: MatmulShape, traits: DeviceTraits): boolean {
  const vec4 = shape.k % 4 === 0;
  if (config.kind === "broadcast" && !(vec4 && config.subgroup === traits.subgroupSize)) return false;
  if (config.kind === "subgroup" && !(vec4 && hasMatrices(config.tile, traits))) return false;
  try {
    matmulKernelOf(config, vec4).plan(shape, traits.limits);
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false; // too many threads or too much workgroup memory
    throw error;
  }
}

function hasMatrices({ unit, subgroup }: SubgroupTile, { matrixUnits = [], subgroupMaxSize }: DeviceTraits): boolean {
  const fields = ["componentType", "resultType", "M", "N", "K"] as const;
  return subgroup === subgroupMaxSize && matrixUnits.some((own) => fields.every((field) => own[field] === unit[field]));
}

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
