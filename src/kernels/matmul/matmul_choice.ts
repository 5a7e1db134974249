/** Which kernel multiplies: what was measured on the device, else what is known of its kind. */
import type { DeviceTraits, Kernel } from "../kernel.ts";
import type { MatmulShape } from "./linear.ts";
import { type MatmulConfig, matmulFits, matmulKernelOf, shapeClass } from "./matmul_config.ts";
import { type SubgroupTile, subgroupTileFor } from "./matmul_subgroup.ts";
import type { WorkgroupTile } from "./matmul_workgroup.ts";

/** Small tiles make enough workgroups of a small product to fill a GPU; large ones read memory less often. */
const SMALL: WorkgroupTile = { rows: 32, cols: 32, depth: 32, rowFours: 1, colFours: 1 };
const MEDIUM: WorkgroupTile = { rows: 64, cols: 64, depth: 16, rowFours: 1, colFours: 1 };
/** 64 outputs a thread; in f32 the 16 KB of workgroup memory that every device has. */
const LARGE: WorkgroupTile = { rows: 128, cols: 128, depth: 16, rowFours: 2, colFours: 2 };
const WIDE: WorkgroupTile = { rows: 64, cols: 128, depth: 16, rowFours: 1, colFours: 2 };
const TALL: WorkgroupTile = { rows: 128, cols: 64, depth: 16, rowFours: 2, colFours: 1 };

/** Workgroups that keep a large GPU busy: about one for each of its cores, some 100. */
const ENOUGH_WORKGROUPS = 96;

/** Up to this many rows, tiles would mostly idle. */
const FEW_ROWS = 8;

/** Largest first. On Apple's and Intel's GPUs 64 outputs a thread spill out of the registers, 16 do not. */
function tilesOf(vendor: string | undefined): readonly WorkgroupTile[] {
  return vendor === "apple" || vendor === "intel" ? [MEDIUM, SMALL] : [LARGE, MEDIUM, SMALL];
}

/**
 * The config for this shape: the tuned one where it fits the device, else by the kind of device. A software adapter gets
 * tiles in registers, with rows passed through the subgroup where there are more than a few and subgroups are of one
 * size: its workgroup memory and barriers cost more than they save (measured: 15 GFLOP/s against 5 to 9).
 * A GPU gets the split of k for a handful of rows; else its matrix units where they multiply this dtype; else tiles in
 * workgroup memory, the largest that still make enough workgroups. Without traits, what runs well anywhere.
 */
export function matmulConfigFor(shape: MatmulShape, traits?: DeviceTraits): MatmulConfig {
  if (traits === undefined) return { kind: "register" };
  const tuned = traits.tuning?.[shapeClass(shape)];
  if (tuned !== undefined && matmulFits(tuned, shape, traits)) return tuned;
  if (traits.software) {
    const broadcast: MatmulConfig = { kind: "broadcast", subgroup: traits.subgroupSize ?? 0 };
    return shape.m > FEW_ROWS && matmulFits(broadcast, shape, traits) ? broadcast : { kind: "register" };
  }
  if (shape.m <= FEW_ROWS) return { kind: "split_k", split: 32 };
  // Where subgroups vary in size, as on Intel's GPUs, a kernel may not run with the largest: only tuning, which verifies,
  // chooses matrix units there.
  const matrices = traits.subgroupSize === traits.subgroupMaxSize ? subgroupTileFor(shape, traits) : undefined;
  if (matrices !== undefined) return { kind: "subgroup", tile: matrices };
  const tiles = tilesOf(traits.vendor).map((tile): MatmulConfig => ({ kind: "workgroup", tile }));
  const fitting = tiles.filter((config) => matmulFits(config, shape, traits));
  return fitting.find((config) => workgroupsOf(config, shape, traits) >= ENOUGH_WORKGROUPS) ?? tiles.at(-1)!;
}

function workgroupsOf(config: MatmulConfig, shape: MatmulShape, { limits }: DeviceTraits): number {
  return matmulKernelOf(config, shape.k % 4 === 0)
    .plan(shape, limits)
    .workgroups.reduce((product, count) => product * count);
}

/** The kernel for this shape. */
export function matmulKernelFor(shape: MatmulShape, traits?: DeviceTraits): Kernel<MatmulShape> {
  return matmulKernelOf(matmulConfigFor(shape, traits), shape.k % 4 === 0);
}

/**
 * What is worth trying for this shape: at most 8 that the device has room for, the built-in choice first. Few on a
 * software adapter, which takes seconds to compile one.
 */
export function matmulCandidates(shape: MatmulShape, traits: DeviceTraits): MatmulConfig[] {
  const { tuning: _, ...untuned } = traits;
  const split = (by: number): MatmulConfig => ({ kind: "split_k", split: by });
  const tiled = (tile: WorkgroupTile): MatmulConfig => ({ kind: "workgroup", tile });
  const register: MatmulConfig = { kind: "register" };
  const broadcast: MatmulConfig[] = [{ kind: "broadcast", subgroup: traits.subgroupSize ?? 0 }];
  const matrices = subgroupTileFor(shape, traits);
  const candidates = traits.software
    ? [register, ...broadcast, shape.m <= FEW_ROWS ? split(8) : tiled(MEDIUM)]
    : shape.m <= 32
      ? [split(32), split(16), split(8), ...(matrices ? variantsOf(matrices) : []), tiled(SMALL), register]
      : [
          ...(matrices ? variantsOf(matrices) : []),
          ...[LARGE, MEDIUM, SMALL, WIDE, TALL].map(tiled),
          split(8),
          register,
        ];
  const distinct = new Map<string, MatmulConfig>();
  for (const config of [matmulConfigFor(shape, untuned), ...candidates]) {
    if (matmulFits(config, shape, traits)) distinct.set(JSON.stringify(config), config);
  }
  return [...distinct.values()].slice(0, 8);
}

/** The tile, one of a quarter of its size and one of four times. */
function variantsOf(tile: SubgroupTile): MatmulConfig[] {
  return [1, 0.5, 2].flatMap((by): MatmulConfig[] => {
    const [matricesDown, matricesAcross] = [tile.matricesDown * by, tile.matricesAcross * by];
    if (!Number.isInteger(matricesDown) || !Number.isInteger(matricesAcross)) return [];
    return [{ kind: "subgroup", tile: { ...tile, matricesDown, matricesAcross } }];
  });
}
