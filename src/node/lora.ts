/** LoRA adapters in Node, by a path or a name of the hub: `loadAdapter`, and a look at one before its base is loaded. */

import { stat } from "node:fs/promises";
import { type AdapterOptions as LoadOptions, loadAdapter as loadFrom } from "../bert/adapter.ts";
import { openAdapter } from "../bert/adapter_file.ts";
import type { BertModel } from "../bert/model.ts";
import type { Pretrained } from "../bert/tasks/pretrained.ts";
import type { Folder } from "../files/bytes.ts";
import { requireKnown } from "../files/options.ts";
import { type ResolveAdapterOptions, resolveAdapter } from "./hub/resolve.ts";

export interface AdapterOptions extends LoadOptions {
  /** Of an adapter of the hub: revision, token, progress of the download and the like. */
  readonly hub?: ResolveAdapterOptions | undefined;
}

/**
 * As `loadAdapter` of `bert-webgpu`, with adapters of disks and of the hub's cache.
 * @param adapter a path, `org/name[@revision]` of the hub, or a folder
 * @throws as `loadAdapter` and `resolveAdapter`
 */
export function loadAdapter(base: BertModel, adapter: string | Folder, options?: AdapterOptions): Promise<BertModel>;
export function loadAdapter(base: Pretrained, adapter: string | Folder, options?: AdapterOptions): Promise<Pretrained>;
export async function loadAdapter(
  base: BertModel | Pretrained,
  adapter: string | Folder,
  options: AdapterOptions = {},
): Promise<BertModel | Pretrained> {
  requireKnown("loadAdapter", options, { disposeBase: 1, hub: 1 });
  const { hub, ...rest } = options;
  const folder = typeof adapter === "string" ? await resolveAdapter(adapter, hub) : adapter;
  return loadFrom(base as BertModel, folder, rest);
}

/**
 * Looks at an adapter before its base is loaded.
 * @param onWarning told where adapter and base are both of the hub, and the adapter names another one
 * @throws as `openAdapter`
 */
export async function checkAdapter(
  adapter: Folder,
  base: Folder,
  onWarning?: (message: string) => void,
): Promise<void> {
  const { checkpoint, base: named } = await openAdapter(adapter);
  await checkpoint.close();
  const model = base.name.replace(/@.*/, "");
  const ofHub = [model, named].every((name) => name !== undefined && /^[\w.-]+\/[\w.-]+$/.test(name));
  if (!ofHub || lastOf(model) === lastOf(named!) || (await stat(base.name).catch(() => undefined))) return;
  onWarning?.(`${adapter.name}: it was trained over ${named}, the model is ${base.name}`);
}

const lastOf = (name: string): string => name.toLowerCase().split("/").at(-1)!;
