/** Which kernel multiplies: what was measured on the device, else what is known of its kind. */
import type { DeviceTraits, Kernel, MatrixUnit } from "../kernel.ts";
import { launchOf, type MatmulShape, matmulKernelOf, oddK } from "./matmul.ts";
import type { MatmulConfig, SubgroupTile } from "./matmul_config.ts";

const REGISTER: MatmulConfig = { kind: "register" };
/** Small tiles make enough workgroups of a small product to fill a GPU; large ones read memory less often. */
const SMALL: MatmulConfig = { kind: "workgroup", tile: { rows: 32, cols: 32, depth: 32, rowFours: 1, colFours: 1 } };
const MEDIUM: MatmulConfig = { kind: "workgroup", tile: { rows: 64, cols: 64, depth: 16, rowFours: 1, colFours: 1 } };
/** 64 outputs a thread; in f32 the 16 KB of workgroup memory that every device has. */
const LARGE: MatmulConfig = { kind: "workgroup", tile: { rows: 128, cols: 128, depth: 16, rowFours: 2, colFours: 2 } };
const WIDE: MatmulConfig = { kind: "workgroup", tile: { rows: 64, cols: 128, depth: 16, rowFours: 1, colFours: 2 } };
const TALL: MatmulConfig = { kind: "workgroup", tile: { rows: 128, cols: 64, depth: 16, rowFours: 2, colFours: 1 } };

/** Workgroups that keep a large GPU busy: about one for each of its cores, some 100. */
const ENOUGH_WORKGROUPS = 96;

/** Up to this many rows, tiles would mostly idle. */
const FEW_ROWS = 8;

/** The kernel for this shape. */
export function matmulKernelFor(shape: MatmulShape, traits?: DeviceTraits): Kernel<MatmulShape> {
  const config = matmulConfigFor({ ...shape, m: shape.usualRows ?? shape.m }, traits);
  return matmulKernelOf(config, oddK(shape) === undefined);
}

/**
 * The config for this shape: the tuned one where it fits the device, else by the kind of device. A software adapter gets
 * tiles in registers, with rows passed through the subgroup where there are more than a few and subgroups are of one
 * size: its workgroup memory and barriers cost more than they save (measured: 15 GFLOP/s against 5 to 9).
 * A GPU gets the split of k for a handful of rows; else its matrix units where they multiply this dtype; else tiles in
 * workgroup memory, the largest that still make enough workgroups. Without traits, what runs well anywhere.
 */
export function matmulConfigFor(shape: MatmulShape, traits?: DeviceTraits): MatmulConfig {
  if (traits === undefined) return REGISTER;
  const tuned = traits.tuning?.[shapeClass(shape)] as MatmulConfig | undefined; // of a MatmulTuning
  if (tuned !== undefined && matmulFits(tuned, shape, traits)) return tuned;
  if (traits.software) {
    const broadcast: MatmulConfig = { kind: "broadcast", subgroup: traits.subgroupSize ?? 0 };
    return shape.m > FEW_ROWS && matmulFits(broadcast, shape, traits) ? broadcast : REGISTER;
  }
  if (shape.m <= FEW_ROWS) return { kind: "split_k", split: 32 };
  // Where subgroups vary in size, as on Intel's GPUs, a kernel may not run with the largest unless it can ask for that:
  // only tuning, which verifies, chooses matrix units there without.
  const matrices = subgroupTileFor(shape, traits);
  if (matrices && (matrices.sized || !subgroupsVary(traits))) return { kind: "subgroup", tile: matrices };
  return largest(spillsEarly(traits) ? [MEDIUM, SMALL] : [LARGE, MEDIUM, SMALL], shape, traits) ?? SMALL;
}

/**
 * What is worth trying for this shape: at most 8 that the device has room for, the built-in choice first. Few on a
 * software adapter, which takes seconds to compile one.
 */
export function matmulCandidates(shape: MatmulShape, traits: DeviceTraits): MatmulConfig[] {
  const { tuning: _, ...untuned } = traits;
  const split = (by: number): MatmulConfig => ({ kind: "split_k", split: by });
  const tile = subgroupTileFor(shape, traits);
  const matrices = tile ? variantsOf(tile) : [];
  const candidates: MatmulConfig[] = traits.software
    ? [REGISTER, { kind: "broadcast", subgroup: traits.subgroupSize ?? 0 }, shape.m <= FEW_ROWS ? split(8) : MEDIUM]
    : shape.m <= 32
      ? [split(32), split(16), split(8), ...matrices, SMALL, REGISTER]
      : [...matrices, LARGE, MEDIUM, SMALL, WIDE, TALL, split(8), REGISTER];
  const distinct = new Map<string, MatmulConfig>();
  for (const config of [matmulConfigFor(shape, untuned), ...candidates]) {
    if (matmulFits(config, shape, traits)) distinct.set(JSON.stringify(config), config);
  }
  return [...distinct.values()].slice(0, 8);
}

/** Whether a device has the room and the features for `config` on this shape. */
export function matmulFits(config: MatmulConfig, shape: MatmulShape, traits: DeviceTraits): boolean {
  return workgroupsOf(config, shape, traits) > 0;
}

/** Workgroups that `config` takes on this shape; 0 where it does not suit the shape or the device. */
function workgroupsOf(config: MatmulConfig, shape: MatmulShape, traits: DeviceTraits): number {
  if (config.kind === "broadcast" && config.subgroup !== traits.subgroupSize) return 0;
  if (config.kind === "subgroup" && !hasMatrices(config.tile, traits)) return 0;
  const launch = launchOf(config, shape, traits.limits);
  return typeof launch === "string" ? 0 : launch.workgroups;
}

function subgroupsVary({ subgroupSize, subgroupMaxSize }: DeviceTraits): boolean {
  return subgroupSize !== subgroupMaxSize;
}

function hasMatrices({ unit, subgroup, sized }: SubgroupTile, traits: DeviceTraits): boolean {
  const { matrixUnits = [], subgroupMaxSize, subgroupSizeControl } = traits;
  const fields = ["componentType", "resultType", "M", "N", "K"] as const;
  if (sized && !subgroupSizeControl) return false;
  return subgroup === subgroupMaxSize && matrixUnits.some((own) => fields.every((field) => own[field] === unit[field]));
}

/** The first that fits and makes enough workgroups, else the last that fits: `configs` are largest first. */
function largest<Config extends MatmulConfig>(
  configs: readonly Config[],
  shape: MatmulShape,
  traits: DeviceTraits,
): Config | undefined {
  const fitting = configs.filter((config) => workgroupsOf(config, shape, traits) > 0);
  return fitting.find((config) => workgroupsOf(config, shape, traits) >= ENOUGH_WORKGROUPS) ?? fitting.at(-1);
}

/** Whether registers spill where a thread has many outputs: 64 of a workgroup's tile, 128 of matrices; 16 and 32 do not. */
function spillsEarly({ vendor }: DeviceTraits): boolean {
  return vendor === "apple" || vendor === "intel";
}

/**
 * The tile of matrices for this shape: the largest unit of its dtype that sums in f32, and the largest tile that the
 * device has room for and that still makes enough workgroups, else the smallest. `undefined` where none fits.
 */
export function subgroupTileFor(shape: MatmulShape, traits: DeviceTraits): SubgroupTile | undefined {
  const { matrixUnits = [], subgroupMaxSize: subgroup, limits } = traits;
  const [unit] = matrixUnits
    .filter(({ componentType, resultType }) => componentType === shape.dtype && resultType === "f32")
    .sort((a, b) => volume(b) - volume(a));
  if (unit === undefined || subgroup === undefined) return undefined;
  const sides = spillsEarly(traits) ? [64, 32] : [128, 64, 32];
  const configs = sides.flatMap((side) => {
    const tile = tileOf(unit, subgroup, side, limits.maxComputeInvocationsPerWorkgroup);
    const sized = traits.subgroupSizeControl && subgroupsVary(traits) && { sized: true as const };
    return tile === undefined ? [] : [{ kind: "subgroup", tile: { ...tile, ...sized } } as const];
  });
  return largest(configs, shape, traits)?.tile;
}

const volume = ({ M, N, K }: MatrixUnit): number => M * N * K;

/** Sums that a thread of matrix units holds, at most: more would spill on any device. */
const MOST_SUMS = 128;

/**
 * `side` x `side` outputs by 2 x 2 subgroups, 2 x 1 where they would be too many threads; none where they do not divide, or
 * a thread would hold too many sums.
 */
function tileOf(unit: MatrixUnit, subgroup: number, side: number, mostThreads: number): SubgroupTile | undefined {
  const [subgroupsDown, subgroupsAcross] = 4 * subgroup <= mostThreads ? [2, 2] : [2, 1];
  const [matricesDown, matricesAcross] = [side / subgroupsDown / unit.M, side / subgroupsAcross / unit.N];
  if (!Number.isInteger(matricesDown) || !Number.isInteger(matricesAcross)) return undefined;
  const depth = Math.max(unit.componentType === "f16" ? 32 : 16, unit.K);
  const tile = { unit, subgroup, subgroupsDown, subgroupsAcross, matricesDown, matricesAcross, depth };
  return sumsOf(tile) > MOST_SUMS ? undefined : tile;
}

const sumsOf = ({ unit, subgroup, matricesDown, matricesAcross }: SubgroupTile): number =>
  (matricesDown * matricesAcross * unit.M * unit.N) / subgroup;

/** The tile, one of a quarter of its size and one of four times. */
function variantsOf(tile: SubgroupTile): MatmulConfig[] {
  return [1, 0.5, 2].flatMap((by): MatmulConfig[] => {
    const [matricesDown, matricesAcross] = [tile.matricesDown * by, tile.matricesAcross * by];
    const variant = { ...tile, matricesDown, matricesAcross };
    if (!Number.isInteger(matricesDown) || !Number.isInteger(matricesAcross)) return [];
    return sumsOf(variant) > MOST_SUMS ? [] : [{ kind: "subgroup", tile: variant }];
  });
}

/** Narrow where a tile's rows are mostly idle: what wins at 8 rows may lose at one. */
const M_BUCKETS = [1, 4, 8, 32, 128, 512];
/** 512 x 512, 1024 x 1024, 2048 x 2048: of BERT's layers, those of hidden size 384, of 768, the wide ones, decoders. */
const NK_BUCKETS = [262_144, 1_048_576, 4_194_304];

/**
 * Shapes that one config serves, such as `m<=128 nk<=2^20 f32`: by rows, by the size of the weight, by storage, and by how
 * the operands lie where it is not as in a Linear layer.
 */
export function shapeClass({
  m,
  n,
  k,
  dtype,
  operands = "nt",
}: Pick<MatmulShape, "m" | "n" | "k" | "dtype" | "operands">): string {
  const rows = M_BUCKETS.find((most) => m <= most);
  const weight = NK_BUCKETS.find((most) => n * k <= most);
  return [
    rows === undefined ? `m>${M_BUCKETS.at(-1)}` : `m<=${rows}`,
    weight === undefined ? `nk>2^${Math.log2(NK_BUCKETS.at(-1)!)}` : `nk<=2^${Math.log2(weight)}`,
    dtype + (operands === "nt" ? "" : ` ${operands}`),
  ].join(" ");
}
