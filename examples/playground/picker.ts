/** The part of the page that shows the model and loads others. */

import type { Pretrained } from "bert-webgpu";
import type { Loaded } from "./app.ts";
import { byId, element, messageOf } from "./dom.ts";
import { startDrop } from "./drop.ts";
import type { Loader, LoadState, Storage } from "./loader.ts";
import { filesByPath, filesSource, namedSource } from "./sources.ts";

export function startPicker(loader: Loader): void {
  const hubId = byId("hub-id", HTMLInputElement);
  const dtype = byId("dtype", HTMLSelectElement);

  const openFiles = (name: string, files: ReadonlyMap<string, Blob>): void => {
    try {
      loader.open(filesSource(name, files, loader.folder));
    } catch (error) {
      showState({ state: "failed", name, reason: messageOf(error) }, loader.loaded);
    }
  };

  byId("hub-form", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    loader.open(namedSource(hubId.value));
  });
  for (const id of ["folder-input", "file-input"]) {
    const input = byId(id, HTMLInputElement);
    input.addEventListener("change", () => {
      const files = [...(input.files ?? [])];
      const first = files[0];
      if (first) openFiles(first.webkitRelativePath.split("/")[0] || first.name, filesByPath(files));
      input.value = ""; // the same choice again is a change again
    });
  }
  startDrop(byId("drop-hint", HTMLElement), openFiles);
  byId("load-cancel", HTMLButtonElement).addEventListener("click", () => loader.cancel());

  byId("dtype-label", HTMLElement).hidden = !loader.engine.hasF16;
  dtype.addEventListener("change", () => loader.store(dtype.value as Storage));

  loader.onState((state) => {
    showState(state, loader.loaded);
    if (state.state !== "loading") dtype.value = loader.storage;
    if (state.state !== "loaded") return;
    byId("picker", HTMLDetailsElement).open = false;
    byId("model", HTMLElement).dataset.gpuBytes = String(loader.engine.memoryUse.bytes);
  });
  loader.onModel(showModel);
}

function showModel({ name, bert }: Loaded): void {
  byId("model-name", HTMLElement).textContent = name;
  byId("model-facts", HTMLElement).textContent = facts(bert);
  byId("model", HTMLElement).dataset.model = name;
}

function facts({ model }: Pretrained): string {
  const { config, weightBytes, dtype } = model;
  const heads = [
    model.has("predictionLogits") && "masked LM",
    model.has("logits") && `${model.classifierKind} classifier (${labelList(config.labels)})`,
    model.has("seqRelationshipLogits") && "next sentence",
    model.has("spanLogits") && "answer spans",
  ].filter((head) => head !== false);
  return [
    `${config.numHiddenLayers} layers`,
    `${config.hiddenSize} wide`,
    `${config.vocabSize.toLocaleString("en")} word pieces`,
    `${megabytes(weightBytes)} MB in ${dtype}`,
    heads.join(", ") || "no heads",
  ].join(" · ");
}

function labelList(labels: readonly string[]): string {
  return labels.length > 4 ? `${labels.length} labels` : labels.join(", ");
}

function showState(state: LoadState, loaded: Loaded | undefined): void {
  const loading = state.state === "loading";
  byId("loading", HTMLElement).hidden = !loading;
  if (loading) showProgress(state);

  const failure = byId("load-error", HTMLElement);
  failure.hidden = state.state !== "failed";
  if (state.state === "failed") {
    const kept = loaded ? `${loaded.name} stays loaded.` : "No model is loaded.";
    failure.replaceChildren(element("strong", {}, `${state.name} could not be loaded`), `${state.reason}\n${kept}`);
  }
  byId("load-summary", HTMLElement).textContent = loading ? `Loading ${state.name}` : `${state.name}: ${state.state}`;
}

function showProgress({ name, file, loaded, total }: LoadState & { state: "loading" }): void {
  const bar = byId("load-progress", HTMLProgressElement);
  if (total > 0) {
    bar.max = total;
    bar.value = loaded;
  } else bar.removeAttribute("value");
  const amount = total > 0 ? ` ${megabytes(loaded)} of ${megabytes(total)} MB` : "";
  byId("load-text", HTMLElement).textContent = `${name}: ${file || "looking for it"}${amount}`;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
