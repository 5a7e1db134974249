/** What is settled before the first step: how many there are, the largest batch, and what decides the bits of a run. */

import type { Engine } from "../runtime/engine.ts";
import { batchesOf, tokensOf } from "./batches.ts";
import { chunksOf } from "./chunks.ts";
import type { StartingModel } from "./model_folder.ts";
import type { TrainerOptions, TrainingData } from "./options.ts";
import type { Example } from "./step.ts";
import type { RunState } from "./trainer_state.ts";

/** Batches that are looked at for the largest, where all are not counted. */
const SAMPLED = 16;

export interface Plan {
  readonly totalSteps: number;
  readonly batchCounts: number[];
  readonly largest: readonly Example[];
}

/** Goes through the data of all epochs, unless `maxSteps` says how many steps there are. */
export async function planOf(data: TrainingData, options: TrainerOptions): Promise<Plan> {
  const { epochs = 3, maxSteps, gradientAccumulation = 1, miniBatchSize } = options;
  /** What is in memory at a time of a batch. */
  const sizeOf = (batch: readonly Example[]): number => Math.max(...chunksOf(batch, miniBatchSize).map(tokensOf));
  let largest: readonly Example[] | undefined;
  const batchCounts: number[] = [];
  let totalSteps = 0;
  const most = maxSteps === undefined ? Number.POSITIVE_INFINITY : SAMPLED;
  for (let epoch = 0; epoch < (maxSteps === undefined ? epochs : 1); epoch++) {
    let count = 0;
    for await (const batch of batchesOf(data.epoch(epoch), options)) {
      if (!largest || sizeOf(batch) > sizeOf(largest)) largest = batch;
      if (++count >= most) break;
    }
    batchCounts.push(count);
    totalSteps += Math.ceil(count / gradientAccumulation);
  }
  if (!largest) throw new RangeError("the data has no examples");
  return maxSteps === undefined
    ? { totalSteps, batchCounts, largest }
    : { totalSteps: maxSteps, batchCounts: [], largest };
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
