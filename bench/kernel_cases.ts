/** Which kernels are measured on which shapes: the tests' typical cases, the ladder of matmuls, and what is asked for. */

import type { AttentionShape } from "../src/kernels/attention.ts";
import type { DeviceTraits, Kernel, Scalar } from "../src/kernels/kernel.ts";
import { type MatmulShape, matmulNaive, matmul as matmulTiled, matmulUnaligned } from "../src/kernels/matmul.ts";
import { matmulBroadcastBy } from "../src/kernels/matmul_broadcast.ts";
import { matmulKernelFor } from "../src/kernels/matmul_choice.ts";
import { matmulSplitKBy } from "../src/kernels/matmul_split_k.ts";
import { matmulWorkgroupTiled } from "../src/kernels/matmul_workgroup.ts";
import { matmul, type Outputs } from "../src/kernels/reference.ts";
import {
  activationCases,
  attentionCase,
  attentionCases,
  attentionProbsCases,
  type Case,
  type CaseTable,
  embedLayernormCases,
  gatherRowsCases,
  l2NormalizeCases,
  layernormCases,
  linear,
  matmulCases,
  matmulQ8Cases,
  poolCases,
  softmaxCases,
  topKCases,
} from "../test/cases.ts";
import { type KernelTask, kernelTask } from "./kernels.ts";

/** Multiply-adds that the CPU's float64 takes a few seconds for: beyond them some rows stand for all. */
const CPU_PRODUCTS = 2 ** 31;

/** Every kernel on the shapes of BERT-base with 128 tokens; of several for one operation, the engine's choice first. */
export function typicalTasks(traits: DeviceTraits): KernelTask[] {
  const tasks = <S extends { readonly dtype: Scalar }>(table: CaseTable<S>): KernelTask[] =>
    table.typical.map((of) => kernelTask(onDevice(table, traits), of));
  const matmuls: CaseTable<MatmulShape> = {
    ...matmulCases,
    kernels: (shape) => {
      const chosen = matmulKernelFor(shape, traits);
      const constants = (kernel: Kernel<MatmulShape>): string =>
        JSON.stringify([kernel.name, kernel.plan(shape, traits.limits).constants]);
      const others = matmulCases.kernels(shape, traits).filter((kernel) => constants(kernel) !== constants(chosen));
      return [chosen, ...others];
    },
  };
  return [
    ...tasks(matmuls),
    ...tasks(matmulQ8Cases),
    ...tasks(attentionCases),
    kernelTask(attentionProbsCases, probabilitiesOf(attentionCases.typical[0]!)),
    ...tasks(embedLayernormCases),
    ...tasks(layernormCases),
    ...tasks(activationCases),
    ...tasks(poolCases),
    ...tasks(l2NormalizeCases),
    ...tasks(gatherRowsCases),
    ...tasks(softmaxCases),
    ...tasks(topKCases),
  ];
}

/** Also the kernels that only such a device has. */
export function onDevice<S extends { readonly dtype: Scalar }>(
  table: CaseTable<S>,
  traits: DeviceTraits | undefined,
): CaseTable<S> {
  return { ...table, kernels: (shape) => table.kernels(shape, traits) };
}

/** All matmuls on the same matrices [size, size]. */
export function ladderTask(size: number, traits?: DeviceTraits): KernelTask {
  return matmulTask(size, size, size, traits);
}

/** From the plainest to those that a large GPU wants. */
function rungs({ k }: MatmulShape, traits: DeviceTraits | undefined): Kernel<MatmulShape>[] {
  const vec4 = k % 4 === 0;
  return [
    matmulNaive,
    matmulUnaligned,
    ...(vec4 ? [matmulTiled] : []),
    ...(vec4 && traits?.subgroupSize !== undefined ? [matmulBroadcastBy(traits.subgroupSize)] : []),
    matmulSplitKBy(32, vec4),
    matmulWorkgroupTiled({ rows: 32, cols: 32, depth: 32, rowFours: 1, colFours: 1 }, vec4),
    matmulWorkgroupTiled({ rows: 64, cols: 64, depth: 16, rowFours: 1, colFours: 1 }, vec4),
    matmulWorkgroupTiled({ rows: 128, cols: 128, depth: 16, rowFours: 2, colFours: 2 }, vec4),
  ];
}

/**
 * The tasks that take this shape: `m x n x k` of matmuls, `tokens x heads x headDim` of attention, `rows x cols` of
 * kernels that own rows.
 */
export function shapedTasks(sizes: readonly number[], traits?: DeviceTraits): KernelTask[] {
  if (sizes.length === 3) {
    const [a, b, c] = sizes as [number, number, number];
    const attention = attentionCase([a], b, c);
    return [
      matmulTask(a, b, c, traits),
      kernelTask(onDevice(attentionCases, traits), attention),
      kernelTask(attentionProbsCases, probabilitiesOf(attention)),
    ];
  }
  if (sizes.length !== 2) return [];
  const [rows, cols] = sizes as [number, number];
  return [
    kernelTask(layernormCases, rowsCase(layernormCases.typical[0]!, rows, cols)),
    kernelTask(activationCases, rowsCase(activationCases.typical[0]!, rows, cols)),
    kernelTask(l2NormalizeCases, rowsCase(l2NormalizeCases.typical[0]!, rows, cols)),
    kernelTask(softmaxCases, rowsCase(softmaxCases.typical[0]!, rows, cols)),
  ];
}

function matmulTask(m: number, n: number, k: number, traits: DeviceTraits | undefined): KernelTask {
  const table: CaseTable<MatmulShape> = {
    ...matmulCases,
    kernels: (shape) => rungs(shape, traits),
    reference: sampledMatmul,
  };
  return kernelTask(table, { ...linear(m, n, k), outputs: { out: m * n } });
}

/** The rows that the CPU has the time for, evenly spread from the first to the last; NaN in the others. */
export function sampledMatmul(shape: MatmulShape, inputs: Readonly<Record<string, ArrayLike<number>>>): Outputs {
  const { m, n, k } = shape;
  const rows = Math.max(2, Math.floor(CPU_PRODUCTS / (n * k)));
  if (rows >= m) return matmul(shape, inputs);
  const chosen = Array.from({ length: rows }, (_, i) => Math.round((i * (m - 1)) / (rows - 1)));
  const sampled = Object.fromEntries(
    [["x", k] as const, ["residual", n] as const].flatMap(([name, cols]) => {
      const whole = inputs[name];
      if (whole === undefined) return [];
      const few = new Float32Array(rows * cols);
      for (const [i, row] of chosen.entries())
        for (let j = 0; j < cols; j++) few[i * cols + j] = whole[row * cols + j]!;
      return [[name, few]];
    }),
  );
  const { out: sample } = matmul({ ...shape, m: rows }, { ...inputs, ...sampled });
  const out = new Float64Array(m * n).fill(Number.NaN);
  for (const [i, row] of chosen.entries()) out.set(sample!.subarray(i * n, (i + 1) * n), row * n);
  return { out };
}

/** The probabilities of a case of one sequence. */
export function probabilitiesOf(of: Case<AttentionShape>): Case<AttentionShape> {
  const { tokens, heads } = of.shape;
  return {
    ...of,
    inputs: (random) => ({ ...of.inputs(random), prob_offsets: [0] }),
    outputs: { out: heads * tokens * tokens },
  };
}

/** A typical case in another size: its bound does not depend on it. */
export function rowsCase<S extends { readonly rows: number; readonly cols: number }>(
  of: Case<S>,
  rows: number,
  cols: number,
): Case<S> {
  return {
    ...of,
    shape: { ...of.shape, rows, cols },
    inputs: (random) => ({
      x: random.values(rows * cols, 4),
      residual: random.values(rows * cols),
      gamma: random.values(cols),
      beta: random.values(cols),
      bias: random.values(cols),
    }),
    outputs: { out: rows * cols },
  };
}
