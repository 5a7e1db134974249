/** A matrix as a field of cells, which pointer and arrow keys walk; what lies under them is said in words. */

import * as Plot from "@observablehq/plot";
import { element } from "../dom.ts";
import { rove } from "./rove.ts";
import type { Numbers } from "./table.ts";

export interface Cells extends Numbers {
  /** For screen readers. */
  readonly label: string;
  /** The values of no colour and of full colour. Below zero it is another colour. */
  readonly domain: readonly [number, number];
  /** What is known of a cell. */
  describe(row: number, column: number): string;
  /** Said while no cell is visited. */
  readonly hint: string;
  /** Told of the cell that is visited; of none when it is left. */
  readonly onVisit?: ((cell: readonly [row: number, column: number] | undefined) => void) | undefined;
}

const CELL = { least: 13, most: 30 };
/** Of a character of a label, in CSS pixels. */
const CHARACTER = 6.6;
const LONGEST_LABEL = 14;

/** Draws into `root`, in place of what it held. */
export function drawCells(root: HTMLElement, cells: Cells): void {
  const { rows, columns, values, describe, onVisit } = cells;
  const output = element("output", { class: "inside-readout" }, cells.hint);
  const plot = plotOf(cells, root.clientWidth || 640);
  const scroll = element("div", { class: "inside-scroll", role: "group", "aria-label": cells.label });
  scroll.append(plot);

  const rects = [...plot.querySelectorAll<SVGRectElement>("[aria-label=cell] rect")];
  for (const [i, rect] of rects.entries()) {
    rect.setAttribute("role", "img");
    rect.dataset.value = String(values[i]);
    rect.dataset.row = String(Math.floor(i / columns.length));
    rect.dataset.column = String(i % columns.length);
  }
  const grid = rows.map((_, r) => rects.slice(r * columns.length, (r + 1) * columns.length));
  let at: SVGRectElement | undefined;
  const move = (to: SVGRectElement | undefined): void => {
    at?.classList.remove("at");
    to?.classList.add("at");
    at = to;
  };
  rove(scroll, grid, {
    visit(row, column) {
      const rect = grid[row]![column]!;
      const words = describe(row, column);
      rect.setAttribute("aria-label", words);
      output.value = words;
      move(rect);
      onVisit?.([row, column]);
    },
    leave() {
      output.value = cells.hint;
      move(undefined);
      onVisit?.(undefined);
    },
  });
  root.replaceChildren(scroll, output);
}

function plotOf({ rows, columns, values, domain }: Cells, width: number): Element {
  const left = labelSpace(rows) + 10;
  const top = labelSpace(columns) + 10;
  const size = Math.max(CELL.least, Math.min(CELL.most, Math.floor((width - left - 4) / columns.length)));
  const data = Array.from({ length: rows.length * columns.length }, (_, i) => i);
  const negative = (i: number): boolean => values[i]! < 0;
  return Plot.plot({
    width: left + size * columns.length + 4,
    height: top + size * rows.length + 4,
    marginLeft: left,
    marginTop: top,
    marginRight: 4,
    marginBottom: 4,
    style: { maxWidth: "none", overflow: "visible" },
    padding: 0.06,
    x: {
      domain: [...columns.keys()],
      axis: "top",
      tickFormat: (c: number) => short(columns[c]!),
      tickRotate: -90,
      tickSize: 0,
      label: null,
    },
    y: {
      domain: [...rows.keys()],
      tickFormat: (r: number) => short(rows[r]!),
      tickSize: 0,
      label: null,
    },
    opacity: { type: "linear", domain: [...domain], range: [0.04, 1], clamp: true },
    marks: [
      Plot.cell(data, {
        x: (i: number) => i % columns.length,
        y: (i: number) => Math.floor(i / columns.length),
        fill: (i: number) => (negative(i) ? "var(--bad)" : "var(--accent)"),
        // named, since the scale is passed over where all values are within 0 and 1
        fillOpacity: { value: (i: number) => Math.abs(values[i]!), scale: "opacity" },
      }),
    ],
  });
}

function labelSpace(names: readonly string[]): number {
  return Math.ceil(CHARACTER * Math.max(...names.map((name) => short(name).length)));
}

export function short(name: string): string {
  return name.length > LONGEST_LABEL ? `${name.slice(0, LONGEST_LABEL - 1)}…` : name;
}
