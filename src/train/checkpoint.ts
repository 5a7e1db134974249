/**
 * A checkpoint of a run: the model's folder, optimizer.safetensors with the moments, and trainer_state.json. What is read
 * back is what was written, to the bit.
 */

import { MERGED_CONFIG } from "../bert/adapter_file.ts";
import type { HeadName } from "../bert/heads/index.ts";
import { nameTensors } from "../bert/weights.ts";
import type { Folder } from "../files/bytes.ts";
import { openCheckpointFile } from "../files/checkpoint.ts";
import { CheckpointError } from "../files/faults.ts";
import type { Engine } from "../runtime/engine.ts";
import type { Shape } from "../runtime/tensor.ts";
import { adapterFiles, restoreAdapter } from "./adapter_files.ts";
import type { FlatKind, FlatWeights } from "./flat.ts";
import { fillFlat, flatFile, type Naming } from "./flat_file.ts";
import { shapesFor } from "./initial.ts";
import { publishedName, type StartingModel } from "./model_folder.ts";
import type { StoredFile } from "./store.ts";

/** An untied decoder's bias is a tensor of its own to transformers 5, and the head's to those before. */
const weightsOf =
  ({ config: { tieWordEmbeddings: tied }, heads }: Pick<StartingModel, "config" | "heads">): Naming =>
  (name) =>
    name === "cls.predictions.bias" && !tied ? [name, "cls.predictions.decoder.bias"] : [publishedName(name, heads)];
/** Moments as torch calls them; and the f16 copies, which may differ from what another rounding makes of the weights. */
const KINDS: Readonly<Partial<Record<FlatKind, string>>> = { m: "exp_avg", v: "exp_avg_sq", copies: "f16" };
const momentNames =
  (heads: readonly HeadName[]): Naming =>
  (name, kind) => [`${publishedName(name, heads)}.${KINDS[kind]}`];

const momentsOf = ({ parts }: FlatWeights): FlatKind[] => (parts[0]?.copies ? ["m", "v", "copies"] : ["m", "v"]);

/** Whether frozen weights are read once more, to be written as they were: on the GPU they lie in f16. */
export const readsStart = ({ partly }: StartingModel, flat: FlatWeights): boolean =>
  !partly.lora && flat.frozen.length > 0 && momentsOf(flat).includes("copies");

/** The files of a model, or of an adapter, that others and this library load. Read each to its end, in between two steps. */
export async function* modelFiles(engine: Engine, start: StartingModel, flat: FlatWeights): AsyncGenerator<StoredFile> {
  const { config, json, heads, files, kept, checkpoint, partly } = start;
  yield text(partly.lora ? MERGED_CONFIG : "config.json", `${JSON.stringify(json, null, 2)}\n`);
  for (const [path, content] of files) yield text(path, content);
  if (partly.lora) {
    yield* adapterFiles(engine, start, partly.lora, flat);
    return;
  }
  yield {
    path: "model.safetensors",
    bytes: flatFile(engine, flat, shapesFor(config, heads), ["weights"], weightsOf(start), {
      kept,
      readFrozen: (name, range) => checkpoint!.readFloats(nameTensors(checkpoint!, config).stored.get(name)!, range),
    }),
  };
}

/** Those, and what it takes to go on. */
export async function* checkpointFiles(
  engine: Engine,
  start: StartingModel,
  flat: FlatWeights,
  state: string,
): AsyncGenerator<StoredFile> {
  yield* modelFiles(engine, start, flat);
  const shapes = allShapes(start);
  yield {
    path: "optimizer.safetensors",
    bytes: flatFile(engine, flat, shapes, momentsOf(flat), momentNames(start.heads)),
  };
  yield text("trainer_state.json", state);
}

/** @throws CheckpointError for files that are not there, RangeError for tensors of another model */
export async function restoreFlat(
  engine: Engine,
  start: StartingModel,
  flat: FlatWeights,
  folder: Folder,
): Promise<void> {
  const { lora } = start.partly;
  if (lora) await restoreAdapter(engine, start, lora, flat, folder);
  const weights = ["model.safetensors", ["weights"], weightsOf(start)] as const;
  const shapes = allShapes(start);
  for (const [path, kinds, naming] of [
    ...(lora ? [] : [weights]),
    ["optimizer.safetensors", momentsOf(flat), momentNames(start.heads)],
  ] as const) {
    const source = await folder.open(path);
    if (!source) throw new CheckpointError(folder.name, [`${path} is not there`]);
    const checkpoint = await openCheckpointFile(source);
    try {
      await fillFlat(engine, flat, shapes, kinds, naming, checkpoint);
    } finally {
      await checkpoint.close();
    }
  }
}

const allShapes = ({ config, heads, partly }: StartingModel): Map<string, Shape> =>
  new Map([...shapesFor(config, heads), ...(partly.lora?.shapes ?? [])]);

function text(path: string, content: string): StoredFile {
  return { path, bytes: [new TextEncoder().encode(content)] };
}
