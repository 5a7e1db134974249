/** Activations by themselves: `out = activation(x + bias)`. matmul applies the same ones as an epilogue. */

import { foldWorkgroups, type Kernel, requireIndexable, requireSizes, type Scalar } from "../kernel.ts";
import wgsl from "./activation.wgsl";

/** `gelu` is the exact one (erf), `gelu_tanh` its tanh approximation; `erf` is the bare function. */
export type Activation = "none" | "gelu" | "gelu_tanh" | "relu" | "tanh" | "silu" | "erf";

/** The constants of shared/activation.wgsl. */
export const ACTIVATION_CODES: Readonly<Record<Activation, number>> = {
  none: 0,
  gelu: 1,
  gelu_tanh: 2,
  relu: 3,
  tanh: 4,
  silu: 5,
  erf: 6,
};

export interface ActivationShape {
  readonly rows: number;
  readonly cols: number;
  readonly dtype: Scalar;
  /** Whether `bias` [cols] is added first. */
  readonly bias: boolean;
  readonly activation: Activation;
}

const WORKGROUP_SIZE = 64;

/** Bindings: x [rows, cols], bias [cols], out [rows, cols]. */
export const activation: Kernel<ActivationShape> = {
  name: "activation",
  source: wgsl,
  plan({ rows, cols, dtype, bias, activation }, limits) {
    requireSizes("activation", { rows, cols });
    requireIndexable("activation", { x: rows * cols });
    return {
      constants: {
        Scalar: dtype,
        WORKGROUP_SIZE,
        HAS_BIAS: bias,
        ACTIVATION: ACTIVATION_CODES[activation],
      },
      params: { count: rows * cols, cols },
      workgroups: foldWorkgroups(Math.ceil((rows * cols) / (4 * WORKGROUP_SIZE)), limits),
      label: `${activation} ${rows}x${cols}`,
    };
  },
};
