/** Of cases.ts: linear layers, and the products of their gradients. */

import type { DeviceTraits, Kernel } from "../src/kernels/kernel.ts";
import {
  type MatmulShape,
  matmul,
  matmulBroadcastBy,
  matmulNaive,
  matmulSplitKBy,
  matmulUnaligned,
  matmulWorkgroupTiled,
} from "../src/kernels/matmul/matmul.ts";
import {
  type BackwardOperands,
  matmulBackwardKernelOf,
  matmulNaiveBackward,
} from "../src/kernels/matmul/matmul_backward.ts";
import type { MatmulConfig, WorkgroupTile } from "../src/kernels/matmul/matmul_config.ts";
import * as reference from "../src/kernels/reference/twins.ts";
import { absolute, type Case, type CaseTable } from "./case.ts";

/** The kernel for the device's subgroups, where they are all of a size that it is made for. */
export function throughSubgroups<Shape>(
  traits: Pick<DeviceTraits, "subgroupSize"> | undefined,
  kernelBy: (subgroup: number) => Kernel<Shape>,
): Kernel<Shape>[] {
  const size = traits?.subgroupSize;
  return size === 4 || size === 8 ? [kernelBy(size)] : [];
}

const SQUARE: WorkgroupTile = { rows: 32, cols: 32, depth: 32, rowFours: 1, colFours: 1 };
const WIDE: WorkgroupTile = { rows: 32, cols: 64, depth: 16, rowFours: 2, colFours: 1 };

/** A Linear layer, and its bound. */
export function linear(m: number, n: number, k: number, options: Partial<MatmulShape> = {}): Case<MatmulShape> {
  const shape = { m, n, k, bias: false, residual: false, activation: "none" as const, ...options };
  const { outStride = n, outOffset = 0 } = shape;
  return {
    shape,
    inputs: (random) => ({
      x: random.values(m * k),
      weight: random.values(n * k),
      bias: random.values(n),
      residual: random.values(m * n),
    }),
    outputs: { out: (m - 1) * outStride + outOffset + n + 3 },
    // No activation is steeper than 1.13; the residual adds a rounding.
    bound: absolute(1.2 * k + 4),
  };
}

export const full = { bias: true, residual: true, activation: "gelu" } as const;
export const pooler = { bias: true, activation: "tanh" } as const;

export const matmulCases: CaseTable<MatmulShape> = {
  kernels: ({ k }, traits) => [
    ...(k % 4 === 0
      ? [
          matmul,
          ...throughSubgroups(traits, matmulBroadcastBy),
          matmulWorkgroupTiled(SQUARE, true),
          matmulWorkgroupTiled(WIDE, true),
          matmulSplitKBy(16, true),
        ]
      : []),
    matmulUnaligned,
    matmulWorkgroupTiled(SQUARE, false),
    matmulSplitKBy(32, false),
    matmulNaive,
  ],
  reference: reference.matmul,
  cases: [
    // Few different epilogues, because each is a shader to compile; activationCases has every activation.
    linear(1, 1, 1),
    linear(1, 5, 4),
    linear(1, 37, 64, pooler),
    linear(3, 2, 5, full),
    linear(2, 8, 12),
    linear(8, 70, 32, full),
    linear(9, 33, 31),
    linear(17, 19, 23, full),
    linear(64, 32, 8),
    linear(65, 31, 36, full),
    linear(129, 101, 100),
    linear(5, 6, 8, { ...full, outStride: 16, outOffset: 7 }),
    linear(31, 65, 768),
  ],
  typical: [
    linear(128, 2304, 768, { bias: true }),
    linear(128, 768, 768, { bias: true }),
    linear(128, 3072, 768, { bias: true, activation: "gelu" }),
    linear(128, 768, 3072, { bias: true }),
    linear(1, 768, 768, pooler),
  ],
};

type BackwardShape = MatmulShape & { readonly operands: BackwardOperands };

/** A product of a Linear layer's gradients, and its bound. */
export function product(
  operands: BackwardOperands,
  m: number,
  n: number,
  k: number,
  options: Partial<MatmulShape> = {},
): Case<BackwardShape> {
  const { shape, inputs, outputs, bound } = linear(m, n, k, options);
  const { accumulate = false, xStride } = shape;
  const wide = (xStride ?? 0) * (operands === "tn" ? k : m);
  return {
    shape: { ...shape, operands },
    inputs: (random) => ({
      ...inputs(random),
      ...(xStride && { x: random.values(wide) }),
      ...(accumulate && { out: random.values(outputs.out!, 3) }),
    }),
    outputs,
    // What is added to is f32 of up to 3: one more rounding, and none to the dtype.
    bound: accumulate ? () => bound("f32") : bound,
  };
}

export const matmulBackwardCases: CaseTable<BackwardShape> = {
  kernels({ operands, m, n, k, xStride = 0, xOffset = 0 }, traits) {
    const aligned = [operands === "nn" ? k : m, n, xStride, xOffset].every((size) => size % 4 === 0);
    const configs = (vec4: boolean): MatmulConfig[] => [
      { kind: "register" },
      ...(vec4 && traits?.subgroupSize ? [{ kind: "broadcast", subgroup: traits.subgroupSize } as const] : []),
      { kind: "workgroup", tile: vec4 ? WIDE : SQUARE },
      { kind: "split_k", split: vec4 ? 16 : 32 },
    ];
    return [
      ...(aligned ? configs(true).map((config) => matmulBackwardKernelOf(config, operands, true)) : []),
      ...configs(false).map((config) => matmulBackwardKernelOf(config, operands, false)),
      matmulNaiveBackward,
    ];
  },
  reference: reference.matmul,
  cases: [
    product("nn", 1, 1, 1),
    product("nn", 2, 36, 64),
    product("nn", 3, 2, 5, { residual: true }),
    product("nn", 9, 33, 31),
    product("nn", 8, 68, 32, { residual: true }),
    product("nn", 17, 20, 23, { residual: true }),
    product("nn", 65, 44, 36),
    product("nn", 5, 8, 12, { residual: true, outStride: 17, outOffset: 6 }),
    product("nn", 131, 101, 100),
    product("nn", 31, 64, 768),
    product("nn", 7, 12, 8, { accumulate: true, outStride: 13, outOffset: 2 }),
    // ranges of columns of x, as of logits whose decoder is in parts
    product("nn", 5, 36, 8, { residual: true, xStride: 24, xOffset: 16 }),
    product("nn", 18, 33, 7, { xStride: 24, xOffset: 16 }),
    product("nn", 9, 32, 16, { xStride: 33, xOffset: 8 }),
    product("tn", 8, 36, 13, { accumulate: true, xStride: 24, xOffset: 8 }),
    product("tn", 7, 33, 18, { accumulate: true, xStride: 24, xOffset: 16 }),
    product("tn", 16, 32, 9, { accumulate: true, xStride: 33, xOffset: 8 }),
    product("tn", 1, 1, 1, { accumulate: true }),
    product("tn", 2, 37, 64, { accumulate: true }),
    product("tn", 4, 4, 1, { accumulate: true }),
    product("tn", 33, 9, 31, { accumulate: true }),
    product("tn", 68, 36, 30, { accumulate: true }),
    product("tn", 20, 44, 37), // a gradient of what is not a weight
    product("tn", 8, 12, 7, { accumulate: true, outStride: 15, outOffset: 5 }),
    product("tn", 100, 132, 101, { accumulate: true }),
    product("tn", 31, 65, 769, { accumulate: true }),
    product("tn", 36, 64, 771, { accumulate: true }),
  ],
  // 128 tokens through a layer that widens; its bias and its residual are others' work
  typical: [product("nn", 128, 768, 3072), product("tn", 3072, 768, 128, { accumulate: true })],
};
