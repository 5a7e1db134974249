/** `loadPretrained` and `pipeline` for Node: a model is a path, a name of the hub or a folder, and an engine is there. */

import { loadAdapter } from "../bert/adapter.ts";
import { ModelError } from "../bert/config.ts";
import { isWriter } from "../bert/generation/config.ts";
import { loadGenerator as loadWriter, type TextGenerator } from "../bert/generation/generator.ts";
import type { GenerationLoadOptions } from "../bert/generation/model.ts";
import type { LoadOptions } from "../bert/model.ts";
import { storageOf } from "../bert/stored.ts";
import {
  type Pipeline,
  type PipelineName,
  type PipelineOptions,
  pipeline as pipelineOf,
  pipelineTask,
} from "../bert/tasks/pipeline.ts";
import { loadPretrained as loadFrom, type Pretrained } from "../bert/tasks/pretrained.ts";
import type { Folder } from "../files/bytes.ts";
import { type Names, requireKnown } from "../files/options.ts";
import { Engine } from "../runtime/engine.ts";
import { defaultEngine } from "./engine.ts";
import { type ResolveOptions, resolveAdapter, resolveModel } from "./hub/resolve.ts";
import { checkAdapter } from "./lora.ts";
import {
  isTextGenerator,
  isWritingName,
  type WritingCalls,
  type WritingName,
  writingCall,
} from "./writing_pipeline.ts";

export interface PretrainedOptions extends LoadOptions {
  /** Of a model of the hub: revision, token, progress of the download and the like; but for the revision, of `lora` too. */
  readonly hub?: Omit<ResolveOptions, "weights"> | undefined;
  /** A LoRA adapter of PEFT over the model: as the model is given. For several over one model, see `loadAdapter`. */
  readonly lora?: string | Folder | undefined;
}

const OPTIONS: Names<PretrainedOptions> = {
  dtype: 1,
  wanted: 1,
  onProgress: 1,
  signal: 1,
  onWarning: 1,
  hub: 1,
  lora: 1,
};

/**
 * Loads a model and its tokenizer.
 * @param model a folder on disk by its path, `org/name[@revision]` of the Hugging Face hub (see `resolveModel`), or a folder
 * @throws as `resolveModel` for a text; ModelError or CheckpointError with every fault; RangeError for an unknown dtype;
 * TypeError for an unknown option
 */
export function loadPretrained(
  engine: Engine,
  model: string | Folder,
  options?: PretrainedOptions,
): Promise<Pretrained>;
/** The same on `defaultEngine()`. */
export function loadPretrained(model: string | Folder, options?: PretrainedOptions): Promise<Pretrained>;
export async function loadPretrained(
  first: Engine | string | Folder,
  second?: string | Folder | PretrainedOptions,
  third?: PretrainedOptions,
): Promise<Pretrained> {
  const engine = first instanceof Engine ? first : undefined;
  const model = (engine ? second : first) as string | Folder;
  const options = ((engine ? third : second) ?? {}) as PretrainedOptions;
  requireKnown("loadPretrained", options, OPTIONS);
  if (typeof model !== "string" && typeof model?.open !== "function") {
    throw new TypeError("loadPretrained: no model is given; give a path, org/name of the hub, or a folder");
  }
  const { hub, lora, ...load } = options;
  storageOf(load.dtype ?? "f32"); // before anything is fetched
  const { onWarning, signal } = load;
  const folder = typeof model === "string" ? await resolveModel(model, { onWarning, signal, ...hub }) : model;
  if (await isWriter(folder)) {
    throw new ModelError(folder.name, ["it writes text, which loadGenerator loads; loadPretrained takes encoders"]);
  }
  let adapter: Folder | undefined;
  if (lora !== undefined) {
    const { revision, ...rest } = hub ?? {};
    adapter = typeof lora === "string" ? await resolveAdapter(lora, { onWarning, signal, ...rest }) : lora;
    await checkAdapter(adapter, folder, onWarning);
  }
  const pretrained = await loadFrom(engine ?? (await defaultEngine()), folder, load);
  if (adapter === undefined) return pretrained;
  try {
    return await loadAdapter(pretrained, adapter, { disposeBase: true });
  } catch (error) {
    pretrained.model.dispose();
    throw error;
  }
}

export interface GeneratorOptions extends GenerationLoadOptions {
  /** As of `loadPretrained`. */
  readonly hub?: PretrainedOptions["hub"];
}

/**
 * Loads a model that writes text, on `defaultEngine()` where none is given.
 * @param model as of `loadPretrained`
 * @throws as `loadPretrained`; ModelError for a model without a decoder
 */
export function loadGenerator(
  engine: Engine,
  model: string | Folder,
  options?: GeneratorOptions,
): Promise<TextGenerator>;
/** The same on `defaultEngine()`. */
export function loadGenerator(model: string | Folder, options?: GeneratorOptions): Promise<TextGenerator>;
export async function loadGenerator(
  first: Engine | string | Folder,
  second?: string | Folder | GeneratorOptions,
  third?: GeneratorOptions,
): Promise<TextGenerator> {
  const engine = first instanceof Engine ? first : undefined;
  const model = (engine ? second : first) as string | Folder;
  const { hub, ...load } = ((engine ? third : second) ?? {}) as GeneratorOptions;
  if (typeof model !== "string" && typeof model?.open !== "function") {
    throw new TypeError("loadGenerator: no model is given; give a path, org/name of the hub, or a folder");
  }
  storageOf(load.dtype ?? "f32"); // before anything is fetched
  const { onWarning, signal } = load;
  const folder = typeof model === "string" ? await resolveModel(model, { onWarning, signal, ...hub }) : model;
  return loadWriter(engine ?? (await defaultEngine()), folder, load);
}

/** A pipeline of `bert-webgpu/node`: also of models that write. */
export type NodePipeline<Name extends PipelineName | WritingName> = Name extends WritingName
  ? WritingCalls[Name] & Pick<Pipeline<"ner">, "dispose">
  : Pipeline<Name & PipelineName>;

/**
 * As `pipeline` of `bert-webgpu`, with models of disks and of the hub's cache, and those that write.
 * @param model a path, `org/name[@revision]` of the hub, a folder, or what is loaded already
 * @throws as `pipeline` and `resolveModel`; ModelError for a task of models that write, or that read, of one of the others
 */
export async function pipeline<Name extends PipelineName | WritingName>(
  task: Name,
  model: string | Folder | Pretrained | TextGenerator,
  options: PipelineOptions = {},
): Promise<NodePipeline<Name>> {
  return (await pipelineFor(task, model, options)) as NodePipeline<Name>;
}

async function pipelineFor(
  task: PipelineName | WritingName,
  model: string | Folder | Pretrained | TextGenerator,
  options: PipelineOptions,
): Promise<unknown> {
  const writing = isWritingName(task);
  // what can be told of options is the same for all tasks
  const name = pipelineTask(writing ? "summarization" : task, model as Pretrained, options);
  if (isTextGenerator(model)) {
    if (!writing) throw refusal(model.model.name);
    return Object.assign(writingCall(task, model), { dispose() {} });
  }
  if (typeof model === "object" && "model" in model) {
    if (writing && task !== "summarization") {
      throw new ModelError(model.model.name, [`${task} takes a model that writes, which loadGenerator loads`]);
    }
    return pipelineOf(name, model, options);
  }
  const { revision, ...rest } = options;
  const { on_warning: onWarning, progress_callback: report } = options;
  const onProgress: ResolveOptions["onProgress"] = ({ loaded, total }) =>
    report?.({ status: "download", loaded, total, progress: (100 * loaded) / total });
  const folder = typeof model === "string" ? await resolveModel(model, { revision, onWarning, onProgress }) : model;
  const engine = options.engine ?? (await defaultEngine());
  const writes = await isWriter(folder);
  if (writes && !writing) throw refusal(folder.name);
  if (!writing || (task === "summarization" && !writes)) return pipelineOf(name, folder, { ...rest, engine });
  const generator = await loadWriter(engine, folder, {
    dtype: options.dtype,
    onWarning,
    onProgress: ({ loaded, total }) =>
      report?.({ status: "progress", loaded, total, progress: (100 * loaded) / total }),
  });
  try {
    return Object.assign(writingCall(task, generator), { dispose: () => generator.model.dispose() });
  } catch (error) {
    generator.model.dispose();
    throw error;
  }
}

function refusal(name: string): ModelError {
  const those = "translation, summarization, text2text-generation and text-generation";
  return new ModelError(name, [`it writes text, for which there are the pipelines ${those}`]);
}
