/** Where a model comes from: the hub, a path of this site, files of this computer. */

import { type Folder, filePath, filesFolder, httpFolder, hubFolder } from "bert-webgpu";

import { MOVIE_BERT, MOVIE_BERT_FILES } from "../model.ts";

export interface Source {
  /** For headings and messages. */
  readonly name: string;
  /** @param signal ends what is read over the network */
  open(signal: AbortSignal): Promise<Folder>;
}

/** @param text `/models/ner` of this site; else `org/name` or `org/name@revision` of the hub */
export function namedSource(text: string): Source {
  const name = text.trim();
  return name.startsWith("/") ? siteSource(name) : hubSource(name);
}

function siteSource(path: string): Source {
  return {
    name: path.replace(/\/+$/, "").replace(/^.*\//, "") || path,
    async open(signal) {
      const url = new URL(path, location.href);
      if (url.origin !== location.origin) throw new RangeError(`${path} is on another site, give a path of this one`);
      const files = url.pathname === MOVIE_BERT ? MOVIE_BERT_FILES : undefined;
      return httpFolder(url, { files, signal });
    },
  };
}

function hubSource(text: string): Source {
  return {
    name: text,
    async open(signal) {
      const [name = "", revision] = text.split("@");
      // only pages of secure origins have a cache, and browsers may refuse it in private windows
      const cache = await globalThis.caches?.open("bert-webgpu-models").catch(() => undefined);
      return hubFolder(name, { revision, cache, signal });
    },
  };
}

/** Weights and what leads to them: these are never mixed with those of another model. */
const WEIGHTS = /\.(safetensors|bin|pt|pth)(\.index\.json)?$/;

/**
 * Files by path. Without a config.json they are weights, and the rest comes from `base`.
 * @throws RangeError when there are no weights among them
 */
export function filesSource(name: string, files: ReadonlyMap<string, Blob>, base: Folder | undefined): Source {
  const weights = [...files.keys()].filter((path) => WEIGHTS.test(path));
  if (weights.length === 0) {
    const found = [...files.keys()].slice(0, 8).join(", ") || "nothing";
    throw new RangeError(`${name} holds no weights (model.safetensors or pytorch_model.bin); found: ${found}`);
  }
  const own = filesFolder(name, renamed(files, weights));
  return { name, open: async () => (files.has("config.json") || !base ? own : overlaid(own, base)) };
}

export function filesByPath(files: Iterable<File>): Map<string, Blob> {
  return new Map(Array.from(files, (file) => [filePath(file), file]));
}

/** Weights in one file may have any name. */
function renamed(files: ReadonlyMap<string, Blob>, weights: readonly string[]): ReadonlyMap<string, Blob> {
  const [path] = weights;
  if (weights.length > 1 || path === undefined || path.endsWith(".json")) return files;
  return new Map([
    ...files,
    [path.endsWith(".safetensors") ? "model.safetensors" : "pytorch_model.bin", files.get(path)!],
  ]);
}

function overlaid(own: Folder, base: Folder): Folder {
  return {
    name: own.name,
    open: async (path) => (await own.open(path)) ?? (WEIGHTS.test(path) ? undefined : base.open(path)),
  };
}
