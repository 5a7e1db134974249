/**
 * The products of a Linear layer's gradients: `nn`, of d_out [rows, out] and the weight [out, in], is the gradient of its
 * inputs; `tn`, of d_out [rows, out] and the inputs [rows, in], that of its weight. The ladder of matmul.ts, each kernel
 * made of the same file with other operands; bindings are the same, of which `bias` is never read. Apps that only infer
 * import nothing from here.
 */
import type { DeviceTraits, Kernel, KernelLimits } from "../kernel.ts";
import naive from "./backward/matmul_naive_backward.wgsl";
import nn from "./backward/matmul_nn.wgsl";
import nnBroadcast from "./backward/matmul_nn_broadcast.wgsl";
import nnSplitK from "./backward/matmul_nn_split_k.wgsl";
import nnSplitKUnaligned from "./backward/matmul_nn_split_k_unaligned.wgsl";
import nnSubgroup from "./backward/matmul_nn_subgroup.wgsl";
import nnUnaligned from "./backward/matmul_nn_unaligned.wgsl";
import nnWorkgroup from "./backward/matmul_nn_workgroup.wgsl";
import nnWorkgroupUnaligned from "./backward/matmul_nn_workgroup_unaligned.wgsl";
import tn from "./backward/matmul_tn.wgsl";
import tnBroadcast from "./backward/matmul_tn_broadcast.wgsl";
import tnSplitK from "./backward/matmul_tn_split_k.wgsl";
import tnSplitKUnaligned from "./backward/matmul_tn_split_k_unaligned.wgsl";
import tnSubgroup from "./backward/matmul_tn_subgroup.wgsl";
import tnUnaligned from "./backward/matmul_tn_unaligned.wgsl";
import tnWorkgroup from "./backward/matmul_tn_workgroup.wgsl";
import tnWorkgroupUnaligned from "./backward/matmul_tn_workgroup_unaligned.wgsl";
import {
  type Launch,
  launchOf,
  type MatmulShape,
  matmulKernelOf,
  type Operands,
  planLinear,
  tilesOf,
} from "./matmul.ts";
import { matmulConfigFor } from "./matmul_choice.ts";
import type { MatmulConfig } from "./matmul_config.ts";

/** How operands of a gradient lie. */
export type BackwardOperands = Exclude<Operands, "nt">;

/** By kind of config; the second of a pair takes any sizes. */
const SOURCES: Readonly<Record<BackwardOperands, Readonly<Record<MatmulConfig["kind"], readonly [string, string?]>>>> =
  {
    nn: {
      register: [nn, nnUnaligned],
      workgroup: [nnWorkgroup, nnWorkgroupUnaligned],
      split_k: [nnSplitK, nnSplitKUnaligned],
      broadcast: [nnBroadcast],
      subgroup: [nnSubgroup],
    },
    tn: {
      register: [tn, tnUnaligned],
      workgroup: [tnWorkgroup, tnWorkgroupUnaligned],
      split_k: [tnSplitK, tnSplitKUnaligned],
      broadcast: [tnBroadcast],
      subgroup: [tnSubgroup],
    },
  };

/**
 * The kernel for a shape whose operands are `nn` or `tn`, chosen as `matmulKernelFor` chooses.
 * @throws RangeError for operands `nt`
 */
export function matmulBackwardKernelFor(shape: MatmulShape, traits?: DeviceTraits): Kernel<MatmulShape> {
  const { operands } = shape;
  if (operands !== "nn" && operands !== "tn") {
    throw new RangeError(
      `matmulBackwardKernelFor: operands are ${operands ?? "nt"}, not nn or tn; use matmulKernelFor`,
    );
  }
  const config = matmulConfigFor({ ...shape, m: shape.usualRows ?? shape.m }, traits);
  return matmulBackwardKernelOf(config, operands, oddSize({ ...shape, operands }) === undefined);
}

/**
 * @param vec4 whether rows are whole vec4s: m and n of `tn`, k and n of `nn`, xStride and xOffset are multiples of 4. `broadcast` and
 * `subgroup` are for those, else the register-tiled kernel
 */
export function matmulBackwardKernelOf(
  config: MatmulConfig,
  operands: BackwardOperands,
  vec4: boolean,
): Kernel<MatmulShape> {
  const [aligned, any] = SOURCES[operands][config.kind];
  if (!vec4 && any === undefined) return matmulBackwardKernelOf({ kind: "register" }, operands, vec4);
  const { name, features } = matmulKernelOf(config, vec4); // which are as of the kernel for a Linear layer
  return backwardKernel(
    name.replace("matmul", `matmul_${operands}`),
    vec4 ? aligned : any!,
    features,
    (shape, limits) => {
      if (shape.operands !== operands) return `operands are ${shape.operands ?? "nt"}, not ${operands}`;
      return (vec4 ? oddSize(shape) : undefined) ?? launchOf(config, shape, limits);
    },
  );
}

/** One thread per output, for `nn` and `tn`: the formula as it stands. */
export const matmulNaiveBackward: Kernel<MatmulShape> = /* @__PURE__ */ backwardKernel(
  "matmul_naive_backward",
  naive,
  undefined,
  (shape) =>
    (shape.operands ?? "nt") === "nt"
      ? "operands are nt, not nn or tn"
      : { workgroups: tilesOf(shape, 8, 8), tile: { X_COLUMNS: shape.operands === "tn" } },
);

function backwardKernel(
  name: string,
  source: string,
  features: readonly string[] | undefined,
  launch: (shape: MatmulShape, limits: KernelLimits) => Launch,
): Kernel<MatmulShape> {
  return {
    name,
    source,
    ...(features && { features }),
    plan(shape, limits) {
      const { operands: _, accumulate = false, xStride = 0, xOffset = 0, ...linear } = shape;
      const how = oddOption(shape) ?? launch(shape, limits);
      const [workgroups, tile] = typeof how === "string" ? [1, {}] : [how.workgroups, how.tile];
      const { constants, ...plan } = planLinear(name, linear, workgroups, tile, limits); // what makes no sense is told first
      if (typeof how === "string") throw new RangeError(`${name}: ${how}`);
      const { HAS_BIAS: __, ACTIVATION: ___, ...own } = constants;
      const x = { X_ROW_STRIDE: xStride, X_ROW_OFFSET: xOffset };
      return { ...plan, constants: { ...own, ...x, ACCUMULATE: accumulate, Out: accumulate ? "f32" : shape.dtype } };
    },
  };
}

/** What of a shape the products of gradients have not, in words. */
function oddOption(shape: MatmulShape): string | undefined {
  const { m, k, bias, activation, accumulate, residual, operands, xStride, xOffset = 0 } = shape;
  const [rows, cols] = operands === "tn" ? [k, m] : [m, k];
  if (xStride === undefined ? xOffset !== 0 : !(xStride >= cols && xOffset >= 0 && xOffset + cols <= xStride)) {
    return `x has rows of ${cols} from ${xOffset} on, which do not lie in rows of ${xStride ?? cols}`;
  }
  if ((xStride ?? 0) * rows > 2 ** 32) return `x takes ${(xStride ?? 0) * rows} elements, u32 counts fewer`;
  if (bias || activation !== "none") return "products of gradients have no bias and no activation";
  return accumulate && residual ? "out is either added to or has a residual, not both" : undefined;
}

/** Which of the sizes that vec4s run along is not a multiple of 4, in words. */
function oddSize({ m, n, k, operands, xStride = 0, xOffset = 0 }: MatmulShape): string | undefined {
  const odd = Object.entries({ ...(operands === "tn" ? { m, n } : { k, n }), xStride, xOffset }).find(
    ([, size]) => size % 4 !== 0,
  );
  return odd && `${odd[0]} is ${odd[1]}, not a multiple of 4; matmul_${operands}_unaligned takes any sizes`;
}
