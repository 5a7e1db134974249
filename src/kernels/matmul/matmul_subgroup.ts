/** Linear layers on the matrix units of a GPU (tensor cores), through WGSL's experimental subgroup matrices. */
import type { DeviceTraits, Kernel, MatrixUnit } from "../kernel.ts";
import activation from "../shared/activation.wgsl";
import { type MatmulShape, planLinear } from "./linear.ts";
import store from "./matmul_store.wgsl";
import wgsl from "./matmul_subgroup.wgsl";

/** Sizes of matmul_subgroup.wgsl. */
export interface SubgroupTile {
  /** The matrices that are multiplied; sums in f32. */
  readonly unit: MatrixUnit;
  /** Threads of the device's largest subgroup. */
  readonly subgroup: number;
  /** Subgroups of a workgroup along m and n. */
  readonly subgroupsDown: number;
  readonly subgroupsAcross: number;
  /** Matrices of a subgroup along m and n. */
  readonly matricesDown: number;
  readonly matricesAcross: number;
  /** How much of k lies in workgroup memory at a time: a multiple of 4 and of the unit's K. */
  readonly depth: number;
}

/** 16 bytes between rows in workgroup memory, so that rows start in different banks and stay aligned. */
const PAD = { f32: 4, f16: 8 } as const;

/**
 * Bindings: x, weight, bias, residual, out. For `k` a multiple of 4. f16 stores f16; the sums are f32 in either case.
 * `plan` throws a RangeError where the shape or the tile does not suit the kernel, or the tile not the device's limits.
 */
export function matmulSubgroup(tile: SubgroupTile): Kernel<MatmulShape> {
  const name = "matmul_subgroup";
  const { unit, subgroup, subgroupsDown, subgroupsAcross, matricesDown, matricesAcross, depth } = tile;
  const [rows, cols] = [subgroupsDown * matricesDown * unit.M, subgroupsAcross * matricesAcross * unit.N];
  return {
    name,
    source: [wgsl, store, activation].join("\n"),
    features: ["chromium-experimental-subgroup-matrix"],
    plan(shape, limits) {
      if (shape.k % 4 !== 0) throw new RangeError(`${name}: k is ${shape.k}, not a multiple of 4`);
      if (unit.componentType !== shape.dtype) {
        throw new RangeError(`${name}: the unit multiplies ${unit.componentType}, the shape is ${shape.dtype}`);
      }
      if (unit.resultType !== "f32") throw new RangeError(`${name}: the unit sums ${unit.resultType}, not f32`);
      if (unit.N % 4 !== 0) throw new RangeError(`${name}: the unit's N is ${unit.N}, not a multiple of 4`);
      if (depth % 4 !== 0 || depth % unit.K !== 0) {
        throw new RangeError(`${name}: depth is ${depth}, not a multiple of 4 and of the unit's K, ${unit.K}`);
      }
      const threads = subgroupsDown * subgroupsAcross * subgroup;
      if (threads > limits.maxComputeInvocationsPerWorkgroup) {
        throw new RangeError(
          `${name}: ${threads} threads in a workgroup, the device has ${limits.maxComputeInvocationsPerWorkgroup}`,
        );
      }
      const pad = PAD[shape.dtype];
      const bytes = (rows + cols) * (depth + pad) * (shape.dtype === "f16" ? 2 : 4) + subgroupsDown * unit.M * cols * 4;
      if (bytes > limits.maxComputeWorkgroupStorageSize) {
        throw new RangeError(
          `${name}: ${bytes} bytes of workgroup memory, the device has ${limits.maxComputeWorkgroupStorageSize}`,
        );
      }
      const constants = {
        MATRIX_ROWS: unit.M,
        MATRIX_COLS: unit.N,
        MATRIX_DEPTH: unit.K,
        SUBGROUP: subgroup,
        SUBGROUPS_DOWN: subgroupsDown,
        SUBGROUPS_ACROSS: subgroupsAcross,
        MATRICES_DOWN: matricesDown,
        MATRICES_ACROSS: matricesAcross,
        DEPTH: depth,
        PAD: pad,
      };
      return planLinear(name, shape, Math.ceil(shape.m / rows) * Math.ceil(shape.n / cols), constants, limits);
    },
  };
}

/** Outputs of a workgroup, largest first: 4 subgroups, or 2 on devices with larger ones, share them. */
const SIDES = [
  [128, 128],
  [64, 64],
  [32, 32],
] as const;

/** As in matmul_choice.ts: about one workgroup for each core of a large GPU. */
const ENOUGH_WORKGROUPS = 96;

/**
 * The tile for this shape: the largest unit of its dtype that sums in f32, and the largest tile that the device has room
 * for and that still makes enough workgroups, else the smallest. `undefined` where no unit or no tile fits.
 */
export function subgroupTileFor(shape: MatmulShape, traits: DeviceTraits): SubgroupTile | undefined {
  const { matrixUnits = [], subgroupMaxSize: subgroup, limits } = traits;
  const unit = matrixUnits
    .filter(({ componentType, resultType }) => componentType === shape.dtype && resultType === "f32")
    .reduce<MatrixUnit | undefined>((best, next) => (best && volume(best) >= volume(next) ? best : next), undefined);
  if (unit === undefined || subgroup === undefined || shape.k % 4 !== 0) return undefined;
  // On Apple's and Intel's GPUs 128 outputs a thread spill out of the registers.
  const sides = traits.vendor === "apple" || traits.vendor === "intel" ? SIDES.slice(1) : SIDES;
  const fitting = sides.flatMap(([rows, cols]) => {
    const tile = tileOf(unit, subgroup, rows, cols, limits.maxComputeInvocationsPerWorkgroup);
    const count = tile && workgroupsOf(tile, shape, traits);
    return count === undefined ? [] : [{ tile: tile!, count }];
  });
  return (fitting.find(({ count }) => count >= ENOUGH_WORKGROUPS) ?? fitting.at(-1))?.tile;
}

const volume = ({ M, N, K }: MatrixUnit): number => M * N * K;

/** `rows` x `cols` outputs by 2 x 2 subgroups, 2 x 1 where they would be too many threads; none where they do not divide. */
function tileOf(
  unit: MatrixUnit,
  subgroup: number,
  rows: number,
  cols: number,
  most: number,
): SubgroupTile | undefined {
  const [subgroupsDown, subgroupsAcross] = 4 * subgroup <= most ? [2, 2] : [2, 1];
  const [matricesDown, matricesAcross] = [rows / subgroupsDown / unit.M, cols / subgroupsAcross / unit.N];
  if (!Number.isInteger(matricesDown) || !Number.isInteger(matricesAcross)) return undefined;
  const depth = Math.max(unit.componentType === "f16" ? 32 : 16, unit.K);
  return { unit, subgroup, subgroupsDown, subgroupsAcross, matricesDown, matricesAcross, depth };
}

/** `undefined` where the device has no room for the tile. */
function workgroupsOf(tile: SubgroupTile, shape: MatmulShape, { limits }: DeviceTraits): number | undefined {
  try {
    return matmulSubgroup(tile)
      .plan(shape, limits)
      .workgroups.reduce((product, count) => product * count);
  } catch (error) {
    if (error instanceof RangeError) return undefined; // too many threads or too much workgroup memory
    throw error;
  }
}
