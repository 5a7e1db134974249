/** A ranked list with bars: a row per candidate, and behind them a plot whose rows are as high. */

import * as Plot from "@observablehq/plot";
import { drawToFit, element } from "../dom.ts";

export interface Ranked {
  readonly name: string;
  /** A probability, or any number where `percent` is false. */
  readonly score: number;
}

export interface RankedOptions {
  /** Default true. */
  readonly percent?: boolean;
  /** Names are buttons. */
  readonly onChoose?: ((index: number) => void) | undefined;
  /** The longest bar is the best score's, instead of 1's: for many candidates of which none is likely. Default false. */
  readonly relative?: boolean;
  /** Room for long names. Default false. */
  readonly wide?: boolean;
  /** What a button does, before the name. */
  readonly verb?: string;
}

/** Pixels, as in style.css. */
const ROW = 38;

/** Of a list in which each item has its name, and in `data-score` its full score. */
export function rankedList(items: readonly Ranked[], options: RankedOptions = {}): HTMLElement {
  const { percent = true, relative = false, wide = false, onChoose, verb = "" } = options;
  const scores = items.map(({ score }) => score);
  const most = relative ? Math.max(...scores) : Math.max(1, ...scores);
  const rows = items.map(({ name, score }, index) => {
    const shown = onChoose
      ? element("button", { type: "button", class: "name", title: `${verb} ${name}`.trim() }, name)
      : element("span", { class: "name", title: name }, name);
    if (onChoose) shown.addEventListener("click", () => onChoose(index));
    const figure = element("span", { class: "score" }, percent ? percentage(score) : score.toFixed(3));
    return element("li", { "data-name": name, "data-score": score }, shown, figure);
  });
  const bars = element("div", { class: "bars", "aria-hidden": true });
  drawToFit(bars, (width) => drawBars(scores, most, width));
  return element("div", { class: wide ? "ranked wide" : "ranked" }, element("ol", {}, ...rows), bars);
}

export function percentage(score: number): string {
  const percents = score * 100;
  return `${percents.toFixed(percents < 10 ? 2 : 1)}%`;
}

function drawBars(scores: readonly number[], most: number, width: number): Element {
  const y = (_: number, index: number): number => index;
  return Plot.plot({
    width,
    height: scores.length * ROW,
    margin: 0,
    x: { axis: null, domain: [Math.min(0, ...scores), most] },
    y: { axis: null, domain: scores.map(y), paddingInner: 0.7, paddingOuter: 0.35, round: false },
    marks: [
      Plot.barX(scores, { x1: 0, x2: () => most, y, fill: "var(--line)", fillOpacity: 0.6, rx: 4 }),
      Plot.barX(scores, { x1: 0, x2: Plot.identity, y, fill: "var(--accent)", rx: 4 }),
    ],
  });
}
