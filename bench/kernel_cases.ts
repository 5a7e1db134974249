/** Which kernels are measured on which shapes: the tests' typical cases, the ladder of matmuls, and what is asked for. */

import type { DeviceTraits, Scalar } from "../src/kernels/kernel.ts";
import type { MatmulShape } from "../src/kernels/matmul/matmul.ts";
import { matmul, matmulQ8, type Outputs } from "../src/kernels/reference/twins.ts";
import { INDEXABLE } from "../src/kernels/shape.ts";
import {
  activationCases,
  attentionCases,
  type Case,
  embedLayernormCases,
  gatherRowsCases,
  l2NormalizeCases,
  layernormCases,
  matmulCases,
  matmulQ8Cases,
  poolCases,
  softmaxCases,
  topKCases,
} from "../test/cases.ts";
import { engineTables } from "./engine_choice.ts";
import { type BenchTable, type KernelTask, kernelTask } from "./kernels.ts";
import {
  attentionSized,
  embedLayernormSized,
  gatherRowsSized,
  layernormSized,
  matmulQ8Sized,
  matmulSized,
  poolSized,
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

/** Every kernel on the shapes of BERT-base with 128 tokens; of several for one operation, the engine's choice first. */
export function typicalTasks(traits: DeviceTraits): KernelTask[] {
  const tables = engineTables(traits);
  const tasks = <S extends { readonly dtype: Scalar }>(table: BenchTable<S>, cases: readonly Case<S>[]): KernelTask[] =>
    cases.map((of) => kernelTask(table, of));
  return [
    ...tasks(tables.matmul, matmulCases.typical.map(unguarded)),
    ...tasks(tables.matmulQ8, matmulQ8Cases.typical.map(unguarded)),
    ...tasks(tables.attention, attentionCases.typical),
    ...tasks(tables.attentionProbs, attentionCases.typical.slice(0, 1).map(probabilitiesOf)),
    ...tasks(tables.embedLayernorm, embedLayernormCases.typical),
    ...tasks(tables.layernorm, layernormCases.typical),
    ...tasks(tables.activation, activationCases.typical),
    ...tasks(tables.pool, poolCases.typical),
    ...tasks(tables.l2Normalize, l2NormalizeCases.typical),
    ...tasks(tables.gatherRows, gatherRowsCases.typical),
    ...tasks(tables.softmax, softmaxCases.typical),
    ...tasks(tables.topK, topKCases.typical),
  ];
}

/** All matmuls on the same matrices [size, size], the engine's choice first. */
export function ladderTask(size: number, traits: DeviceTraits): KernelTask {
  return matmulTask(size, size, size, traits);
}

/** The tasks that take so many sizes, as `SHAPE_FORMS` says. */
export function shapedTasks(sizes: readonly number[], traits: DeviceTraits): KernelTask[] {
  const tables = engineTables(traits);
  if (sizes.length === 3) {
    const [a, b, c] = sizes as [number, number, number];
    const matmuls = [
      matmulTask(a, b, c, traits),
      kernelTask({ ...tables.matmulQ8, reference: sampledMatmulQ8 }, matmulQ8Sized(a, b, c)),
    ];
    if (a * b * c > INDEXABLE) return matmuls; // no tensor of attention may have so many elements
    const attention = attentionSized(a, b, c);
    return [
      ...matmuls,
      kernelTask(tables.attention, attention),
      kernelTask(tables.attentionProbs, probabilitiesOf(attention)),
    ];
  }
  if (sizes.length !== 2) return [];
  const [rows, cols] = sizes as [number, number];
  return [
    kernelTask(tables.embedLayernorm, embedLayernormSized(rows, cols)),
    kernelTask(tables.layernorm, layernormSized(rows, cols)),
    kernelTask(tables.activation, rowsCase(activationCases.typical[0]!, rows, cols)),
    kernelTask(tables.pool, poolSized(rows, cols)),
    kernelTask(tables.l2Normalize, rowsCase(l2NormalizeCases.typical[0]!, rows, cols)),
    kernelTask(tables.gatherRows, gatherRowsSized(rows, cols)),
    kernelTask(tables.softmax, rowsCase(softmaxCases.typical[0]!, rows, cols)),
    kernelTask(tables.topK, topKSized(rows, cols)),
  ];
}

function matmulTask(m: number, n: number, k: number, traits: DeviceTraits): KernelTask {
  return kernelTask({ ...engineTables(traits).matmulRungs, reference: sampledMatmul }, matmulSized(m, n, k));
}

type MatmulTwin = (shape: MatmulShape, inputs: Readonly<Record<string, ArrayLike<number>>>) => Outputs;

/** The rows that the CPU has the time for, evenly spread from the first to the last; NaN in the others. */
export const sampledMatmul: MatmulTwin = sampled(matmul);
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
