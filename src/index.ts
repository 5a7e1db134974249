/** The browser-safe entry: engine, BERT, tokenizer and tasks. No Node, no dependencies. */

export * from "./bert/batch.ts";
export * from "./bert/config.ts";
export * from "./bert/losses.ts";
export * from "./bert/model.ts";
export * from "./bert/outputs.ts";
export * from "./bert/tasks/feature_extraction.ts";
export * from "./bert/tasks/fill_mask.ts";
export * from "./bert/tasks/pretrained.ts";
export * from "./bert/tasks/text_classification.ts";
export type { Encoding } from "./bert/tokenizer/encoding.ts";
export { loadTokenizer } from "./bert/tokenizer/load.ts";
export type { TextInput as TokenizerInput } from "./bert/tokenizer/sequence.ts";
export type { DecodeOptions, EncodeInput, EncodeOptions, Tokenizer } from "./bert/tokenizer/tokenizer.ts";
export type { TruncationStrategy } from "./bert/tokenizer/truncation.ts";
export type { SpecialIds } from "./bert/tokenizer/vocabulary.ts";
export * from "./runtime/bytes.ts";
export * from "./runtime/checkpoint.ts";
export * from "./runtime/device.ts";
export * from "./runtime/engine.ts";
export { DeviceLostError, GpuError, NoWebGpuError } from "./runtime/errors.ts";
export * from "./runtime/float16.ts";
export type { MemoryUse } from "./runtime/memory.ts";
export * from "./runtime/profiler.ts";
export type { InputData, OutputData, Program, RunOptions } from "./runtime/program.ts";
export type { Dispatch, Operand, Recorder, Recording, Ref } from "./runtime/recorder.ts";
export * from "./runtime/safetensors.ts";
export type { DType, Shape, Table, Tensor } from "./runtime/tensor.ts";
