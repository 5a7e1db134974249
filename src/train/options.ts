/** What training is told: under the names of Hugging Face's Trainer, in camel case. */

import { type Names, requireKnown } from "../files/options.ts";
import type { BatchOptions } from "./batches.ts";
import type { ChunkOptions } from "./chunks.ts";
import type { StartOptions } from "./model_folder.ts";
import { isSentenceLoss, type SentenceOptions } from "./sentence_losses.ts";
import type { Example } from "./step.ts";
import type { OptimizerOptions } from "./update.ts";

export interface TrainingData {
  /**
   * Examples of an epoch, counted from 0: the same, in the same order, whenever it is asked for the same epoch, so that a
   * run can be gone on with.
   */
  epoch(epoch: number): AsyncIterable<Example> | Iterable<Example>;
  /** What tells it from other data: a run is gone on with on data of the same fingerprint alone. */
  readonly fingerprint?: string | undefined;
}

export interface TrainerOptions extends StartOptions, BatchOptions, ChunkOptions, Omit<OptimizerOptions, "totalSteps"> {
  /** Default 3. */
  readonly epochs?: number | undefined;
  /** In place of `epochs`: steps in all, over as many epochs as that takes. */
  readonly maxSteps?: number | undefined;
  /** Of all steps a share, where it is below 1. Default 0. */
  readonly warmupSteps?: number | undefined;
  /** Batches whose gradients make a step together. Default 1. */
  readonly gradientAccumulation?: number | undefined;
  /** Of random weights and of dropout. Default 0. */
  readonly seed?: number | undefined;
  /** Of activations and of the weights that kernels read; sums and what is trained are f32. Default f32. */
  readonly dtype?: "f32" | "f16" | undefined;
  /** Steps between two evaluations. Default: after each epoch. */
  readonly evalSteps?: number | undefined;
  /** Steps between two checkpoints. Default: after each epoch. */
  readonly saveSteps?: number | undefined;
  /** Checkpoints that are kept, beside the best. Default: all. */
  readonly saveLimit?: number | undefined;
  /** The number of an evaluation by which checkpoints are better or worse. */
  readonly metric?: string | undefined;
  /** Default: not for a metric whose name ends with loss, perplexity or error. */
  readonly greaterIsBetter?: boolean | undefined;
  /** Ends after so many evaluations in a row that were no better than the best. */
  readonly earlyStopping?: number | undefined;
  /** Steps between two that are told, with the mean of their losses. Default 10. */
  readonly loggingSteps?: number | undefined;
  /**
   * Whether of each layer its input alone is kept, and the rest computed again in the backward pass: the same bits, less
   * memory, a third more time. Default false.
   */
  readonly recompute?: boolean | undefined;
  /** Bytes on the GPU that training may take. */
  readonly memoryLimit?: number | undefined;
}

const OPTIONS: Names<TrainerOptions> = {
  ...{ objectives: 1, labels: 1, fromScratch: 1, dropout: 1, dtype: 1, seed: 1, freeze: 1, lora: 1, recompute: 1 },
  ...{ sentence: 1, miniBatchSize: 1, noDuplicates: 1 },
  ...{ batchTokens: 1, batchSize: 1, gradientAccumulation: 1, epochs: 1, maxSteps: 1, memoryLimit: 1 },
  ...{ learningRate: 1, schedule: 1, warmupSteps: 1, weightDecay: 1, maxGradNorm: 1, betas: 1, eps: 1 },
  ...{ evalSteps: 1, saveSteps: 1, saveLimit: 1, metric: 1, greaterIsBetter: 1, earlyStopping: 1, loggingSteps: 1 },
};

const SENTENCE: Names<SentenceOptions> = { pooling: 1, scale: 1, margin: 1, matryoshka: 1, maxLength: 1 };

const COUNTS = [
  ...(["batchTokens", "batchSize", "gradientAccumulation", "epochs", "maxSteps", "memoryLimit"] as const),
  ...(["evalSteps", "saveSteps", "saveLimit", "earlyStopping", "loggingSteps", "miniBatchSize"] as const),
] as const;

/** @throws TypeError for an option that there is not, RangeError with all that have a value that makes no sense */
export function requireOptions(options: TrainerOptions): void {
  requireKnown("Trainer.create", options, OPTIONS);
  if (options.sentence) requireKnown("Trainer.create: sentence", options.sentence, SENTENCE);
  const faults: string[] = [];
  for (const name of COUNTS) {
    const value = options[name];
    const least = name === "maxSteps" || name === "epochs" ? 0 : 1;
    if (value !== undefined && !(Number.isInteger(value) && value >= least)) {
      faults.push(`${name} is ${value}, it must be an integer from ${least}`);
    }
  }
  for (const name of ["learningRate", "warmupSteps", "weightDecay", "maxGradNorm", "eps"] as const) {
    const value = options[name];
    if (value !== undefined && !(Number.isFinite(value) && value >= 0))
      faults.push(`${name} is ${value}, it must be a number from 0`);
  }
  if (options.batchTokens !== undefined && options.batchSize !== undefined) {
    faults.push("batchTokens and batchSize are both given: choose one");
  }
  const { miniBatchSize, objectives } = options;
  if (miniBatchSize !== undefined && options.batchTokens !== undefined) {
    faults.push("miniBatchSize parts batches of batchSize; batchTokens is given");
  }
  if ((miniBatchSize ?? options.sentence) !== undefined && !objectives.every(isSentenceLoss)) {
    const name = miniBatchSize === undefined ? "sentence" : "miniBatchSize";
    faults.push(`${name} is for losses of sentences, not for ${objectives.join(", ")}`);
  }
  if (options.earlyStopping !== undefined && options.metric === undefined) {
    faults.push("earlyStopping needs a metric");
  }
  if (faults.length > 0) throw new RangeError(`Trainer.create: ${faults.join("; ")}`);
}
