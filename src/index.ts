/** The browser-safe entry: engine, BERT, tokenizer and tasks. No Node, no dependencies. */

export { type AdapterOptions, loadAdapter } from "./bert/adapter.ts";
export type { Batch, Sequence } from "./bert/batch.ts";
export * from "./bert/config.ts";
export { packBatch } from "./bert/forward.ts";
export type { GenerationModelConfig } from "./bert/generation/config.ts";
export type { Written } from "./bert/generation/decode.ts";
export {
  type GenerationInput,
  type GenerationStreamOptions,
  generateSequences,
  generateTokens,
} from "./bert/generation/generate.ts";
export {
  type GeneratedText,
  type GenerationOptions,
  generateTexts,
  loadGenerator,
  streamGenerations,
  streamText,
  type TextGenerator,
} from "./bert/generation/generator.ts";
export { type GenerationLoadOptions, GenerationModel } from "./bert/generation/model.ts";
export type { GenerationSettings } from "./bert/generation/settings.ts";
export type { GenerationForward, GenerationWanted, Pair } from "./bert/generation/teacher_forced.ts";
export type { ClassifierKind } from "./bert/heads/classifier.ts";
export * from "./bert/losses.ts";
export * from "./bert/metrics/classification.ts";
export * from "./bert/metrics/correlation.ts";
export * from "./bert/metrics/entities.ts";
export * from "./bert/metrics/f1.ts";
export * from "./bert/metrics/squad.ts";
export * from "./bert/model.ts";
export { NonFiniteError } from "./bert/non_finite.ts";
export * from "./bert/outputs.ts";
export * from "./bert/tasks/attention_maps.ts";
export * from "./bert/tasks/feature_extraction.ts";
export { type FillMaskOptions, fillMask, type MaskFill, planFillMask } from "./bert/tasks/fill_mask.ts";
export * from "./bert/tasks/multiple_choice.ts";
export * from "./bert/tasks/next_sentence.ts";
export {
  type FeatureSettings,
  type Pipeline,
  type PipelineName,
  type PipelineOptions,
  type PipelineProgress,
  pipeline,
  type ResultTensor,
  type SnakeOptions,
} from "./bert/tasks/pipeline.ts";
export type { Job, Plan } from "./bert/tasks/plan.ts";
export type { Pooling } from "./bert/tasks/pooling.ts";
export * from "./bert/tasks/precision.ts";
export {
  loadPretrained,
  maxLength,
  type Pretrained,
  type TaskOptions,
  type TextInput,
} from "./bert/tasks/pretrained.ts";
export {
  type Answer,
  answerQuestions,
  planQuestionAnswering,
  type Question,
  type QuestionAnsweringOptions,
} from "./bert/tasks/question_answering.ts";
export * from "./bert/tasks/rerank.ts";
export { type EmbedOptions, embedText, type VectorOptions } from "./bert/tasks/sentence_embedding.ts";
export {
  type PoolingModule,
  readSentenceModules,
  type SentenceModule,
  type SentenceModules,
  type VectorModule,
} from "./bert/tasks/sentence_modules.ts";
export * from "./bert/tasks/similarity.ts";
export { embedSparse, type SparseEntry, type SparseOptions } from "./bert/tasks/sparse_embedding.ts";
export { type Progress, runPlan, type StreamOptions, streamPlan } from "./bert/tasks/stream.ts";
export {
  planSummarization,
  type Summary,
  type SummaryOptions,
  type SummarySentence,
  summarize,
} from "./bert/tasks/summarization.ts";
export * from "./bert/tasks/task.ts";
export {
  type Classification,
  type ClassificationOptions,
  classifyText,
  type LabelFunction,
} from "./bert/tasks/text_classification.ts";
export {
  type AggregationStrategy,
  classifyTokens,
  type Entity,
  type EntityGroup,
  planTokenClassification,
  type TaggedInput,
  type TokenClassificationOptions,
  type TokenEntity,
} from "./bert/tasks/token_classification.ts";
export { cosine, dot, maxSim, SIMILARITIES, type SimilarityName } from "./bert/tasks/vectors.ts";
export { classifyZeroShot, planZeroShot, type ZeroShot, type ZeroShotOptions } from "./bert/tasks/zero_shot.ts";
export { loadTokenizer } from "./bert/tokenizer/load.ts";
export type { TokenizerInput } from "./bert/tokenizer/sequencer.ts";
export type { DecodeOptions, EncodeInput, EncodeOptions, Encoding, Tokenizer } from "./bert/tokenizer/tokenizer.ts";
export type { TruncationStrategy } from "./bert/tokenizer/truncation.ts";
export type { SpecialIds } from "./bert/tokenizer/vocabulary.ts";
export * from "./files/bytes.ts";
export * from "./files/checkpoint.ts";
export * from "./files/chosen_files.ts";
export { CheckpointError, PyTorchError, SafetensorsError } from "./files/faults.ts";
export * from "./files/float16.ts";
export { type HttpOptions, httpFolder } from "./files/http.ts";
export { type HubFolderOptions, hubFolder } from "./files/hub.ts";
export { modelFolder } from "./files/model_folder.ts";
export { HttpError, type RetryPolicy } from "./files/request.ts";
export * from "./files/safetensors.ts";
export type { DeviceTraits, Kernel, KernelLimits, KernelPlan, MatrixUnit } from "./kernels/kernel.ts";
export type { MatmulShape } from "./kernels/matmul/matmul.ts";
export type { MatmulConfig, MatmulTuning } from "./kernels/matmul/matmul_config.ts";
export { parseMatmulTuning } from "./kernels/matmul/matmul_tuning.ts";
export type { Allocation } from "./runtime/allocation.ts";
export type { BoundProgram } from "./runtime/bound.ts";
export {
  type AdapterSummary,
  adapterSummary,
  type DeviceNeeds,
  deviceDescriptor,
  type IdleHook,
  infoOf,
  matrixUnitsOf,
  type OpenedDevice,
  subgroupSizeOf,
} from "./runtime/device.ts";
export * from "./runtime/engine.ts";
export { DeviceLostError, DisposedError, GpuError, NoWebGpuError } from "./runtime/errors.ts";
export type { MemoryUse } from "./runtime/memory.ts";
export {
  type TunedCandidate,
  type TunedClass,
  type TuneOptions,
  type TuningResult,
  tuneMatmul,
  tuningKey,
  tuningShapes,
} from "./runtime/ops/tune.ts";
export * from "./runtime/profiler.ts";
export type { Launch, OutputData, Program, RunOptions, Submission, SubmitOptions } from "./runtime/program.ts";
export type { Dispatch, Operand, Recorder, Recording, Ref, ScalarInput } from "./runtime/recorder.ts";
export type { ProgramInputs } from "./runtime/steps.ts";
export type { Table } from "./runtime/table.ts";
export type { DType, InputData, Shape, Tensor } from "./runtime/tensor.ts";
export * from "./runtime/vector_index.ts";
