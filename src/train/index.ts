/** The entry `bert-webgpu/train`: training, in browsers, workers and Node. No Node, no dependencies. */

export { type Document, type PairOptions, pairEpochs, type Sentence } from "./data/documents.ts";
export { type Draw, drawsFor } from "./data/draw.ts";
export { epochsOf, type Maker, split, streamedEpochs } from "./data/epochs.ts";
export { type Label, labelNames, labelNumber, severalLabels } from "./data/labels.ts";
export { type MaskingOptions, maskedExample, type Pieces, piecesOf } from "./data/masking.ts";
export { type AnswerRange, placeAnswer, type SpanOptions, spanExamples } from "./data/spans.ts";
export { tagExamples } from "./data/tags.ts";
export type { Dropout } from "./encoder.ts";
export type { Evaluation, EvaluationForward } from "./evaluation.ts";
export { type TrainerEvent, TrainingError } from "./events.ts";
export type { LoraOptions } from "./lora.ts";
export type { Labels } from "./losses.ts";
export type { MemoryPart } from "./memory.ts";
export type { ObjectiveName } from "./objectives.ts";
export { opfsStore } from "./opfs_store.ts";
export type { TrainerOptions, TrainingData } from "./options.ts";
export type { SentenceLossName, SentenceOptions } from "./sentence_losses.ts";
export type { Example } from "./step.ts";
export { memoryStore, type Store, type StoredFile } from "./store.ts";
export {
  type TrainedWordPiece,
  trainWordPiece,
  type WordPieceOptions,
  type WordPieceProgress,
} from "./tokenizer/wordpiece_trainer.ts";
export { Trainer, type TrainerParts } from "./trainer.ts";
export type { Best, LogRow } from "./trainer_state.ts";
