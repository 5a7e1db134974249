/** What is settled before the first step: how many there are, the largest batches, and what decides the bits of a run. */

import type { Engine } from "../runtime/engine.ts";
import { batchesOf, tokensOf } from "./batches.ts";
import { chunksOf } from "./chunks.ts";
import { NONE } from "./data/masking.ts";
import type { StartingModel } from "./model_folder.ts";
import type { TrainerOptions, TrainingData } from "./options.ts";
import type { Example } from "./step.ts";
import type { RunState } from "./trainer_state.ts";

/** Batches that are looked at for the largest ones, where all are not counted. */
const SAMPLED = 16;

export interface Plan {
  readonly totalSteps: number;
  readonly batchCounts: number[];
  /** One for each of what memory grows with, by any of which another batch may be the largest. */
  readonly largest: readonly (readonly Example[])[];
}

/** Of a batch: tokens and word pieces to be guessed, as many as are in memory at a time, and sequences. */
function sizesOf(batch: readonly Example[], miniBatchSize: number | undefined): number[] {
  const chunks = chunksOf(batch, miniBatchSize);
  const words = ({ labels }: Example): number => Array.from(labels.words ?? []).filter((word) => word !== NONE).length;
  return [
    Math.max(...chunks.map(tokensOf)),
    Math.max(...chunks.map((chunk) => chunk.reduce((sum, example) => sum + words(example), 0))),
    batch.reduce((sum, { more = [] }) => sum + 1 + more.length, 0),
  ];
}

/** Goes through the data of all epochs, unless `maxSteps` says how many steps there are. */
export async function planOf(data: TrainingData, options: TrainerOptions): Promise<Plan> {
  const { epochs = 3, maxSteps, gradientAccumulation = 1, miniBatchSize } = options;
  const largest: { readonly size: number; readonly batch: readonly Example[] }[] = [];
  const batchCounts: number[] = [];
  let totalSteps = 0;
  const most = maxSteps === undefined ? Number.POSITIVE_INFINITY : SAMPLED;
  for (let epoch = 0; epoch < (maxSteps === undefined ? epochs : 1); epoch++) {
    let count = 0;
    for await (const batch of batchesOf(data.epoch(epoch), options)) {
      for (const [i, size] of sizesOf(batch, miniBatchSize).entries()) {
        if (size > (largest[i]?.size ?? -1)) largest[i] = { size, batch };
      }
      if (++count >= most) break;
    }
    batchCounts.push(count);
    totalSteps += Math.ceil(count / gradientAccumulation);
  }
  if (largest.length === 0) throw new RangeError("the data has no examples");
  const found = { largest: [...new Set(largest.map(({ batch }) => batch))] };
  return maxSteps === undefined
    ? { totalSteps, batchCounts, ...found }
    : { totalSteps: maxSteps, batchCounts: [], ...found };
}

/**
 * All that decides the bits of a run beside its weights, and which of them are the best, as JSON has it.
 * @param frozen a fingerprint of frozen weights: 0 where there are none
 */
export function decisionsOf(
  engine: Engine,
  { json, dropout, sentence, partly }: StartingModel,
  { fingerprint }: TrainingData,
  { evaluationFingerprint: evaluation }: { readonly evaluationFingerprint?: string | undefined },
  options: TrainerOptions,
  totalSteps: number,
  frozen: number,
): RunState["decisions"] {
  const { objectives, dtype = "f32", seed = 0, gradientAccumulation = 1, batchTokens, batchSize } = options;
  const { noDuplicates, miniBatchSize } = options;
  const { learningRate, schedule, warmupSteps, weightDecay, maxGradNorm, betas, eps, metric } = options;
  const { limits, ...traits } = engine.traits;
  const { maxComputeInvocationsPerWorkgroup: threads, maxComputeWorkgroupStorageSize: shared } = limits;
  const kernels = { ...traits, threads, shared, binding: engine.allocate().mostBytes };
  const decisions = {
    ...{ config: json, dropout, objectives, dtype, seed, gradientAccumulation, batchTokens, batchSize, totalSteps },
    ...{ sentence: sentence?.settings, noDuplicates, miniBatchSize },
    ...{ learningRate, schedule, warmupSteps, weightDecay, maxGradNorm, betas, eps },
    ...{ data: fingerprint, evaluation, metric },
    ...{ adapter: engine.adapter, kernels },
    ...(partly.frozen && { freeze: options.freeze, lora: partly.lora?.options, frozen }),
  };
  return JSON.parse(JSON.stringify(decisions));
}
