/** The model of the page: loads one after another, tells the panels, and disposes of the one before. */

import { type Engine, type Folder, loadPretrained } from "bert-webgpu";
import type { App, Loaded } from "./app.ts";
import { messageOf } from "./dom.ts";
import { namedSource, type Source } from "./sources.ts";

export type Storage = "f32" | "f16";

export type LoadState =
  | {
      readonly state: "loading";
      readonly name: string;
      /** The one that is being read. */
      readonly file: string;
      /** Bytes of the weights; `total` is 0 until it is known. */
      readonly loaded: number;
      readonly total: number;
    }
  | { readonly state: "loaded"; readonly name: string }
  | { readonly state: "cancelled"; readonly name: string }
  | { readonly state: "failed"; readonly name: string; readonly reason: string };

export interface Loader extends App {
  /** Files of the model that is loaded. */
  readonly folder: Folder | undefined;
  readonly storage: Storage;
  /** Ends a load that is under way, and never throws: what came of it is told to `onState`. */
  open(source: Source, storage?: Storage): Promise<void>;
  /** Loads the same model again, stored otherwise. */
  store(storage: Storage): Promise<void>;
  cancel(): void;
  onState(listener: (state: LoadState) => void): void;
}

interface Current {
  readonly loaded: Loaded;
  readonly source: Source;
  readonly folder: Folder;
  readonly storage: Storage;
}

export function createLoader(engine: Engine): Loader {
  const listeners: ((loaded: Loaded) => void)[] = [];
  const watchers: ((state: LoadState) => void)[] = [];
  let current: Current | undefined;
  let running: AbortController | undefined;

  const report = (state: LoadState): void => {
    for (const watcher of watchers) watcher(state);
  };

  async function open(source: Source, storage: Storage = current?.storage ?? "f32"): Promise<void> {
    running?.abort();
    const own = new AbortController();
    running = own;
    const { name } = source;
    const { signal } = own;
    const progress = { state: "loading" as const, name, file: "", loaded: 0, total: 0 };
    const say = (change: Partial<typeof progress>): void => {
      if (running === own) report({ ...Object.assign(progress, change) });
    };
    say({});
    try {
      const folder = await source.open(signal);
      const bert = await loadPretrained(
        engine,
        watched(folder, signal, (file) => say({ file })),
        { dtype: storage, signal, onProgress: ({ loaded, total }) => say({ loaded, total }) },
      );
      if (signal.aborted) {
        bert.model.dispose();
        signal.throwIfAborted();
      }
      replace({ loaded: { bert, name }, source, folder, storage });
    } catch (error) {
      if (running !== own) return; // another load took its place
      running = undefined;
      report(signal.aborted ? { state: "cancelled", name } : { state: "failed", name, reason: messageOf(error) });
    }
  }

  function replace(next: Current): void {
    const before = current;
    current = next;
    running = undefined;
    for (const listener of listeners) tell(listener, next.loaded);
    before?.loaded.bert.model.dispose();
    report({ state: "loaded", name: next.loaded.name });
  }

  return {
    engine,
    get loaded() {
      return current?.loaded;
    },
    get folder() {
      return current?.folder;
    },
    get storage() {
      return current?.storage ?? "f32";
    },
    onModel(listener) {
      listeners.push(listener);
      if (current) listener(current.loaded);
    },
    onState: (listener) => void watchers.push(listener),
    load: (name) => void open(namedSource(name)),
    open,
    store: async (storage) => current && open(current.source, storage),
    cancel: () => running?.abort(),
  };
}

/** A panel that fails keeps nothing from the others. */
function tell(listener: (loaded: Loaded) => void, loaded: Loaded): void {
  try {
    listener(loaded);
  } catch (error) {
    reportError(error);
  }
}

/** Says which file is read, and reads nothing more once the signal is aborted. */
function watched(folder: Folder, signal: AbortSignal, onFile: (path: string) => void): Folder {
  return {
    name: folder.name,
    async open(path) {
      signal.throwIfAborted();
      onFile(path);
      const source = await folder.open(path);
      return (
        source && {
          ...source,
          read(offset, length) {
            signal.throwIfAborted();
            onFile(path);
            return source.read(offset, length);
          },
        }
      );
    },
  };
}
