/** The view of attention: a layer and a head, chosen by name or in the overview, as a matrix and as arcs. */

import { element } from "../dom.ts";
import { drawArcs } from "./arcs.ts";
import { drawCells } from "./cells.ts";
import { LONG, type Look } from "./look.ts";
import { headsOverview } from "./overview.ts";
import { offer, section, select } from "./parts.ts";
import { numbersTable } from "./table.ts";
import { entropyOf, type Head, weightsOf } from "./weights.ts";

export function attentionView(root: HTMLElement): (look: Look) => void {
  const view = section(
    root,
    "attention",
    "Attention",
    "How much each token (a row, or on the left) takes from each other token (a column, or on the right). The weights of a row sum to 1. Thumbnails: a row per layer, a column per head.",
  );
  const layers = select("layer", "Layer");
  const heads = select("head", "Head");
  const about = element("p", { class: "inside-about muted" });
  const matrix = element("figure", { class: "inside-matrix" });
  const arcs = element("figure");
  const charts = element("div", { class: "inside-two" }, matrix, arcs);
  const table = numbersTable("The weights as a table");
  const overview = headsOverview((layer, head) => {
    layers.field.value = String(layer + 1);
    heads.field.value = String(head + 1);
    draw();
  });
  let shown: Look | undefined;

  const draw = (): void => {
    if (!shown) return;
    const layer = Number(layers.field.value) - 1;
    const head = headOf(heads.field.value);
    overview.mark(layer, head);
    const tokens = shown.tokens.map(({ text }) => text);
    charts.classList.toggle("long", tokens.length > LONG);
    const weights = weightsOf(shown.attentions[layer]!, head);
    const most = weights.reduce((a, b) => Math.max(a, b), 0);
    Object.assign(view.dataset, { layer: String(layer + 1), head: nameOf(head) });
    describe(about, head, weights, tokens.length);
    drawCells(matrix, {
      label: `Attention of layer ${layer + 1}, ${typeof head === "number" ? `head ${head + 1}` : `${head} of heads`}`,
      rows: tokens,
      columns: tokens,
      values: weights,
      domain: [0, most],
      hint: `Point at a cell, or walk with the arrow keys. The strongest is ${most.toFixed(3)}.`,
      describe: (from, to) => `${tokens[from]} → ${tokens[to]}: ${weights[from * tokens.length + to]!.toFixed(4)}`,
    });
    drawArcs(arcs, tokens, weights);
    table.show({ rows: tokens, columns: tokens, values: weights });
  };
  layers.field.addEventListener("change", draw);
  heads.field.addEventListener("change", draw);
  view.append(
    element(
      "div",
      { class: "inside-choice" },
      element("div", { class: "inside-fields" }, layers.label, heads.label, about),
      overview.element,
    ),
    charts,
    table.element,
  );

  return (look) => {
    const same = shown?.layers === look.layers && shown.heads === look.heads;
    shown = look;
    offer(layers.field, numbered(look.layers));
    offer(heads.field, [...numbered(look.heads), ["mean", "mean of all"], ["max", "maximum of all"]]);
    if (!same) layers.field.value = String(look.layers);
    overview.show(look);
    draw();
  };
}

function describe(about: HTMLElement, head: Head, weights: Float32Array, tokens: number): void {
  if (head === "max") {
    delete about.dataset.entropy;
    about.textContent = "The strongest head for each pair; rows do not sum to 1.";
    return;
  }
  const entropy = entropyOf(weights, tokens);
  about.dataset.entropy = String(entropy);
  const most = Math.log2(tokens).toFixed(2);
  about.textContent = `Entropy ${entropy.toFixed(2)} bits: 0 looks at one token, ${most} at all alike.`;
}

function numbered(count: number): [string, string][] {
  return Array.from({ length: count }, (_, i) => [String(i + 1), String(i + 1)]);
}

function headOf(value: string): Head {
  return value === "mean" || value === "max" ? value : Number(value) - 1;
}

function nameOf(head: Head): string {
  return typeof head === "number" ? String(head + 1) : head;
}
