/** What a run tells of itself, and what ends it. */

export type TrainerEvent =
  | {
      readonly kind: "step";
      readonly step: number;
      /** As far as it has come: 1.5 is the middle of the second. */
      readonly epoch: number;
      /** The mean since the last one that was told. */
      readonly loss: number;
      readonly gradNorm: number;
      readonly learningRate: number;
      readonly tokensPerSecond: number;
      /** Steps so far that were left out, since a gradient was not finite in f16. */
      readonly skipped: number;
      readonly lossScale: number;
    }
  | {
      readonly kind: "evaluation";
      readonly step: number;
      readonly epoch: number;
      readonly metrics: Readonly<Record<string, number>>;
      /** Whether it is the best so far. */
      readonly best: boolean;
    }
  | { readonly kind: "saved"; readonly step: number; readonly folder: string };

/** What ended a run. The weights, and the checkpoints before it, are as they were after the last step that was taken. */
export class TrainingError extends Error {
  override readonly name = "TrainingError";
  readonly step: number;
  /** The last one that was written. */
  readonly checkpoint: string | undefined;

  constructor(step: number, fault: string, checkpoint: string | undefined, cause?: unknown) {
    super(`step ${step}: ${fault}; ${checkpoint ? `go on from ${checkpoint}` : "there is no checkpoint"}`, { cause });
    this.step = step;
    this.checkpoint = checkpoint;
  }
}
