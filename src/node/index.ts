/** The Node entry: everything of `bert-webgpu`, with WebGPU from Dawn and files from disk. */

export * from "../index.ts";
export { bundledModel } from "./cli/package.ts";
export type { OutputFormat } from "./data/layout.ts";
export { type NpyVectors, readVectors } from "./data/read_vectors.ts";
export type { Column, DataTable, Row, RowValues } from "./data/rows.ts";
export { type InputFormat, openTable, type TableOptions } from "./data/table.ts";
export { type WriteOptions, writeTable } from "./data/write_table.ts";
export { type AdapterChoice, type DeviceOptions, NoAdapterError, type NodeDevice, requestDevice } from "./device.ts";
export { createEngine, defaultEngine, type EngineSettings } from "./engine.ts";
export * from "./folder.ts";
export { hubCacheDir } from "./hub/environment.ts";
export { HubCacheError } from "./hub/fault.ts";
export { proxiedFetch } from "./hub/proxy.ts";
export * from "./hub/resolve.ts";
export * from "./hub/scan.ts";
export type { HubProgress } from "./hub/snapshot.ts";
// in place of those of the browser
export { type AdapterOptions, loadAdapter } from "./lora.ts";
export {
  type GeneratorOptions,
  loadGenerator,
  loadPretrained,
  type NodePipeline,
  type PretrainedOptions,
  pipeline,
} from "./pretrained.ts";
export { type DiskStore, openDiskStore } from "./training/disk_store.ts";
export { readTuning, removeTuning, storeTuning, tuningFile } from "./tuning.ts";
export type { ContinuationOptions, WritingCalls, WritingName, WritingOptions } from "./writing_pipeline.ts";
