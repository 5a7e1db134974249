/** What the views are made of. */

import { element } from "../dom.ts";

/** A view's part of the page: a heading, and a sentence that says what is seen. */
export function section(root: HTMLElement, view: string, heading: string, sentence: string): HTMLElement {
  const id = `inside-${view}`;
  const made = element(
    "section",
    { class: "card inside-view", "data-view": view, "aria-labelledby": id },
    element("h2", { id }, heading),
    element("p", { class: "muted" }, sentence),
  );
  root.append(made);
  return made;
}

/** A labelled select, without options yet. */
export function select(name: string, label: string): { label: HTMLLabelElement; field: HTMLSelectElement } {
  const field = element("select", { name });
  return { label: element("label", {}, label, field), field };
}

/** Keeps what is chosen where it is still offered. */
export function offer(field: HTMLSelectElement, options: readonly (readonly [value: string, name: string])[]): void {
  const chosen = field.value;
  field.replaceChildren(...options.map(([value, name]) => element("option", { value }, name)));
  if (options.some(([value]) => value === chosen)) field.value = chosen;
}
