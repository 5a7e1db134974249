/** The script of reports, in the browser: draws each figure into its place. Those of `train` are drawn by it as well. */

import { drawInto } from "../../src/page/plots/drawing.ts";
import { drawTraining } from "../../src/page/plots/training.ts";
import type { TrainingFigure } from "../../src/page/training.ts";
import type { Figure } from "./figures.ts";
import { draw } from "./plots.ts";

for (const place of document.querySelectorAll<HTMLElement>(".plot")) {
  const figure = JSON.parse(place.querySelector("script")!.textContent!) as Figure | TrainingFigure;
  const own = figure.kind === "curves" || figure.kind === "matrix";
  drawInto(place, (width) => (own ? drawTraining(figure, width) : draw(figure, width)));
}
