/** What the task panels share: results that follow the input, one request at a time, and words for a model that cannot. */

import type { Pretrained, TaskOptions } from "bert-webgpu";
import type { App, Loaded } from "../app.ts";
import { element, messageOf } from "../dom.ts";

export interface Task<Result> {
  readonly title: string;
  /** A sentence on what it does. */
  readonly lead: string;
  /** The fields to fill in. */
  readonly fields: readonly HTMLElement[];
  /** What a model must have, e.g. "a masked-LM head". */
  readonly needs: string;
  supports(bert: Pretrained): boolean;
  /** Models of the hub that can do it. */
  readonly suggestions: readonly string[];
  /** Told of a model that can, before anything runs on it. */
  onModel?(loaded: Loaded): void;
  /** Why there is nothing to compute yet, as a hint for the user. */
  lacks?(loaded: Loaded): string | undefined;
  /** @param options for whatever is asked of the model; what they are told stands beside the answer */
  run(loaded: Loaded, options: TaskOptions): Promise<Result>;
  /** Fills `output`. @returns a summary, which is read out */
  show(result: Result, output: HTMLElement, loaded: Loaded): string;
}

/** Milliseconds without a key pressed. */
const PAUSE = 150;

/** Builds the panel. @returns runs the task again, as after a change by script */
export function taskPanel<Result>(root: HTMLElement, app: App, task: Task<Result>): () => void {
  const took = element("span", { class: "muted small took" });
  const summary = element("p", { class: "visually-hidden", "aria-live": "polite", "data-summary": true });
  const hint = element("p", { class: "muted", role: "status", hidden: true });
  const failure = element("div", { class: "error", role: "alert", hidden: true });
  const output = element("div", { class: "results", "data-results": true });
  const warning = element("div", { class: "notice", role: "status", "data-warning": true, hidden: true });
  const missing = element("div", { class: "notice", "data-missing-head": true, hidden: true });
  const fields = element("div", { class: "task" }, ...task.fields);
  root.append(
    element(
      "div",
      { class: "card task" },
      element(
        "div",
        { class: "task-head" },
        element("div", { class: "row" }, element("h2", {}, task.title), took),
        element("p", { class: "muted" }, task.lead),
      ),
      missing,
      fields,
      hint,
      failure,
      warning,
      output,
      summary,
    ),
  );

  let timer: ReturnType<typeof setTimeout> | undefined;
  let request = new AbortController();

  const renew = (): AbortController => {
    clearTimeout(timer);
    request.abort();
    root.ariaBusy = "false";
    request = new AbortController();
    return request;
  };

  async function run(): Promise<void> {
    const { signal } = renew();
    const { loaded } = app;
    if (!loaded || !task.supports(loaded.bert)) return;
    const lacks = task.lacks?.(loaded);
    hint.hidden = lacks === undefined;
    failure.hidden = true;
    warning.hidden = true;
    if (lacks !== undefined) {
      hint.textContent = lacks;
      output.replaceChildren();
      took.textContent = "";
      return;
    }
    root.ariaBusy = "true";
    const begin = performance.now();
    try {
      const warnings = new Set<string>();
      const result = await task.run(loaded, { signal, onWarning: (message) => void warnings.add(message) });
      if (signal.aborted) return;
      warning.replaceChildren(...[...warnings].map((message) => element("p", {}, message)));
      warning.hidden = warnings.size === 0;
      const milliseconds = performance.now() - begin;
      took.textContent = `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
      took.dataset.ms = String(milliseconds);
      summary.textContent = task.show(result, output, loaded);
    } catch (error) {
      if (signal.aborted) return; // of a model or an input that is no longer asked about
      failure.replaceChildren(element("strong", {}, "That did not work"), messageOf(error));
      failure.hidden = false;
      output.replaceChildren();
    }
    root.ariaBusy = "false";
  }

  fields.addEventListener("input", () => {
    renew();
    timer = setTimeout(run, PAUSE);
  });
  app.onModel((loaded) => {
    renew();
    const able = task.supports(loaded.bert);
    missing.hidden = able;
    fields.hidden = !able;
    if (able) {
      task.onModel?.(loaded);
      run();
      return;
    }
    hint.hidden = true;
    failure.hidden = true;
    warning.hidden = true;
    took.textContent = "";
    output.replaceChildren();
    missing.replaceChildren(...missingHead(loaded.name, task, app));
  });
  return run;
}

function missingHead(
  name: string,
  { needs, suggestions }: Pick<Task<unknown>, "needs" | "suggestions">,
  app: App,
): Node[] {
  return [
    element("p", {}, element("strong", {}, name), ` cannot do this: it takes ${needs}, which its checkpoint lacks.`),
    element("p", { class: "muted" }, "Models of the hub that can:"),
    suggestionRow(suggestions, app),
  ];
}

/** Buttons that load a model of the hub. */
export function suggestionRow(names: readonly string[], app: App): HTMLElement {
  const buttons = names.map((name) => {
    const button = element("button", { type: "button", "data-load": name }, name);
    button.addEventListener("click", () => app.load(name));
    return button;
  });
  return element("div", { class: "row tight" }, ...buttons);
}

/** A label above its control. */
export function field(label: string, control: HTMLElement, note = ""): HTMLElement {
  const words = [label, ...(note ? [" ", element("span", { class: "muted small" }, note)] : [])];
  return element("div", { class: "field" }, element("label", { for: control.id }, ...words), control);
}

/** A button that puts the next example in place. */
export function exampleButton<Example>(examples: readonly Example[], use: (example: Example) => void): HTMLElement {
  let at = 0;
  use(examples[0]!);
  const button = element("button", { type: "button" }, "Next example");
  button.addEventListener("click", () => {
    at = (at + 1) % examples.length;
    use(examples[at]!);
    button.dispatchEvent(new Event("input", { bubbles: true }));
  });
  return button;
}
