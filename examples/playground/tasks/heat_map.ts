/** A square of cells, the darker the more alike. */

import * as Plot from "@observablehq/plot";
import { drawToFit, element } from "../dom.ts";

interface Cell {
  readonly row: number;
  readonly column: number;
  readonly value: number;
}

/** Sentences up to which cells show their numbers, and sentences up to which they stand beside their rows. */
const LABELLED = 12;
const NAMED = 32;

/** Pixels from which there is room for sentences. */
const WIDE = 560;

/** @param matrix [sentences, sentences] */
export function heatMap(sentences: readonly string[], matrix: readonly (readonly number[])[]): HTMLElement {
  const cells = matrix.flatMap((values, row) => values.map((value, column) => ({ row, column, value })));
  const figure = element("div", {
    class: "heat",
    role: "img",
    "aria-label": "Similarities; the table below has the numbers",
  });
  drawToFit(figure, (width) => draw(sentences, cells, width));
  return figure;
}

function draw(sentences: readonly string[], cells: readonly Cell[], width: number): Element {
  const count = sentences.length;
  const names = count <= NAMED && width > WIDE ? Math.min(280, width * 0.35) : 28;
  const right = 8;
  const size = Math.min(width - names - right, Math.max(320, Math.min(64 * count, 720)));
  const values = cells.map(({ value }) => value);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const share = (value: number): number => (most > least ? (value - least) / (most - least) : 1);
  const cell = size / count;
  const letters = Math.floor(names / 7.2);
  const domain = sentences.map((_, i) => i);
  const padding = 0.04;
  const ticks = domain.filter((i) => cell >= 20 || i === 0 || (i + 1) % 5 === 0);
  return Plot.plot({
    width: names + size + right,
    height: size + 24,
    marginLeft: names,
    marginTop: 24,
    marginRight: right,
    marginBottom: 0,
    style: { fontSize: "13px" },
    x: {
      axis: "top",
      label: null,
      tickSize: 0,
      domain,
      ticks,
      tickFormat: (i: number) => `${i + 1}`,
      padding,
    },
    y: {
      label: null,
      tickSize: 0,
      domain,
      ticks,
      tickFormat: (i: number) => (names > 28 ? shortened(`${i + 1}  ${sentences[i]}`, letters) : `${i + 1}`),
      padding,
    },
    opacity: { domain: [0, 1] },
    marks: [
      Plot.cell(cells, {
        x: "column",
        y: "row",
        fill: "var(--accent)",
        fillOpacity: (d: Cell) => 0.06 + 0.94 * share(d.value),
        rx: cell >= 20 ? 3 : 1,
      }),
      ...(count <= LABELLED && cell >= 30
        ? [
            Plot.text(cells, {
              x: "column",
              y: "row",
              text: (d: Cell) => d.value.toFixed(2),
              fill: (d: Cell) => textOn(share(d.value)),
            }),
          ]
        : []),
      Plot.tip(
        cells,
        Plot.pointer({
          x: "column",
          y: "row",
          title: ({ row, column, value }: Cell) =>
            width > WIDE
              ? `${sentences[row]}\n${sentences[column]}\n${value.toFixed(4)}`
              : `${row + 1} and ${column + 1}: ${value.toFixed(4)}`,
        }),
      ),
    ],
  });
}

/** On the accent, on nearly none of it, and between: there it depends on the theme. */
function textOn(share: number): string {
  if (share > 0.9) return "var(--on-accent)";
  return share > 0.58 ? "var(--on-mid)" : "var(--text)";
}

function shortened(text: string, letters: number): string {
  return text.length > letters ? `${text.slice(0, letters - 1).trimEnd()}…` : text;
}
