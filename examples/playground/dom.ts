/** Elements, made and found. */

type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** Attributes as in HTML: `true` has no value, `false` and `undefined` are left out. */
export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Attributes = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...children);
  return made;
}

/** @throws Error when the page has no such element, or one of another kind */
export function byId<Kind extends HTMLElement>(id: string, kind: new () => Kind): Kind {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`the page has no ${kind.name} with id ${id}`);
}

/** What an exception says, for people. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Draws what is drawn in pixels, again for every width that `into` takes; not while it is hidden. */
export function drawToFit(into: HTMLElement, draw: (width: number) => Element): void {
  new ResizeObserver(() => {
    if (into.clientWidth > 0) into.replaceChildren(draw(into.clientWidth));
  }).observe(into);
}
