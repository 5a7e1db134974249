/** The kernels of each operation on a device: first the one that the engine launches there, then its others. */

import { type AttentionShape, attentionKernelFor } from "../src/kernels/attention/attention.ts";
import {
  type DeviceTraits,
  type Kernel,
  type KernelLimits,
  rowOwnerFor,
  rowReducerFor,
  type Scalar,
  specialize,
} from "../src/kernels/kernel.ts";
import { type MatmulShape, matmulKernelOf, matmulNaive, matmulUnaligned } from "../src/kernels/matmul/matmul.ts";
import { matmulCandidates, matmulFits, matmulKernelFor } from "../src/kernels/matmul/matmul_choice.ts";
import type { MatmulConfig } from "../src/kernels/matmul/matmul_config.ts";
import type { ActivationShape } from "../src/kernels/rows/activation.ts";
import { type L2NormalizeShape, l2NormalizeBy } from "../src/kernels/rows/l2_normalize.ts";
import {
  type EmbedLayernormShape,
  embedLayernormBy,
  type LayernormShape,
  layernormBy,
} from "../src/kernels/rows/layernorm.ts";
import { type NonFiniteShape, nonFiniteBy } from "../src/kernels/rows/non_finite.ts";
import { type SoftmaxShape, softmaxKernelFor } from "../src/kernels/rows/softmax.ts";
import type { TopKShape } from "../src/kernels/rows/top_k.ts";
import type { GatherRowsShape } from "../src/kernels/tokens/gather_rows.ts";
import type { PoolShape } from "../src/kernels/tokens/pool.ts";
import {
  activationCases,
  attentionCases,
  attentionProbsCases,
  type CaseTable,
  embedLayernormCases,
  gatherRowsCases,
  l2NormalizeCases,
  layernormCases,
  matmulCases,
  matmulQ8Cases,
  nonFiniteCases,
  poolCases,
  softmaxCases,
  topKCases,
} from "../test/cases.ts";
import type { BenchTable } from "./kernels.ts";

/** The table of the cases, with the kernels that a device has for a shape, `choose`'s first and none twice. */
function engineFirst<S extends { readonly dtype: Scalar }>(
  operation: string,
  table: CaseTable<S>,
  traits: DeviceTraits,
  choose?: (shape: S) => Kernel<S>,
): BenchTable<S> {
  return {
    ...table,
    operation,
    engineFirst: true,
    kernels(shape) {
      const all = table.kernels(shape, traits);
      return choose ? distinct([choose(shape), ...all], shape, traits.limits) : all;
    },
  };
}

/** Kernels are the same when the GPU compiles the same. */
function distinct<S>(kernels: readonly Kernel<S>[], shape: S, limits: KernelLimits): Kernel<S>[] {
  const programs = new Map<string, Kernel<S>>();
  for (const kernel of kernels) {
    const program = programOf(kernel, shape, limits);
    if (!programs.has(program)) programs.set(program, kernel);
  }
  return [...programs.values()];
}

function programOf<S>(kernel: Kernel<S>, shape: S, limits: KernelLimits): string {
  try {
    return specialize(kernel.source, kernel.plan(shape, limits).constants);
  } catch (error) {
    if (error instanceof RangeError) return kernel.source; // measuring it tells why
    throw error;
  }
}

const tile = (side: number, depth: number, fours: number): MatmulConfig => ({
  kind: "workgroup",
  tile: { rows: side, cols: side, depth, rowFours: fours, colFours: fours },
});

/** From the plainest to those that a large GPU wants, as far as the device has room for them. */
function rungs(shape: MatmulShape, traits: DeviceTraits): Kernel<MatmulShape>[] {
  const configs: MatmulConfig[] = [
    { kind: "register" },
    { kind: "broadcast", subgroup: traits.subgroupSize ?? 0 },
    { kind: "split_k", split: 32 },
    tile(32, 32, 1),
    tile(64, 16, 1),
    tile(128, 16, 2),
  ];
  const fitting = configs.filter((config) => matmulFits(config, shape, traits));
  const kernels = fitting.map((config) => matmulKernelOf(config, shape.k % 4 === 0));
  return [matmulNaive, matmulUnaligned, ...kernels, ...onMatrixUnits(shape, traits)];
}

/** The tile that the engine would take on the device's matrix units and its neighbours; none without such units. */
function onMatrixUnits(shape: MatmulShape, traits: DeviceTraits): Kernel<MatmulShape>[] {
  return matmulCandidates(shape, traits)
    .filter(({ kind }) => kind === "subgroup")
    .map((config) => matmulKernelOf(config, true));
}

export interface EngineTables {
  readonly matmul: BenchTable<MatmulShape>;
  /** The ladder, whose reference is that of `matmul`. */
  readonly matmulRungs: BenchTable<MatmulShape>;
  readonly matmulQ8: BenchTable<MatmulShape>;
  readonly attention: BenchTable<AttentionShape>;
  readonly attentionProbs: BenchTable<AttentionShape>;
  readonly embedLayernorm: BenchTable<EmbedLayernormShape>;
  readonly layernorm: BenchTable<LayernormShape>;
  readonly l2Normalize: BenchTable<L2NormalizeShape>;
  readonly softmax: BenchTable<SoftmaxShape>;
  readonly pool: BenchTable<PoolShape>;
  readonly gatherRows: BenchTable<GatherRowsShape>;
  readonly topK: BenchTable<TopKShape>;
  readonly nonFinite: BenchTable<NonFiniteShape>;
  /** Alone it is never launched: the engine's matmuls apply it. */
  readonly activation: BenchTable<ActivationShape>;
}

/** A table for each operation that a device with these traits is measured by. */
export function engineTables(traits: DeviceTraits): EngineTables {
  const reducer = rowReducerFor(traits);
  const matmuls = (kernels: CaseTable<MatmulShape>["kernels"]): BenchTable<MatmulShape> =>
    engineFirst("matmul", { ...matmulCases, kernels }, traits, (shape) => matmulKernelFor(shape, traits));
  return {
    matmul: matmuls((shape) => [...onMatrixUnits(shape, traits), ...matmulCases.kernels(shape, traits)]),
    matmulRungs: matmuls((shape) => rungs(shape, traits)),
    matmulQ8: engineFirst("matmul_q8", matmulQ8Cases, traits),
    attention: engineFirst("attention", attentionCases, traits, (shape) => attentionKernelFor(shape, traits)),
    attentionProbs: engineFirst("attention_probs", attentionProbsCases, traits),
    embedLayernorm: engineFirst("embed_layernorm", embedLayernormCases, traits, () => embedLayernormBy(reducer)),
    layernorm: engineFirst("layernorm", layernormCases, traits, () => layernormBy(reducer)),
    l2Normalize: engineFirst("l2_normalize", l2NormalizeCases, traits, () => l2NormalizeBy(reducer)),
    softmax: engineFirst("softmax", softmaxCases, traits, (shape) => softmaxKernelFor(shape, traits)),
    pool: engineFirst("pool", poolCases, traits),
    gatherRows: engineFirst("gather_rows", gatherRowsCases, traits),
    topK: engineFirst("top_k", topKCases, traits),
    nonFinite: engineFirst("non_finite", nonFiniteCases, traits, () => nonFiniteBy(rowOwnerFor(traits))),
    activation: { ...activationCases, operation: "activation" },
  };
}
