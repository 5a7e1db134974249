/**
 * Linear layers, `out = activation(x weight^T + bias) + residual`: a ladder of kernels that compute the same. Bindings
 * are x, weight, bias, residual, out. matmul_choice.ts chooses among them.
 */

import {
  type Constant,
  foldWorkgroups,
  type Kernel,
  type KernelLimits,
  type KernelPlan,
  requireIndexable,
  requireOffsets,
  requireSizes,
  type Scalar,
  SUBGROUP_SIZE,
} from "../kernel.ts";
import { ACTIVATION_CODES, type Activation } from "../rows/activation.ts";
import registerTiles from "./matmul.wgsl";
import broadcast from "./matmul_broadcast.wgsl";
import type { MatmulConfig, SubgroupTile, WorkgroupTile } from "./matmul_config.ts";
import naive from "./matmul_naive.wgsl";
import splitK from "./matmul_split_k.wgsl";
import splitKUnaligned from "./matmul_split_k_unaligned.wgsl";
import subgroupMatrices from "./matmul_subgroup.wgsl";
import registerTilesUnaligned from "./matmul_unaligned.wgsl";
import workgroupTiles from "./matmul_workgroup.wgsl";
import workgroupTilesUnaligned from "./matmul_workgroup_unaligned.wgsl";

/** How x and weight lie: `t` is transposed, of what is multiplied as x [m, k] by weight [k, n]. */
export type Operands = "nt" | "nn" | "tn";

export interface MatmulShape {
  /** Rows of x and of the output. */
  readonly m: number;
  /** Outputs: rows of the weight, which lies as Hugging Face stores a Linear layer, [n, k]. */
  readonly n: number;
  /** Inputs: columns of x and of the weight. */
  readonly k: number;
  readonly dtype: Scalar;
  /** Whether `bias` [n] is added, before the activation. */
  readonly bias: boolean;
  /** Whether `residual` [m, n] is added, after the activation. */
  readonly residual: boolean;
  readonly activation: Activation;
  /** Elements between the starts of two output rows; default `n`. With `outOffset`, writes a range of columns. */
  readonly outStride?: number;
  /** Element of `out` where [0, 0] goes; default 0. */
  readonly outOffset?: number;
  /**
   * How the operands lie. `nt`, the default: x [m, k] and weight [n, k], a Linear layer. For its gradients, by the kernels
   * of `matmulBackwardKernelFor`, which know no bias and no activation: `nn` is x [m, k] and weight [k, n], `tn` is x [k, m]
   * and weight [k, n], so that `out` is x^T weight.
   */
  readonly operands?: Operands;
  /** Whether the product is added to what `out` holds, which is f32 whatever `dtype` is; for `nn` and `tn`. */
  readonly accumulate?: boolean;
  /** Elements between the starts of two rows of x, and where [0, 0] of it lies, as of `out`; for `nn` and `tn`. */
  readonly xStride?: number;
  readonly xOffset?: number;
  /** Rows to choose a kernel and its tile for, in place of `m`: then no bit of a row depends on how many there are. */
  readonly usualRows?: number | undefined;
}

/** How a kernel runs on a shape, or in words why it cannot. */
export type Launch = { readonly workgroups: number; readonly tile: Readonly<Record<string, Constant>> } | string;

/** How `config` runs on a shape, or in words why it cannot, be it for the shape or for the device's limits. */
export function launchOf(config: MatmulConfig, shape: MatmulShape, limits: KernelLimits): Launch {
  switch (config.kind) {
    case "register":
      return launchRegister(shape);
    case "workgroup":
      return launchWorkgroup(config.tile, shape, limits);
    case "split_k":
      return launchSplitK(config.split, shape);
    case "broadcast":
      return launchBroadcast(config.subgroup, shape);
    case "subgroup":
      return launchSubgroup(config.tile, shape, limits);
  }
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

/** One thread per output: the formula as it stands, and the baseline of the benchmarks. */
export const matmulNaive: Kernel<MatmulShape> = /* @__PURE__ */ linearKernel("matmul_naive", naive, (shape) => ({
  workgroups: tilesOf(shape, 8, 8),
  tile: {},
}));

/** Tiles in registers, with vec4 loads; `k` must be a multiple of 4. */
export const matmul: Kernel<MatmulShape> = /* @__PURE__ */ linearKernel(
  "matmul",
  registerTiles,
  (shape) => oddK(shape, "; matmul_unaligned takes any k") ?? launchRegister(shape),
);

/** As `matmul`, for any `k`, with scalar loads. */
export const matmulUnaligned: Kernel<MatmulShape> = /* @__PURE__ */ linearKernel(
  "matmul_unaligned",
  registerTilesUnaligned,
  launchRegister,
);

/** Few rows (a head on one sequence) get a flat workgroup: a square one would mostly idle. */
function launchRegister(shape: MatmulShape): Launch {
  const { usualRows: m = shape.m } = shape;
  const rows = m === 1 ? 1 : 4;
  const rowThreads = m === 1 ? 1 : m <= 8 ? 2 : 16;
  const colThreads = 64 / rowThreads;
  return {
    workgroups: tilesOf(shape, rowThreads * rows, colThreads * 8),
    tile: { ROWS: rows, ROW_THREADS: rowThreads, COL_THREADS: colThreads },
  };
}

/**
 * Rows pass through a subgroup, for adapters where a load costs more than arithmetic. For `k` a multiple of 4 on a device
 * all of whose subgroups have `subgroup` threads, 4 or 8.
 */
export function matmulBroadcastBy(subgroup: number): Kernel<MatmulShape> {
  return linearKernel("matmul_broadcast", broadcast, (shape) => launchBroadcast(subgroup, shape), ["subgroups"]);
}

/** With the subgroup that the .wgsl has by default. */
export const matmulBroadcast: Kernel<MatmulShape> = /* @__PURE__ */ matmulBroadcastBy(8);

function launchBroadcast(subgroup: number, shape: MatmulShape): Launch {
  if (subgroup !== 4 && subgroup !== 8) return `subgroups of ${subgroup}, not of 4 or 8`;
  const fours = 8 / subgroup; // of columns of a thread: 16 rows by 32 columns for either size
  return oddK(shape) ?? { workgroups: tilesOf(shape, 16, 32), tile: { SUBGROUP: subgroup, FOURS: fours } };
}

/** Tiles in workgroup memory: what a GPU with many threads and little cache wants. */
export function matmulWorkgroupTiled(tile: WorkgroupTile, vec4: boolean): Kernel<MatmulShape> {
  return linearKernel(
    vec4 ? "matmul_workgroup" : "matmul_workgroup_unaligned",
    vec4 ? workgroupTiles : workgroupTilesUnaligned,
    (shape, limits) => (vec4 ? oddK(shape) : undefined) ?? launchWorkgroup(tile, shape, limits),
  );
}

/** With the tile that the .wgsl has by default, for `k` a multiple of 4. */
export const matmulWorkgroup: Kernel<MatmulShape> = /* @__PURE__ */ matmulWorkgroupTiled(
  { rows: 64, cols: 64, depth: 16, rowFours: 1, colFours: 1 },
  true,
);

function launchWorkgroup(
  { rows, cols, depth, rowFours, colFours }: WorkgroupTile,
  shape: MatmulShape,
  limits: KernelLimits,
): Launch {
  const threads = (rows / 4 / rowFours) * (cols / 4 / colFours);
  const bytes = (rows + cols) * depth * (shape.dtype === "f16" ? 2 : 4);
  const tile = { TILE_ROWS: rows, TILE_COLS: cols, DEPTH: depth, ROW_FOURS: rowFours, COL_FOURS: colFours };
  return lackOf(threads, bytes, limits) ?? { workgroups: tilesOf(shape, rows, cols), tile };
}

/** Threads of a workgroup of matmul_split_k.wgsl: 8 KB of sums, half of what every device has. */
const SPLIT_THREADS = 64;

/**
 * k is shared out among the threads of a workgroup: for few outputs, such as a batch of one sentence.
 * @param split threads that share one 4 x 8 block of outputs: a power of two up to 64
 */
export function matmulSplitKBy(split: number, vec4: boolean): Kernel<MatmulShape> {
  return linearKernel(
    vec4 ? "matmul_split_k" : "matmul_split_k_unaligned",
    vec4 ? splitK : splitKUnaligned,
    (shape) => (vec4 ? oddK(shape) : undefined) ?? launchSplitK(split, shape),
  );
}

/** As the .wgsl stands by default, for `k` a multiple of 4. */
export const matmulSplitK: Kernel<MatmulShape> = /* @__PURE__ */ matmulSplitKBy(32, true);

function launchSplitK(split: number, shape: MatmulShape): Launch {
  if (!(split >= 1 && SPLIT_THREADS % split === 0)) return `split is ${split}, it must divide ${SPLIT_THREADS}`;
  const blocks = SPLIT_THREADS / split;
  const { usualRows: m = shape.m } = shape;
  const rowThreads = m > 4 && blocks >= 4 ? 2 : 1;
  const colThreads = blocks / rowThreads;
  return {
    workgroups: tilesOf(shape, 4 * rowThreads, 8 * colThreads),
    tile: { ROW_THREADS: rowThreads, COL_THREADS: colThreads, SPLIT: split },
  };
}

/**
 * On the matrix units of a GPU (tensor cores), through WGSL's experimental subgroup matrices. For `k` a multiple of 4.
 * f16 stores f16; the sums are f32 in either case.
 */
export function matmulSubgroup(tile: SubgroupTile): Kernel<MatmulShape> {
  const features = ["chromium-experimental-subgroup-matrix", ...(tile.sized ? ["subgroup-size-control"] : [])];
  return linearKernel(
    "matmul_subgroup",
    subgroupMatrices,
    (shape, limits) => launchSubgroup(tile, shape, limits),
    features,
  );
}

/** 16 bytes between rows in workgroup memory, so that rows start in different banks and stay aligned. */
const PAD = { f32: 4, f16: 8 } as const;

function launchSubgroup(tile: SubgroupTile, shape: MatmulShape, limits: KernelLimits): Launch {
  const { unit, subgroup, subgroupsDown, subgroupsAcross, matricesDown, matricesAcross, depth } = tile;
  if (unit.componentType !== shape.dtype)
    return `the unit multiplies ${unit.componentType}, the shape is ${shape.dtype}`;
  if (unit.resultType !== "f32") return `the unit sums ${unit.resultType}, not f32`;
  if ((unit.M | unit.N | unit.K) % 4 !== 0 || depth % unit.K !== 0) {
    return `the unit is ${unit.M}x${unit.N}x${unit.K}, not of multiples of 4 that divide a depth of ${depth}`;
  }
  const [rows, cols] = [subgroupsDown * matricesDown * unit.M, subgroupsAcross * matricesAcross * unit.N];
  const pad = PAD[shape.dtype];
  const subgroups = subgroupsDown * subgroupsAcross;
  const bytes = (rows + cols) * (depth + pad) * (16 / pad) + subgroups * unit.M * unit.N * 4; // operands and sums
  const constants = {
    MATRIX_ROWS: unit.M,
    MATRIX_COLS: unit.N,
    MATRIX_DEPTH: unit.K,
    SUBGROUP: subgroup,
    ...(tile.sized && { [SUBGROUP_SIZE]: subgroup }),
    SUBGROUPS_DOWN: subgroupsDown,
    SUBGROUPS_ACROSS: subgroupsAcross,
    MATRICES_DOWN: matricesDown,
    MATRICES_ACROSS: matricesAcross,
    DEPTH: depth,
    PAD: pad,
    Word: shape.dtype === "f16" ? "vec2<u32>" : "vec4<u32>",
  };
  const lack = oddK(shape) ?? lackOf(subgroups * subgroup, bytes, limits);
  return lack ?? { workgroups: tilesOf(shape, rows, cols), tile: constants };
}

/** Whether vec4s do not fit the rows of both operands, in words: those of kernels for `nt`, as others have their own. */
export function oddK({ m, n, k, operands }: MatmulShape, remedy = ""): string | undefined {
  const along = operands === "tn" ? m | n : operands === "nn" ? k | n : k;
  return along % 4 === 0 ? undefined : `k is ${k}, not a multiple of 4${remedy}`;
}

function lackOf(threads: number, bytes: number, limits: KernelLimits): string | undefined {
  const { maxComputeInvocationsPerWorkgroup: mostThreads, maxComputeWorkgroupStorageSize: mostBytes } = limits;
  if (threads > mostThreads) return `${threads} threads in a workgroup, the device has ${mostThreads}`;
  return bytes > mostBytes ? `${bytes} bytes of workgroup memory, the device has ${mostBytes}` : undefined;
}

/** Tiles of outputs, each of which is a workgroup's. */
export function tilesOf({ m, n }: MatmulShape, rows: number, cols: number): number {
  return Math.ceil(m / rows) * Math.ceil(n / cols);
}

function linearKernel(
  name: string,
  source: string,
  launch: (shape: MatmulShape, limits: KernelLimits) => Launch,
  features?: readonly string[],
): Kernel<MatmulShape> {
  return {
    name,
    source,
    ...(features && { features }),
    plan(shape, limits) {
      const how = launch(shape, limits);
      if (typeof how !== "string") return planLinear(name, shape, how.workgroups, how.tile, limits);
      requireLinear(name, shape); // what makes no sense at all is told first
      throw new RangeError(`${name}: ${how}`);
    },
  };
}

function requireLinear(kernel: string, { m, n, k, outStride = n, outOffset = 0 }: MatmulShape): void {
  requireSizes(kernel, { m, n, k, outStride });
  requireOffsets(kernel, { outOffset });
  requireIndexable(kernel, { x: m * k, weight: n * k, residual: m * n, out: (m - 1) * outStride + outOffset + n });
  if (outStride < n) throw new RangeError(`${kernel}: outStride is ${outStride}, shorter than a row of ${n}`);
}

/** What a layer without an activation is compiled with, so that it shares the pipeline of BERT's layers that have one. */
const USUAL: Activation = "gelu";

/**
 * The plan of one kernel on `shape`: `workgroups` of them, `tile` the constants that are its own.
 * @throws RangeError, TypeError for sizes that make no sense
 */
export function planLinear(
  kernel: string,
  shape: MatmulShape,
  workgroups: number,
  tile: Readonly<Record<string, Constant>>,
  limits: KernelLimits,
): KernelPlan {
  const { m, n, k, activation, outStride = n, outOffset = 0, operands = "nt", accumulate, xStride } = shape;
  requireLinear(kernel, shape);
  if (operands !== "nt" || accumulate || xStride) throw new RangeError(`${kernel}: use matmulBackwardKernelFor`);
  return {
    constants: {
      Scalar: shape.dtype,
      HAS_BIAS: shape.bias,
      HAS_RESIDUAL: shape.residual,
      ACTIVATION: ACTIVATION_CODES[activation === "none" ? USUAL : activation],
      ...tile,
    },
    params: { m, n, k, out_stride: outStride, out_offset: outOffset, activated: activation === "none" ? 0 : 1 },
    workgroups: foldWorkgroups(workgroups, limits),
    label: `${m}x${n}x${k}`,
  };
}
