/** The view of hidden-state norms: how long each token's vector is after each layer. */

import * as Plot from "@observablehq/plot";
import type { Values } from "bert-webgpu";
import { element } from "../dom.ts";
import { drawCells } from "./cells.ts";
import { LONG, type Look, stateName } from "./look.ts";
import { section } from "./parts.ts";
import { numbersTable } from "./table.ts";

export function normsView(root: HTMLElement): (look: Look) => void {
  const view = section(
    root,
    "norms",
    "Hidden-state norms",
    "The length of each token's vector, after the embeddings and after each layer: where a layer changes a token most, its row changes.",
  );
  const map = element("figure");
  const lines = element("figure", { class: "inside-lines" });
  const table = numbersTable("The norms as a table");
  const charts = element("div", { class: "inside-two" }, map, lines);
  view.append(charts, table.element);

  return ({ tokens, hiddenStates }) => {
    const names = tokens.map(({ text }) => text);
    charts.classList.toggle("long", names.length > LONG);
    const rows = hiddenStates.map((_, state) => stateName(state));
    const values = Float64Array.from(hiddenStates.flatMap(normsOf));
    const least = values.reduce((a, b) => Math.min(a, b));
    const most = values.reduce((a, b) => Math.max(a, b));
    const plot = plotLines(values, names.length, rows.length, lines.clientWidth || 440);
    lines.replaceChildren(plot);
    const paths = [...plot.querySelectorAll("[aria-label=line] path")];
    drawCells(map, {
      label: "Norms by layer and token",
      rows,
      columns: names,
      values,
      domain: [least, most],
      hint: `Palest is ${least.toFixed(2)}, strongest ${most.toFixed(2)}. The thick line is the mean of all tokens.`,
      describe: (state, token) =>
        `${names[token]}, ${rows[state]}: ${values[state * names.length + token]!.toFixed(3)}`,
      onVisit(cell) {
        for (const [token, path] of paths.entries()) path.classList.toggle("on", token === cell?.[1]);
      },
    });
    table.show({ rows, columns: names, values });
  };
}

/** Of each row, in float64. */
export function normsOf({ shape, data }: Values): number[] {
  const [rows, size] = shape as [number, number];
  return Array.from({ length: rows }, (_, r) => {
    let sum = 0;
    for (const value of data.subarray(r * size, (r + 1) * size)) sum += value * value;
    return Math.sqrt(sum);
  });
}

/** A thin line per token, then a thick one of their mean. */
function plotLines(values: Float64Array, tokens: number, states: number, width: number): Element {
  const points = Array.from(values, (norm, i) => ({ token: i % tokens, state: Math.floor(i / tokens), norm }));
  return Plot.plot({
    width: Math.min(560, width),
    height: 250,
    marginLeft: 40,
    marginBottom: 40,
    x: {
      ticks: Array.from({ length: states }, (_, i) => i),
      tickFormat: (state: number) => (state === 0 ? "emb." : String(state)),
      label: "layer",
      labelOffset: 36,
    },
    y: { label: "norm", nice: true, grid: true },
    marks: [
      Plot.line(points, { x: "state", y: "norm", z: "token", stroke: "var(--muted)", strokeWidth: 1, sort: "state" }),
      Plot.lineY(
        points,
        Plot.groupX({ y: "mean" }, { x: "state", y: "norm", stroke: "var(--accent)", strokeWidth: 3 }),
      ),
    ],
  });
}
