/** What the kernels of a Linear layer share: `out = activation(x weight^T + bias) + residual`. */

import { type Constant, foldWorkgroups, type KernelLimits, type KernelPlan, type Scalar } from "../kernel.ts";
import { ACTIVATION_CODES, type Activation } from "../rows/activation.ts";
import { requireIndexable, requireOffsets, requireSizes } from "../shape.ts";

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
  const { m, n, k, activation, outStride = n, outOffset = 0 } = shape;
  requireSizes(kernel, { m, n, k, outStride });
  requireOffsets(kernel, { outOffset });
  requireIndexable(kernel, { x: m * k, weight: n * k, residual: m * n, out: (m - 1) * outStride + outOffset + n });
  if (outStride < n) throw new RangeError(`${kernel}: outStride is ${outStride}, shorter than a row of ${n}`);
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
