/** The script of the report, in the browser: draws each figure into its place. */

import { drawInto } from "../../src/page/plots/drawing.ts";
import type { Figure } from "./figures.ts";
import { draw } from "./plots.ts";

for (const place of document.querySelectorAll<HTMLElement>(".plot")) {
  const figure = JSON.parse(place.querySelector("script")!.textContent!) as Figure;
  drawInto(place, (width) => draw(figure, width));
}
