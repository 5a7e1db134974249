/** The entry `bert-webgpu/train`: training, in browsers, workers and Node. No Node, no dependencies. */

export type { Dropout } from "./encoder.ts";
export type { Evaluation, EvaluationForward } from "./evaluation.ts";
export { type TrainerEvent, TrainingError } from "./events.ts";
export type { Labels, ObjectiveName } from "./objectives.ts";
export type { TrainerOptions, TrainingData } from "./options.ts";
export type { Example } from "./step.ts";
export { memoryStore, type Store, type StoredFile } from "./store.ts";
export { type MemoryPart, Trainer, type TrainerParts } from "./trainer.ts";
export type { Best, LogRow } from "./trainer_state.ts";
