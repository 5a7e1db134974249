/** The view of similarity: how alike the tokens' vectors are after a layer. */

import { cosine, type Values } from "bert-webgpu";
import { element } from "../dom.ts";
import { drawCells } from "./cells.ts";
import { type Look, stateName } from "./look.ts";
import { offer, section, select } from "./parts.ts";
import { numbersTable } from "./table.ts";

export function similarityView(root: HTMLElement): (look: Look) => void {
  const view = section(
    root,
    "similarity",
    "Similarity between tokens",
    "The cosine between the tokens' vectors after a layer: 1 is the same direction, 0 none in common, and less than 0 (in red) apart.",
  );
  const layers = select("state", "After");
  const map = element("figure");
  const table = numbersTable("The cosines as a table");
  view.append(element("div", { class: "inside-fields" }, layers.label), map, table.element);
  let shown: Look | undefined;

  const draw = (): void => {
    if (!shown) return;
    const state = Number(layers.field.value);
    const names = shown.tokens.map(({ text }) => text);
    const values = cosinesOf(shown.hiddenStates[state]!);
    view.dataset.state = String(state);
    drawCells(map, {
      label: `Cosines after ${stateName(state)}`,
      rows: names,
      columns: names,
      values,
      domain: [0, 1],
      hint: "Point at a cell, or walk with the arrow keys. Full colour is 1.",
      describe: (a, b) => `${names[a]} and ${names[b]}: ${values[a * names.length + b]!.toFixed(3)}`,
    });
    table.show({ rows: names, columns: names, values });
  };
  layers.field.addEventListener("change", draw);

  return (look) => {
    const first = shown?.layers !== look.layers;
    shown = look;
    offer(
      layers.field,
      look.hiddenStates.map((_, state) => [String(state), stateName(state)]),
    );
    if (first) layers.field.value = String(look.layers);
    draw();
  };
}

/** [rows, rows], in float64. */
function cosinesOf({ shape, data }: Values): Float64Array {
  const [rows, size] = shape as [number, number];
  const vectors = Array.from({ length: rows }, (_, r) => data.subarray(r * size, (r + 1) * size));
  return Float64Array.from(vectors.flatMap((a) => vectors.map((b) => cosine(a, b))));
}
