/** The browser-safe entry: engine, BERT, tokenizer and tasks. No Node, no dependencies. */

export * from "./bert/batch.ts";
export * from "./bert/config.ts";
export * from "./bert/losses.ts";
export * from "./bert/model.ts";
export * from "./bert/outputs.ts";
export * from "./runtime/bytes.ts";
export * from "./runtime/checkpoint.ts";
export * from "./runtime/device.ts";
export * from "./runtime/engine.ts";
export { DeviceLostError, GpuError, NoWebGpuError } from "./runtime/errors.ts";
export type { MemoryUse } from "./runtime/memory.ts";
export * from "./runtime/profiler.ts";
export type { InputData, OutputData, Program, RunOptions } from "./runtime/program.ts";
export type { Dispatch, Operand, Recorder, Recording, Ref } from "./runtime/recorder.ts";
export * from "./runtime/safetensors.ts";
export type { DType, Shape, Table, Tensor } from "./runtime/tensor.ts";
