/** What plots of a report have in common. In the page alone: Observable Plot is in its script, and in nothing else. */

import * as Plot from "@observablehq/plot";

export type Drawing = readonly Element[];

/** Below it there is no room for names beside dots. */
export const NARROW = 560;
const COLOURS = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => `var(--c${n})`);
/** Labels are placed by it. */
export const STYLE = "font-size: 11px";
export const TIP: Plot.TipOptions = { anchor: "top", lineHeight: 1.3 };

/**
 * Draws into a place on a page when it has a width, and again when that changes.
 * @returns a function that ends it, before the place is given to another plot
 */
export function drawInto(place: HTMLElement, drawing: (width: number) => Drawing): () => void {
  let drawn = 0;
  // reports once when it begins, which is the first drawing
  const observer = new ResizeObserver(() => {
    const width = Math.floor(place.clientWidth);
    if (width === 0 || width === drawn) return;
    drawn = width;
    // in the next frame: a new height must not answer the observer from inside itself
    requestAnimationFrame(() => place.replaceChildren(...drawing(width)));
  });
  observer.observe(place);
  return () => observer.disconnect();
}

/** A colour for each group. */
export function colours(groups: readonly string[]): Plot.ScaleOptions {
  return { type: "ordinal", domain: [...groups], range: groups.map((_, i) => COLOURS[i % COLOURS.length]!) };
}

export function legend(groups: readonly string[]): Element {
  return Plot.legend({ color: colours(groups) });
}

/** Three digits, without an exponent or idle zeros. */
export function plain(value: number): string {
  return value >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

export function distinct<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
