/** Attention as arcs from the tokens that look, on the left, to those looked at, on the right. */

import * as Plot from "@observablehq/plot";
import { element } from "../dom.ts";
import { short } from "./cells.ts";
import { LONG } from "./look.ts";
import { rove } from "./rove.ts";

/** Of the strongest weight. Fainter arcs are left out: they could not be seen, and cost as much to draw. */
const FAINTEST = 0.05;
const NAMED = 5;
/** Of a token, in CSS pixels. */
const ROW = { few: 22, many: 15 };
const HINT = "Point at a token, or walk with the arrow keys, to see its arcs alone.";

interface Arc {
  readonly from: number;
  readonly to: number;
  readonly weight: number;
}

/** Draws `weights` [tokens, tokens] into `root`, in place of what it held. */
export function drawArcs(root: HTMLElement, tokens: readonly string[], weights: Float32Array): void {
  const n = tokens.length;
  const strongest = weights.reduce((a, b) => Math.max(a, b), 0);
  const arcs = Array.from(weights, (weight, i): Arc => ({ from: Math.floor(i / n), to: i % n, weight })).filter(
    ({ weight }) => weight >= FAINTEST * strongest,
  );
  const plot = plotOf(tokens, arcs, strongest, Math.min(440, root.clientWidth || 440));
  const output = element("output", { class: "inside-readout" }, HINT);
  const scroll = element("div", { class: "inside-arcs", role: "group", "aria-label": "Arcs between tokens" }, plot);

  const paths = [...plot.querySelectorAll<SVGElement>("[aria-label=link] path")];
  for (const [i, path] of paths.entries()) {
    path.dataset.from = String(arcs[i]!.from);
    path.dataset.to = String(arcs[i]!.to);
    path.dataset.weight = String(arcs[i]!.weight);
  }
  const [left, right] = [...plot.querySelectorAll("[aria-label=text]")].map((group) => [
    ...group.querySelectorAll<SVGElement>("text"),
  ]);
  const grid = tokens.map((_, i) => [left![i]!, right![i]!]);
  for (const text of grid.flat()) text.setAttribute("role", "img");
  rove(scroll, grid, {
    visit(token, side) {
      const words = describe(tokens, weights, token, side === 0);
      grid[token]![side]!.setAttribute("aria-label", words);
      output.value = words;
      scroll.classList.add("only");
      const own = arcs.filter(({ from, to }) => (side === 0 ? from : to) === token);
      const most = Math.max(...own.map(({ weight }) => weight));
      for (const [i, path] of paths.entries()) {
        const on = own.includes(arcs[i]!);
        path.classList.toggle("on", on);
        path.style.strokeOpacity = on ? String(arcs[i]!.weight / most) : ""; // alone, the faint ones can be seen
      }
    },
    leave() {
      output.value = HINT;
      scroll.classList.remove("only");
      for (const path of paths) path.style.strokeOpacity = "";
    },
  });
  root.replaceChildren(scroll, output);
}

function plotOf(tokens: readonly string[], arcs: readonly Arc[], strongest: number, width: number): Element {
  const n = tokens.length;
  const row = n > LONG ? ROW.many : ROW.few;
  const margin = Math.min(width / 3, 16 + 7 * Math.max(...tokens.map((token) => short(token).length)));
  const column = (x: number, textAnchor: "start" | "end"): Plot.Markish =>
    Plot.text(tokens, {
      x: () => x,
      y: (_, i) => i,
      text: short,
      textAnchor,
      dx: x === 0 ? -8 : 8,
      fontSize: 12,
    });
  return Plot.plot({
    width,
    height: n * row + 8,
    marginLeft: margin,
    marginRight: margin,
    marginTop: 4 + row / 2,
    marginBottom: 4 + row / 2,
    axis: null,
    x: { domain: [0, 1] },
    y: { domain: [0, Math.max(1, n - 1)], reverse: true },
    opacity: { type: "linear", domain: [0, strongest], range: [0, 1] },
    marks: [
      Plot.link(arcs, {
        x1: () => 0,
        x2: () => 1,
        y1: "from",
        y2: "to",
        curve: "bump-x",
        stroke: "var(--accent)",
        strokeOpacity: { value: "weight", scale: "opacity" },
        strokeWidth: ({ weight }: Arc) => 0.75 + 2.5 * weight,
      }),
      column(0, "end"),
      column(1, "start"),
    ],
  });
}

function describe(tokens: readonly string[], weights: Float32Array, token: number, looks: boolean): string {
  const n = tokens.length;
  const others = tokens
    .map((name, other) => ({ name, weight: weights[looks ? token * n + other : other * n + token]! }))
    .sort((a, b) => b.weight - a.weight)
    .slice(0, NAMED)
    .map(({ name, weight }) => `${name} ${weight.toFixed(2)}`);
  return `${tokens[token]} ${looks ? "looks at" : "is looked at by"} ${others.join(", ")}`;
}
