/** Plots of a run of training: lines over steps, and the confusion matrix. */

import * as Plot from "@observablehq/plot";
import type { Curves, Matrix, TrainingFigure } from "../training.ts";
import { colours, type Drawing, legend, NARROW, STYLE, TIP } from "./drawing.ts";

/** Pixels of a letter of the plot's font. */
const LETTER = 6.6;
/** Of a cell that all of a row are in: numbers on it are read in both themes. */
const STRONGEST = 0.55;

export function drawTraining(figure: TrainingFigure, width: number): Drawing {
  return figure.kind === "curves" ? drawCurves(figure, width) : drawMatrix(figure, width);
}

function drawCurves({ label, lines, scale, best }: Curves, width: number): Drawing {
  const points = lines.flatMap(({ name, steps, values, dots }) =>
    steps.map((step, i) => ({
      name,
      step,
      value: values[i]!,
      dots,
      title: `${name}\nstep ${step}: ${exact(values[i]!)}`,
    })),
  );
  const all = points.map(({ value }) => value);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const log = scale.endsWith("log") && low > 0 && high / low >= 30;
  const zero = scale.startsWith("zero") && !log;
  const names = lines.map(({ name }) => name);
  const plot = Plot.plot({
    width,
    style: STYLE,
    height: width < NARROW ? 240 : 280,
    marginLeft: 52,
    marginRight: 16,
    marginTop: 28,
    marginBottom: 38,
    x: { label: "step", ticks: Math.min(8, Math.max(2, Math.floor(width / 90))), tickFormat: whole, nice: true },
    y: { label, grid: true, ticks: 5, tickFormat: brief, nice: true, zero, ...(log && { type: "log" as const }) },
    color: colours(names),
    marks: [
      ...(zero ? [Plot.ruleY([0])] : []),
      ...(best === undefined
        ? []
        : [
            Plot.ruleX([best], { stroke: "var(--neutral)", strokeDasharray: "4 3" }),
            Plot.text([best], { x: (step: number) => step, text: () => "best", frameAnchor: "top", dy: -10 }),
          ]),
      Plot.line(points, { x: "step", y: "value", z: "name", stroke: "name", strokeWidth: 2 }),
      Plot.dot(
        points.filter(({ dots }) => dots),
        { x: "step", y: "value", fill: "name", r: 4 },
      ),
      Plot.tip(points, Plot.pointer({ x: "step", y: "value", title: "title", ...TIP })),
    ],
  });
  return names.length > 1 ? [legend(names), plot] : [plot];
}

/** Rows are gold labels, columns predicted ones; the stronger a cell, the larger its share of the row. */
function drawMatrix({ labels, counts }: Matrix, width: number): Drawing {
  const room = (most: number): string[] => labels.map((label) => shortened(label, most));
  const longest = (names: readonly string[]): number => Math.max(...names.map(({ length }) => length)) * LETTER;
  const rows = room(width < NARROW ? 14 : 24);
  const fitting = (left: number): number => Math.min(72, (width - left - 4) / labels.length);
  const beside = Math.ceil(longest(rows)) + 26;
  const named = fitting(beside) >= 9; // else a name is too small for its row
  const marginLeft = named ? beside : 36;
  const size = fitting(marginLeft);
  const turned = named && longest(labels) > size - 4;
  const columns = turned ? room(14) : labels;
  const marginTop = (turned ? Math.ceil(longest(columns)) + 10 : 12) + 26;
  const cells = counts.flatMap((row, gold) => {
    const total = row.reduce((sum, count) => sum + count, 0);
    return row.map((count, predicted) => ({
      ...{ gold, predicted, count, right: gold === predicted, strength: total === 0 ? 0 : (STRONGEST * count) / total },
      title: `gold ${labels[gold]}, predicted ${labels[predicted]}\n${count.toLocaleString("en")} of ${total.toLocaleString("en")}`,
    }));
  });
  const place = { x: "predicted", y: "gold" };
  const filled = (right: boolean): Plot.Markish =>
    Plot.cell(
      cells.filter((cell) => cell.right === right),
      { ...place, fill: `var(${right ? "--c1" : "--c2"})`, fillOpacity: "strength", inset: size < 12 ? 0 : 0.5 },
    );
  const plot = Plot.plot({
    width: marginLeft + size * labels.length + 4,
    height: marginTop + size * labels.length + 4,
    style: STYLE,
    ...{ marginLeft, marginTop, marginRight: 4, marginBottom: 4, padding: 0 },
    x: { type: "band", domain: [...labels.keys()], axis: null },
    y: { type: "band", domain: [...labels.keys()], axis: null },
    opacity: { type: "identity" },
    marks: [
      filled(true),
      filled(false),
      Plot.frame({ stroke: "var(--line)" }),
      Plot.text(
        cells.filter(({ count }) => count > 0 && String(count).length * LETTER < size - 2 && size >= 14),
        { ...place, text: ({ count }: { count: number }) => String(count) },
      ),
      ...(named
        ? [
            Plot.axisY({ tickSize: 0, tickFormat: (i: number) => rows[i]!, label: null }),
            Plot.axisX({
              ...{ anchor: "top", tickSize: 0, tickFormat: (i: number) => columns[i]!, label: null },
              ...(turned && { tickRotate: -90 }),
            }),
          ]
        : []),
      Plot.text(["predicted"], {
        frameAnchor: "top-left",
        text: (text: string) => text,
        dy: -(marginTop - 4) + 2,
        fontWeight: 600,
      }),
      Plot.text(["gold"], {
        frameAnchor: "top-left",
        text: (text: string) => text,
        dx: -marginLeft + 2,
        dy: -14,
        fontWeight: 600,
      }),
      Plot.tip(cells, Plot.pointer({ ...place, title: "title", ...TIP })),
    ],
  });
  return [plot];
}

/** Without its middle: names that begin alike are told by their ends. */
function shortened(name: string, most: number): string {
  const kept = (most - 1) / 2;
  return name.length > most ? `${name.slice(0, Math.ceil(kept))}…${name.slice(-Math.floor(kept))}` : name;
}

/** A step; between two there is none. */
const whole = (value: number): string => (Number.isInteger(value) ? value.toLocaleString("en") : "");

/** A number beside an axis. */
function brief(value: number): string {
  if (value !== 0 && (Math.abs(value) < 0.001 || Math.abs(value) >= 1e6))
    return value
      .toExponential()
      .replace(/(\.\d\d)\d+/, "$1")
      .replace("+", "");
  return Number(value.toPrecision(4)).toLocaleString("en", { maximumSignificantDigits: 4 });
}

const exact = (value: number): string => String(Number(value.toPrecision(5)));
