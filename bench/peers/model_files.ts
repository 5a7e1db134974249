/** A model as files that every peer can read: config.json, model.safetensors and onnx/model.onnx of the same weights. */

import { mkdir, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { openModel } from "../../src/bert/model.ts";
import { nameTensors } from "../../src/bert/weights.ts";
import type { Folder } from "../../src/files/bytes.ts";
import { onnxFile } from "./onnx.ts";
import { bertGraph } from "./onnx_bert.ts";

/** Bytes of a copied file that are held at once. */
const SLICE = 16 << 20;

/** @param onnx whether to write model.onnx */
export async function writeModelFiles(folder: Folder, target: string, onnx = true): Promise<void> {
  for (const name of ["config.json", "model.safetensors"]) {
    const source = await folder.open(name);
    if (!source) throw new Error(`${folder.name} has no ${name}`);
    await writeFileInPieces(join(target, name), async function* () {
      for (let at = 0; at < source.size; at += SLICE) yield await source.read(at, Math.min(SLICE, source.size - at));
    });
    await source.close();
  }
  if (!onnx) return;
  const { config, checkpoint } = await openModel(folder);
  try {
    const { stored, shapes } = nameTensors(checkpoint, config);
    const graph = await bertGraph(config, async (name) => ({
      shape: shapes.get(name)!,
      data: await checkpoint.readFloats(stored.get(name)!),
    }));
    await writeFileInPieces(join(target, "onnx", "model.onnx"), async function* () {
      yield* onnxFile(graph);
    });
  } finally {
    await checkpoint.close();
  }
}

async function writeFileInPieces(path: string, pieces: () => AsyncIterable<Uint8Array>): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const file = await open(path, "w");
  try {
    for await (const piece of pieces()) await file.writeFile(piece); // from the current position on
  } finally {
    await file.close();
  }
}
