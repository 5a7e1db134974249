/** All heads of all layers as thumbnails on one canvas, under a grid of buttons that choose one. */

import { element } from "../dom.ts";
import type { Look } from "./look.ts";
import { rove } from "./rove.ts";
import { entropyOf, type Head, weightsOf } from "./weights.ts";

export interface Overview {
  readonly element: HTMLElement;
  show(look: Look): void;
  mark(layer: number, head: Head): void;
}

/** Layers and heads are counted from 0. */
export function headsOverview(onChoose: (layer: number, head: number) => void): Overview {
  const place = element("div", { class: "inside-overview" });
  let shown: { look: Look; canvas: HTMLCanvasElement; buttons: readonly (readonly HTMLButtonElement[])[] } | undefined;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    if (shown) paint(shown.canvas, shown.look);
  });
  return {
    element: place,
    show(look) {
      const { layers, heads, tokens } = look;
      const buttons = Array.from({ length: layers }, (_, layer) =>
        Array.from({ length: heads }, (_, head) => {
          const entropy = entropyOf(weightsOf(look.attentions[layer]!, head), tokens.length);
          const name = `Layer ${layer + 1}, head ${head + 1}: entropy ${entropy.toFixed(2)} bits`;
          const button = element("button", {
            type: "button",
            role: "gridcell",
            class: "inside-head",
            title: name,
            "aria-label": name,
            "data-layer": String(layer + 1),
            "data-head": String(head + 1),
            "data-entropy": String(entropy),
          });
          button.style.gridArea = `${layer + 1} / ${head + 2}`;
          button.addEventListener("click", () => onChoose(layer, head));
          return button;
        }),
      );
      const canvas = element("canvas", { "aria-hidden": "true" });
      const grid = element("div", { class: "inside-heads", role: "grid", "aria-label": "Layers and heads" }, canvas);
      grid.style.setProperty("--heads", String(heads));
      grid.style.setProperty("--layers", String(layers));
      for (const [layer, row] of buttons.entries()) {
        const name = element("span", { role: "rowheader" }, String(layer + 1));
        name.style.gridArea = `${layer + 1} / 1`;
        grid.append(element("div", { role: "row" }, name, ...row));
      }
      rove(grid, buttons, {
        visit(layer, head, how) {
          if (how === "key") onChoose(layer, head);
        },
      });
      place.replaceChildren(grid);
      shown = { look, canvas, buttons };
      paint(canvas, look);
    },
    mark(layer, head) {
      for (const [l, row] of (shown?.buttons ?? []).entries()) {
        for (const [h, button] of row.entries()) {
          button.setAttribute("aria-selected", String(l === layer && h === head));
          button.tabIndex = l === layer && h === (typeof head === "number" ? head : 0) ? 0 : -1;
        }
      }
    },
  };
}

/** One pixel a weight, as the opacity of the style sheet's colour; the style sheet scales it up. */
function paint(canvas: HTMLCanvasElement, { layers, heads, tokens, attentions }: Look): void {
  const n = tokens.length;
  canvas.width = heads * n;
  canvas.height = layers * n;
  canvas.style.imageRendering = n < 32 ? "pixelated" : "auto"; // a small thumbnail would leave out whole rows
  const context = canvas.getContext("2d")!;
  const pixels = context.createImageData(canvas.width, canvas.height);
  for (let layer = 0; layer < layers; layer++) {
    for (let head = 0; head < heads; head++) {
      const weights = weightsOf(attentions[layer]!, head);
      const most = weights.reduce((a, b) => Math.max(a, b), 0);
      for (const [i, weight] of weights.entries()) {
        const x = head * n + (i % n);
        const y = layer * n + Math.floor(i / n);
        pixels.data[4 * (y * canvas.width + x) + 3] = (255 * weight) / most;
      }
    }
  }
  context.putImageData(pixels, 0, 0);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = getComputedStyle(canvas).color;
  context.fillRect(0, 0, canvas.width, canvas.height);
}
