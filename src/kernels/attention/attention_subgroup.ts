/** Attention as `attention.ts` has it, on the matrix units of a GPU (tensor cores). */
import type { DeviceTraits, Kernel, KernelLimits, KernelPlan, MatrixUnit } from "../kernel.ts";
import { type AttentionShape, attentionExtents, isAligned, planTiles, requireAligned } from "./attention.ts";
import source from "./attention_subgroup.wgsl";

/** Keys of a block. */
const KEYS = 32;
/** Columns of v that a workgroup may own: their sums lie in registers. */
const MOST_COLUMNS = 128;
/** Subgroups of a workgroup, where there is room: they share what lies of k and v in workgroup memory. */
const MOST_SUBGROUPS = 4;

/**
 * Through WGSL's experimental subgroup matrices, which `unit` multiplies, on a device all of whose subgroups have `subgroup`
 * threads. Dimensions, strides and offsets must be multiples of 4. f16 stores f16; weights are more exact, sums are f32.
 */
export function attentionSubgroup(unit: MatrixUnit, subgroup: number): Kernel<AttentionShape> {
  const name = "attention_subgroup";
  return {
    name,
    source,
    features: ["subgroups", "chromium-experimental-subgroup-matrix"],
    plan(shape, limits) {
      requireAligned(name, shape);
      const tile = tileOf(unit, subgroup, shape, limits);
      if (typeof tile === "string") throw new RangeError(`${name}: ${tile}`);
      const { queries, slices, constants } = tile;
      return planTiles(name, shape, { queries, slices }, constants, limits);
    },
  };
}

interface Tile {
  readonly queries: number;
  readonly slices: number;
  readonly constants: KernelPlan["constants"];
}

/** How the kernel runs on a shape, or in words why it cannot. */
function tileOf(unit: MatrixUnit, subgroup: number, shape: AttentionShape, limits: KernelLimits): Tile | string {
  const { componentType, resultType, M, N, K } = unit;
  const { headDim, valueDim } = attentionExtents("attention_subgroup", shape);
  if (componentType !== shape.dtype) return `the unit multiplies ${componentType}, the shape is ${shape.dtype}`;
  if (resultType !== "f32") return `the unit sums ${resultType}, not f32`;
  if (subgroup % 4 !== 0) return `subgroups have ${subgroup} threads, not a multiple of 4`;
  if ([M, N, K].some((side) => side % 4 !== 0 || KEYS % side !== 0)) {
    return `the unit is ${M} x ${N} x ${K}: sides must be multiples of 4 that divide ${KEYS}`;
  }
  const slices = Math.ceil(valueDim / MOST_COLUMNS);
  const columns = roundUp(valueDim / slices, N);
  const [bytes, parts] = shape.dtype === "f16" ? [2, 2] : [4, 1];
  const pad = 16 / (4 * bytes);
  for (let subgroups = MOST_SUBGROUPS; subgroups >= 1; subgroups /= 2) {
    const queries = subgroups * M;
    const kept = KEYS * (roundUp(headDim, K) + 4 * pad) + (columns + parts * queries) * (KEYS + 4 * pad);
    const memory = kept * bytes + queries * (KEYS + 4) * 4 + 16;
    if (subgroups * subgroup > limits.maxComputeInvocationsPerWorkgroup) continue;
    if (memory > limits.maxComputeWorkgroupStorageSize) continue;
    const constants = {
      MATRIX_ROWS: M,
      MATRIX_COLS: N,
      MATRIX_DEPTH: K,
      SUBGROUP: subgroup,
      SUBGROUPS: subgroups,
      KEYS,
      HEAD_DIM: headDim,
      COLUMNS: columns,
      PARTS: parts,
      PAD: pad,
    };
    return { queries, slices, constants };
  }
  return `heads of ${headDim} and ${valueDim} need more threads or workgroup memory than the device has`;
}

function roundUp(value: number, by: number): number {
  return Math.ceil(value / by) * by;
}

/**
 * The kernel on the device's largest unit for this shape in f16; `undefined` where none fits. Wherever one does it should win:
 * of 16 queries against 32 keys, heads of 64, AMD's compiler for RDNA3 makes some 510 instructions of it, 24 of them matrix
 * products, and some 1,790 of attention.wgsl. Units of f32 compile, and are not chosen: no device with them has run it yet.
 */
export function attentionSubgroupFor(shape: AttentionShape, traits: DeviceTraits): Kernel<AttentionShape> | undefined {
  const { software, matrixUnits = [], subgroupSize, subgroupMaxSize, limits } = traits;
  // Where subgroups vary in size, as on Intel's GPUs, a kernel may not run with the largest.
  if (software || !subgroupSize || subgroupSize !== subgroupMaxSize) return undefined;
  if (shape.dtype !== "f16" || !isAligned(shape)) return undefined;
  const [unit] = matrixUnits
    .filter((unit) => typeof tileOf(unit, subgroupSize, shape, limits) !== "string")
    .sort((a, b) => b.M * b.N * b.K - a.M * a.N * a.K);
  return unit && attentionSubgroup(unit, subgroupSize);
}
