/** An adapter as PEFT keeps it: adapter_config.json and adapter_model.safetensors, written from what is trained and read back. */

import { ADAPTER_CONFIG, ADAPTER_WEIGHTS, ARCHITECTURE_OF } from "../bert/adapter_file.ts";
import { joinB, peftName, splitB } from "../bert/lora.ts";
import type { Folder } from "../files/bytes.ts";
import { type Checkpoint, openCheckpointFile } from "../files/checkpoint.ts";
import { CheckpointError } from "../files/faults.ts";
import { numbersToFloat16 } from "../files/float16.ts";
import { planSafetensors, type WritableTensors, writeSafetensors } from "../files/safetensors_writer.ts";
import type { Engine } from "../runtime/engine.ts";
import { streamTable, type Table } from "../runtime/table.ts";
import { type Shape, sizeOf } from "../runtime/tensor.ts";
import type { FlatWeights } from "./flat.ts";
import { shapesFor } from "./initial.ts";
import type { Lora } from "./lora.ts";
import { publishedName, type StartingModel } from "./model_folder.ts";
import { readStored } from "./read.ts";
import type { StoredFile } from "./store.ts";

/** What PEFT trains whole, by what it calls the task. */
const WHOLE: Readonly<Record<string, readonly string[]>> = {
  SEQ_CLS: ["classifier", "score"],
  TOKEN_CLS: ["classifier", "score"],
  QUESTION_ANS: ["qa_outputs"],
};

/** What an adapter of `start` has, by the names of the file: of which of our tensors, and which part of a B. */
function tensorsOf(
  { config, heads }: Pick<StartingModel, "config" | "heads">,
  lora: Lora,
): Map<string, { name: string; shape: Shape; block?: number }> {
  const tensors = new Map<string, { name: string; shape: Shape; block?: number }>();
  const own = [...shapesFor(config, heads)].filter(([name]) => !lora.frozen(name));
  for (const [name, shape] of [...own, ...lora.shapes]) {
    const layer = lora.layers.get(name);
    if (!layer) tensors.set(peftName(publishedName(name, heads)), { name, shape });
    for (const [i, block] of (layer?.blocks ?? []).entries()) {
      const called = peftName(publishedName(`${layer!.modules[block]}.lora_B.weight`, heads));
      tensors.set(called, { name, shape: [layer!.outputs, lora.options.rank], block: i });
    }
  }
  return tensors;
}

/** The two files. Read each to its end, in between two steps. */
export async function* adapterFiles(
  engine: Engine,
  start: StartingModel,
  lora: Lora,
  flat: FlatWeights,
): AsyncGenerator<StoredFile> {
  yield {
    path: ADAPTER_CONFIG,
    bytes: [new TextEncoder().encode(`${JSON.stringify(configOf(start, lora), null, 2)}\n`)],
  };
  yield { path: ADAPTER_WEIGHTS, bytes: weightsFile(engine, start, lora, flat) };
}

function configOf({ json, baseModel }: StartingModel, { options, whole }: Lora): object {
  const [architecture] = json.architectures as string[];
  const [task] = Object.entries(ARCHITECTURE_OF).find(([, own]) => own === architecture) ?? ["FEATURE_EXTRACTION"];
  const saved = [...new Set([...(WHOLE[task] ?? []), ...whole])];
  return {
    alpha_pattern: {},
    auto_mapping: null,
    base_model_name_or_path: baseModel,
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layer_replication: null,
    layers_pattern: null,
    layers_to_transform: null,
    loftq_config: {},
    lora_alpha: options.alpha,
    lora_dropout: options.dropout,
    megatron_config: null,
    megatron_core: "megatron.core",
    modules_to_save: saved.length > 0 ? saved : null,
    peft_type: "LORA",
    r: options.rank,
    rank_pattern: {},
    revision: null,
    target_modules: options.targets,
    task_type: task,
    use_dora: false,
    use_rslora: false,
  };
}

async function* weightsFile(
  engine: Engine,
  start: StartingModel,
  lora: Lora,
  flat: FlatWeights,
): AsyncGenerator<Uint8Array> {
  const values = new Map<string, Float32Array>();
  for await (const [name, own] of readStored(engine, flat, "weights")) values.set(name, own.slice());
  const tensors = tensorsOf(start, lora);
  const source: WritableTensors = {
    name: "adapter",
    tensors: new Map(
      [...tensors].map(([name, { shape }]) => [name, { name, dtype: "F32", shape, elements: sizeOf(shape) }]),
    ),
    async read(called, { offset = 0, count = 0 } = {}) {
      const { name, block } = tensors.get(called)!;
      const whole = values.get(name)!;
      const own = block === undefined ? whole : splitB(lora.layers.get(name)!, lora.options.rank, whole)[block]!;
      return own.slice(offset, offset + count);
    },
    chunks: () => {
      throw new TypeError("what is trained is written as it is");
    },
  };
  yield* writeSafetensors(source, planSafetensors(source, { metadata: { format: "pt" } }));
}

/**
 * Fills what is trained from an adapter of the same options.
 * @throws CheckpointError for a file that is not there, RangeError for tensors of another adapter, before anything is written
 */
export async function restoreAdapter(
  engine: Engine,
  start: Pick<StartingModel, "config" | "heads">,
  lora: Lora,
  flat: FlatWeights,
  folder: Folder,
): Promise<void> {
  const source = await folder.open(ADAPTER_WEIGHTS);
  if (!source) throw new CheckpointError(folder.name, [`${ADAPTER_WEIGHTS} is not there`]);
  const checkpoint = await openCheckpointFile(source);
  try {
    const tensors = tensorsOf(start, lora);
    const faults = [...tensors].flatMap(([called, { shape }]) => {
      const found = checkpoint.tensors.get(called)?.shape.join(", ");
      if (found === shape.join(", ")) return [];
      return [`${called} is ${found === undefined ? "missing" : `[${found}]`}, [${shape.join(", ")}] is trained`];
    });
    if (faults.length > 0) throw new RangeError(`${checkpoint.name}: ${faults.join("; ")}`);
    await fill(engine, lora, flat, tensors, checkpoint);
  } finally {
    await checkpoint.close();
  }
}

async function fill(
  engine: Engine,
  lora: Lora,
  flat: FlatWeights,
  tensors: ReturnType<typeof tensorsOf>,
  checkpoint: Checkpoint,
): Promise<void> {
  const valuesOf = async (wanted: string): Promise<Float32Array<ArrayBuffer>> => {
    const parts: Float32Array<ArrayBuffer>[] = [];
    for (const [called, { name }] of tensors) if (name === wanted) parts.push(await checkpoint.readFloats(called));
    const layer = lora.layers.get(wanted);
    return layer ? joinB(layer, lora.options.rank, parts) : parts[0]!;
  };
  const allocation = engine.allocate(); // for its flushes
  for (const type of ["f32", "f16"] as const) {
    const elements = async function* (names: readonly string[]) {
      for (const name of names) {
        const values = await valuesOf(name);
        yield type === "f16" ? numbersToFloat16(values) : values;
      }
    };
    for (const { into, names } of flat.contents[type]) await streamTable(allocation, into as Table, elements(names));
  }
  await allocation.done();
}
