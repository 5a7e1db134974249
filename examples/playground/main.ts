/** The playground: one engine, one model at a time, and a panel for each thing to do with it. */

import { Engine, NoWebGpuError } from "bert-webgpu";
import { MOVIE_BERT } from "../model.ts";
import type { App, Panel } from "./app.ts";
import { benchPanel } from "./bench/panel.ts";
import { byId, element, messageOf } from "./dom.ts";
import { insidePanel } from "./inside/panel.ts";
import { createLoader } from "./loader.ts";
import { machinePanel } from "./machine/panel.ts";
import { startPicker } from "./picker.ts";
import { namedSource } from "./sources.ts";
import { startTabs } from "./tabs.ts";
import { answerPanel } from "./tasks/answer.ts";
import { classifyPanel } from "./tasks/classify.ts";
import { comparePanel } from "./tasks/compare.ts";
import { fillMaskPanel } from "./tasks/fill_mask.ts";
import { tagPanel } from "./tasks/tag.ts";

const PANELS: Readonly<Record<string, Panel>> = {
  fill: fillMaskPanel,
  classify: classifyPanel,
  tag: tagPanel,
  answer: answerPanel,
  compare: comparePanel,
  inside: insidePanel,
  machine: machinePanel,
  bench: benchPanel,
};

const engine = await Engine.create().catch(explain);
if (engine) start(engine);

/** What to do where there is nothing to compute with. */
function explain(error: unknown): undefined {
  byId("app", HTMLElement).hidden = true;
  byId("adapter", HTMLElement).textContent = error instanceof NoWebGpuError ? "No WebGPU" : "No GPU";
  byId("no-webgpu-reason", HTMLElement).textContent = messageOf(error);
  byId("no-webgpu", HTMLElement).hidden = false;
}

function start(engine: Engine): void {
  const { name, software } = engine.adapter;
  byId("adapter", HTMLElement).textContent = software ? `${name}: no GPU, computed by the CPU` : name;
  const loader = createLoader(engine);
  startPicker(loader);
  startTabs(document.querySelector<HTMLElement>("[role=tablist]")!, (id, root) => mount(root, PANELS[id], loader));
  loader.open(namedSource(new URLSearchParams(location.search).get("model") ?? MOVIE_BERT));
}

/** A panel that cannot be built takes nothing else with it. */
function mount(root: HTMLElement, panel: Panel | undefined, app: App): void {
  try {
    panel?.(root, app);
  } catch (error) {
    root.append(element("p", { class: "error", role: "alert" }, messageOf(error)));
    reportError(error);
  }
}
