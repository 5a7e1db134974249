/** Linear layers: `out = activation(x weight^T + bias) + residual`. */
import { ACTIVATION_CODES, type Activation } from "./activation.ts";
import { foldWorkgroups, type Kernel, type KernelLimits, type Plan, type Scalar } from "./kernel.ts";
import tiled from "./matmul.wgsl";
import naive from "./matmul_naive.wgsl";
import { requireIndexable, requireOffsets, requireSizes } from "./shape.ts";
import activation from "./shared/activation.wgsl";
import scalarOperands from "./shared/matmul_scalar.wgsl";
import vec4Operands from "./shared/matmul_vec4.wgsl";

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

/** Outputs of one thread along n. */
const THREAD_COLS = 8;
const NAIVE_TILE = 8;

/** Register-tiled, vec4 loads; `k` must be a multiple of 4. Bindings: x, weight, bias, residual, out. */
export const matmul: Kernel<MatmulShape> = {
  name: "matmul",
  source: [vec4Operands, tiled, activation].join("\n"),
  plan(shape, limits) {
    const plan = planTiled("matmul", shape, limits);
    if (shape.k % 4 !== 0) {
      throw new RangeError(`matmul: k is ${shape.k}, not a multiple of 4; matmul_unaligned takes any k`);
    }
    return plan;
  },
};

/** As `matmul`, for any `k`, with scalar loads. */
export const matmulUnaligned: Kernel<MatmulShape> = {
  name: "matmul_unaligned",
  source: [scalarOperands, tiled, activation].join("\n"),
  plan: (shape, limits) => planTiled("matmul_unaligned", shape, limits),
};

/** One thread per output: the formula as it stands, and the baseline of the benchmarks. */
export const matmulNaive: Kernel<MatmulShape> = {
  name: "matmul_naive",
  source: [naive, activation].join("\n"),
  plan(shape, limits) {
    const workgroups = Math.ceil(shape.m / NAIVE_TILE) * Math.ceil(shape.n / NAIVE_TILE);
    return planOf("matmul_naive", shape, workgroups, {}, limits);
  },
};

/** The fast kernel that fits the shape. */
export function matmulKernelFor(shape: MatmulShape): Kernel<MatmulShape> {
  return shape.k % 4 === 0 ? matmul : matmulUnaligned;
}

/** Few rows (a head on one sequence) get a flat workgroup: a square one would mostly idle. */
function planTiled(kernel: string, shape: MatmulShape, limits: KernelLimits): Plan {
  const rows = shape.m === 1 ? 1 : 4;
  const rowThreads = shape.m === 1 ? 1 : shape.m <= 8 ? 2 : 16;
  const colThreads = 64 / rowThreads;
  const workgroups = Math.ceil(shape.m / (rowThreads * rows)) * Math.ceil(shape.n / (colThreads * THREAD_COLS));
  return planOf(kernel, shape, workgroups, { ROWS: rows, ROW_THREADS: rowThreads, COL_THREADS: colThreads }, limits);
}

function planOf(
  kernel: string,
  shape: MatmulShape,
  workgroups: number,
  tile: Readonly<Record<string, number>>,
  limits: KernelLimits,
): Plan {
  const { m, n, k, outStride = n, outOffset = 0 } = shape;
  requireSizes(kernel, { m, n, k, outStride });
  requireOffsets(kernel, { outOffset });
  requireIndexable(kernel, { x: m * k, weight: n * k, residual: m * n, out: (m - 1) * outStride + outOffset + n });
  if (outStride < n) throw new RangeError(`${kernel}: outStride is ${outStride}, shorter than a row of ${n}`);
  return {
    constants: {
      Scalar: shape.dtype,
      HAS_BIAS: shape.bias,
      HAS_RESIDUAL: shape.residual,
      ACTIVATION: ACTIVATION_CODES[shape.activation],
      ...tile,
    },
    params: { m, n, k, out_stride: outStride, out_offset: outOffset },
    workgroups: foldWorkgroups(workgroups, limits),
    label: `${m}x${n}x${k}`,
  };
}
