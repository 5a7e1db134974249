/** The script of the report, in the browser: draws each figure into its place, again when the width changes. */

import type { Figure } from "./figures.ts";
import { draw } from "./plots.ts";

for (const place of document.querySelectorAll<HTMLElement>(".plot")) {
  const figure = JSON.parse(place.querySelector("script")!.textContent!) as Figure;
  let drawn = 0;
  // reports once when it begins, which is the first drawing
  new ResizeObserver(() => {
    const width = Math.floor(place.clientWidth);
    if (width === 0 || width === drawn) return;
    drawn = width;
    // in the next frame: a new height must not answer the observer from inside itself
    requestAnimationFrame(() => place.replaceChildren(...draw(figure, width)));
  }).observe(place);
}
