/** Which kernels are measured on which shapes: the tests' typical cases, the ladder of matmuls, and what is asked for. */

import type { DeviceTraits, Scalar } from "../src/kernels/kernel.ts";
import { INDEXABLE } from "../src/kernels/kernel.ts";
import type { MatmulShape } from "../src/kernels/matmul/matmul.ts";
import { matmul, matmulQ8, type Outputs } from "../src/kernels/reference/twins.ts";
import { attentionCase, linear, linearQ8, nonFiniteCase, poolCase } from "../test/cases.ts";
import { engineTables } from "./engine_choice.ts";
import { type BenchTable, type KernelTask, kernelTask } from "./kernels.ts";
import {
  embedLayernormSized,
  gatherRowsSized,
  layernormSized,
  probabilitiesOf,
  rowsCase,
  topKSized,
  unguarded,
} from "./sized_cases.ts";

/** Multiply-adds that the CPU's float64 takes a few seconds for: beyond them some rows stand for all. */
const CPU_PRODUCTS = 2 ** 31;

/** What `--shape` means for each kernel. */
export const SHAPE_FORMS: string =
  "matmul and matmul_q8 MxNxK, attention TOKENSxHEADSxHEADDIM, all others ROWSxCOLS (rows are tokens to embed_layernorm and pool, indices to gather_rows)";

const LINEAR = [128, 768, 768];
const HEADS = [128, 12, 64];
const ROWS = [128, 768];

/** Each operation with sizes of BERT-base for 128 tokens. */
export const OPERATIONS: Readonly<Record<string, readonly number[]>> = {
  matmul: LINEAR,
  matmul_q8: LINEAR,
  attention: HEADS,
  attention_probs: HEADS,
  embed_layernorm: ROWS,
  layernorm: ROWS,
  activation: ROWS,
  pool: ROWS,
  l2_normalize: ROWS,
  gather_rows: ROWS,
  softmax: ROWS,
  top_k: ROWS,
  non_finite: ROWS,
};

/** Every kernel on the shapes of BERT-base with 128 tokens; of several for one operation, the engine's choice first. */
export function typicalTasks(traits: DeviceTraits): KernelTask[] {
  const tables = engineTables(traits);
  const tasks = <S extends { readonly dtype: Scalar }>(table: BenchTable<S>, cases = table.typical): KernelTask[] =>
    cases.map((of) => kernelTask(table, of));
  return [
    ...tasks(tables.matmul, tables.matmul.typical.map(unguarded)),
    ...tasks(tables.matmulQ8, tables.matmulQ8.typical.map(unguarded)),
    ...tasks(tables.attention),
    ...tasks(tables.attentionProbs, tables.attention.typical.slice(0, 1).map(probabilitiesOf)),
    ...tasks(tables.embedLayernorm),
    ...tasks(tables.layernorm),
    ...tasks(tables.activation),
    ...tasks(tables.pool),
    ...tasks(tables.l2Normalize),
    ...tasks(tables.gatherRows),
    ...tasks(tables.softmax),
    ...tasks(tables.topK),
    ...tasks(tables.nonFinite),
  ];
}

/** All matmuls on the same matrices [size, size], the engine's choice first. */
export function ladderTask(size: number, traits: DeviceTraits): KernelTask {
  return shapedTask("matmul", [size, size, size], traits);
}

/** The tasks that take such sizes, as `SHAPE_FORMS` says. */
export function shapedTasks(sizes: readonly number[], traits: DeviceTraits): KernelTask[] {
  const elements = sizes.reduce((product, size) => product * size, 1);
  return Object.keys(OPERATIONS)
    .filter((name) => OPERATIONS[name]!.length === sizes.length)
    .filter((name) => elements <= INDEXABLE || !name.startsWith("attention")) // which has a tensor of all three sizes
    .map((name) => shapedTask(name, sizes, traits));
}

/** @param operation of `OPERATIONS`. Options are those of its typical case, of matmuls none. */
export function shapedTask(operation: string, sizes: readonly number[], traits: DeviceTraits): KernelTask {
  const tables = engineTables(traits);
  const [a, b, c] = sizes as [number, number, number];
  const tasks: Readonly<Record<string, () => KernelTask>> = {
    matmul: () => kernelTask({ ...tables.matmulRungs, reference: sampledMatmul }, unguarded(linear(a, b, c))),
    matmul_q8: () => kernelTask({ ...tables.matmulQ8, reference: sampledMatmulQ8 }, unguarded(linearQ8(a, b, c))),
    attention: () => kernelTask(tables.attention, attentionCase([a], b, c)),
    attention_probs: () => kernelTask(tables.attentionProbs, probabilitiesOf(attentionCase([a], b, c))),
    embed_layernorm: () => kernelTask(tables.embedLayernorm, embedLayernormSized(a, b)),
    layernorm: () => kernelTask(tables.layernorm, layernormSized(a, b)),
    activation: () => kernelTask(tables.activation, rowsCase(tables.activation.typical[0]!, a, b)),
    pool: () => kernelTask(tables.pool, poolCase([a], b, "mean", true)),
    l2_normalize: () => kernelTask(tables.l2Normalize, rowsCase(tables.l2Normalize.typical[0]!, a, b)),
    gather_rows: () => kernelTask(tables.gatherRows, gatherRowsSized(a, b)),
    softmax: () => kernelTask(tables.softmax, rowsCase(tables.softmax.typical[0]!, a, b)),
    top_k: () => kernelTask(tables.topK, topKSized(a, b)),
    non_finite: () => kernelTask(tables.nonFinite, nonFiniteCase(a * b, 0)),
  };
  return tasks[operation]!();
}

type MatmulTwin = (shape: MatmulShape, inputs: Readonly<Record<string, ArrayLike<number>>>) => Outputs;

/** The rows that the CPU has the time for, evenly spread from the first to the last; NaN in the others. */
const sampledMatmul: MatmulTwin = sampled(matmul);
const sampledMatmulQ8: MatmulTwin = sampled(matmulQ8);

function sampled(twin: MatmulTwin): MatmulTwin {
  return (shape, inputs) => {
    const { m, n, k } = shape;
    const rows = Math.max(2, Math.floor(CPU_PRODUCTS / (n * k)));
    if (rows >= m) return twin(shape, inputs);
    const chosen = Array.from({ length: rows }, (_, i) => Math.round((i * (m - 1)) / (rows - 1)));
    const few = Object.fromEntries(
      [["x", k] as const, ["residual", n] as const].flatMap(([name, cols]) => {
        const whole = inputs[name];
        return whole === undefined ? [] : [[name, rowsOf(whole, chosen, cols)]];
      }),
    );
    const { out: sample } = twin({ ...shape, m: rows }, { ...inputs, ...few });
    const out = new Float64Array(m * n).fill(Number.NaN);
    for (const [i, row] of chosen.entries()) out.set(sample!.subarray(i * n, (i + 1) * n), row * n);
    return { out };
  };
}

function rowsOf(matrix: ArrayLike<number>, chosen: readonly number[], cols: number): Float32Array {
  const few = new Float32Array(chosen.length * cols);
  for (const [i, row] of chosen.entries()) for (let j = 0; j < cols; j++) few[i * cols + j] = matrix[row * cols + j]!;
  return few;
}
