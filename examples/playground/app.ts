/** What the panels of the playground share: the engine, and the model that is chosen. */

import type { Engine, Pretrained } from "bert-webgpu";

export interface Loaded {
  readonly bert: Pretrained;
  /** For headings: a folder's name, or `org/name` of the hub. */
  readonly name: string;
}

export interface App {
  readonly engine: Engine;
  /** The model that is chosen; none until the first one has loaded. */
  readonly loaded: Loaded | undefined;
  /**
   * Calls `listener` for every model that is loaded from now on, and at once for one that is. When all have been told, the
   * model before is disposed: what still runs on it fails, and is to be ignored.
   */
  onModel(listener: (loaded: Loaded) => void): void;
  /** Loads a model of the hub (`org/name`) or of this site (`/models/ner`); the picker shows how it goes. */
  load(name: string): void;
}

/** Builds its part of the page inside `root`, once; it follows the model by `app.onModel`. */
export type Panel = (root: HTMLElement, app: App) => void;
