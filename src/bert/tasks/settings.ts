/** Small files beside a model that only some tasks need: kept as text by whoever loads a model, read by the task. */

import { type Folder, readText } from "../../files/bytes.ts";
import { ModelError } from "../config.ts";
import { type Fields, parseFields } from "../tokenizer/fields.ts";

/** Their texts by path, of those that are there. */
export type Settings = ReadonlyMap<string, string>;

/** Asks only for files that a model of its kind may have. @param modules content of modules.json, "" where there is none */
export async function loadSettings(
  folder: Folder,
  model: { has(output: "tokenEmbeddings"): boolean },
  modules: string,
): Promise<Settings> {
  const paths = [
    ...(model.has("tokenEmbeddings") ? ["artifact.metadata", "config_sentence_transformers.json"] : []),
    ...(modules.includes(SPLADE) ? [SPLADE_CONFIG, "sentence_bert_config.json"] : []),
  ];
  const texts = await Promise.all(paths.map(async (path) => [path, await readText(folder, path)] as const));
  return new Map(texts.flatMap(([path, text]) => (text === undefined ? [] : [[path, text]])));
}

const SPLADE = "SpladePooling";
export const SPLADE_CONFIG = "1_SpladePooling/config.json";

/** @throws ModelError for what `read` finds wrong with the file */
export function readSetting<T>(
  { model, settings }: { readonly model: { readonly name: string }; readonly settings?: Settings | undefined },
  path: string,
  read: (fields: Fields) => T,
): T | undefined {
  const text = settings?.get(path);
  if (text === undefined) return undefined;
  try {
    return read(parseFields(text, path));
  } catch (error) {
    throw new ModelError(model.name, [(error as Error).message]);
  }
}
