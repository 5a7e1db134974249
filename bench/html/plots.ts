/** Each kind of figure as a plot of a width in CSS pixels. */

import * as Plot from "@observablehq/plot";
import { colours, type Drawing, distinct, legend, NARROW, plain, STYLE, TIP } from "../../src/page/plots/drawing.ts";
import type { Bar, Figure, Part, Roofline } from "./figures.ts";
import { type Label, placeLabels } from "./labels.ts";

type Of<K extends Figure["kind"]> = Extract<Figure, { readonly kind: K }>;

export function draw(figure: Figure, width: number): Drawing {
  switch (figure.kind) {
    case "roofline":
      return drawRoofline(figure, width);
    case "latency":
      return drawLatency(figure, width);
    case "shares":
      return drawShares(figure, width);
    case "peers":
      return drawPeers(figure, width);
  }
}

/** Straight lines in double logarithmic scales: the memory's rises with the intensity until arithmetic is the limit. */
function drawRoofline({ arithmetic, memory, marks, groups }: Roofline, width: number): Drawing {
  const narrow = width < NARROW;
  const frame = { width, height: narrow ? 380 : 480, marginLeft: 46, marginRight: 12, marginTop: 24, marginBottom: 40 };
  const ridge = arithmetic !== undefined && memory !== undefined ? arithmetic / memory : undefined;
  const intensities = [...marks.map(({ intensity }) => intensity), ...(ridge === undefined ? [] : [ridge])];
  const speeds = [...marks.map(({ gflops }) => gflops), ...(arithmetic === undefined ? [] : [arithmetic])];
  // room on the right, where labels of the most intense kernels go
  const x: [number, number] = [Math.min(...intensities) / 2, Math.max(...intensities) * (narrow ? 2 : 6)];
  const y: [number, number] = [Math.min(...speeds) / 2, Math.max(...speeds) * 1.6];
  const roof = [x[0], ridge ?? x[0], x[1]].map((intensity) => ({
    intensity,
    gflops: Math.min(arithmetic ?? Number.POSITIVE_INFINITY, (memory ?? Number.POSITIVE_INFINITY) * intensity),
  }));
  // half of the slope, in pixels: its name stands on its left, or below it where the axis is too near
  const half = ridge === undefined ? 0 : (width * Math.log(ridge / x[0])) / Math.log(x[1] / x[0]) / 2;
  const besideSlope: Plot.TextOptions =
    half > 90 ? { textAnchor: "end", dx: -8, dy: -6 } : { textAnchor: "start", dx: 8, dy: 8 };
  const labels = placeLabels(
    marks.map((dot) => ({ ...dot, text: narrow ? String(dot.number) : dot.label })),
    { ...frame, x, y },
  );
  const plot = Plot.plot({
    ...frame,
    style: STYLE,
    x: { type: "log", domain: x, label: "FLOP per byte", grid: true, tickFormat: plain },
    y: { type: "log", domain: y, label: "GFLOP/s", grid: true, tickFormat: plain },
    color: colours(groups ?? groupsOf(marks)),
    marks: [
      Plot.line(
        roof.filter(({ gflops }) => Number.isFinite(gflops)),
        { x: "intensity", y: "gflops", stroke: "currentColor", strokeWidth: 2, clip: true },
      ),
      Plot.text(arithmetic === undefined ? [] : [arithmetic], {
        x: x[1],
        y: (value: number) => value,
        text: (value: number) => `${plain(value)} GFLOP/s`,
        textAnchor: "end",
        dy: -9,
        fontWeight: 600,
      }),
      Plot.text(ridge === undefined ? [] : [Math.sqrt(x[0] * ridge)], {
        x: (value: number) => value,
        y: (value: number) => value * memory!,
        text: () => `${plain(memory!)} GB/s`,
        ...besideSlope,
        fontWeight: 600,
      }),
      Plot.link(labels, {
        x1: "intensity",
        y1: "gflops",
        x2: (label: Label) => label.at.x,
        y2: (label: Label) => label.at.y,
        stroke: "group",
        strokeOpacity: 0.5,
        strokeWidth: 1,
      }),
      Plot.dot(marks, { x: "intensity", y: "gflops", fill: "group", r: 5, title: "title", tip: TIP }),
      Plot.text(labels, {
        x: (label: Label) => label.at.x,
        y: (label: Label) => label.at.y,
        text: "text",
        textAnchor: "start",
        dx: 3,
        fill: "group",
        stroke: "var(--card)",
        strokeWidth: 4,
        fontWeight: 500,
      }),
    ],
  });
  return [plot];
}

function drawLatency({ marks }: Of<"latency">, width: number): Drawing {
  const tokens = distinct(marks.map(({ tokens }) => tokens)).sort((a, b) => a - b);
  const onLine = tokens.filter((count) => marks.some((point) => point.onLine && point.tokens === count));
  const times = marks.map(({ ms }) => ms);
  const wide = Math.max(...times) / Math.min(...times) >= 8;
  const plot = Plot.plot({
    width,
    style: STYLE,
    height: 320,
    marginLeft: 56,
    marginRight: 24,
    marginBottom: 40,
    x: {
      type: "log",
      domain: [tokens[0]! / 1.4, tokens.at(-1)! * 1.4],
      label: "tokens in the batch",
      // few batches: the axis names just these
      ...(tokens.length <= 8 ? { ticks: spaced(onLine.length > 0 ? onLine : tokens, 1.15) } : {}),
      tickFormat: plain,
    },
    y: {
      ...(wide
        ? { type: "log" as const, domain: [Math.min(...times) / 1.4, Math.max(...times) * 1.4] }
        : { domain: [0, Math.max(...times) * 1.1] }),
      label: "milliseconds",
      grid: true,
      ticks: 6,
      tickFormat: plain,
    },
    color: colours(groupsOf(marks)),
    marks: [
      ...(wide ? [] : [Plot.ruleY([0])]),
      Plot.line(
        marks.filter(({ onLine }) => onLine).sort((a, b) => a.tokens - b.tokens),
        { x: "tokens", y: "ms", z: "group", stroke: "group", strokeWidth: 2 },
      ),
      ...[true, false].map((onLine) =>
        Plot.dot(
          marks.filter((point) => point.onLine === onLine),
          {
            x: "tokens",
            y: "ms",
            r: 5,
            stroke: "group",
            strokeWidth: 2,
            fill: onLine ? "group" : "var(--card)",
            title: "title",
            tip: TIP,
          },
        ),
      ),
    ],
  });
  return [legend(groupsOf(marks)), plot];
}

function drawShares({ marks }: Of<"shares">, width: number): Drawing {
  const bars = distinct(marks.map(({ bar }) => bar));
  const groups = distinct(marks.map(({ group }) => group));
  const plot = Plot.plot({
    width,
    style: STYLE,
    height: bars.length * 58 + 44,
    marginLeft: 2,
    marginRight: 12,
    marginTop: 0,
    marginBottom: 40,
    x: { domain: [0, 100], label: "% of the GPU time", ticks: 5 },
    y: { domain: bars, axis: null, padding: 0 },
    color: colours(groupsOf(marks)),
    marks: [
      Plot.barX(marks, {
        x: (part: Part) => part.share * 100,
        y: "bar",
        fill: "group",
        order: groups,
        insetTop: 24,
        insetBottom: 4,
        insetRight: 1,
        title: "title",
        tip: TIP,
      }),
      Plot.textX(
        marks,
        Plot.stackX({
          x: (part: Part) => part.share * 100,
          y: "bar",
          z: "group",
          order: groups,
          // a number only where it fits
          text: (part: Part) => (part.share * width > 34 ? `${(part.share * 100).toFixed(0)}%` : ""),
          dy: 10,
          fill: "var(--card)",
          fontWeight: 600,
        }),
      ),
      Plot.text(bars, { x: 0, y: (bar: string) => bar, text: (bar: string) => bar, textAnchor: "start", dy: -17 }),
    ],
  });
  return [legend(groupsOf(marks)), plot];
}

function drawPeers({ marks }: Of<"peers">, width: number): Drawing {
  const place = (_: Bar, index: number): number => index;
  const [least, most] = [Math.min(...marks.map(({ min }) => min)), Math.max(...marks.map(({ max }) => max))];
  // from a power of ten, so that the same length means the same factor
  const start = 10 ** Math.floor(Math.log10(least) - 0.3);
  const plot = Plot.plot({
    width,
    style: STYLE,
    height: marks.length * 44 + 44,
    marginLeft: 2,
    marginRight: 16,
    marginTop: 0,
    marginBottom: 40,
    x: { type: "log", domain: [start, most * 1.6], label: "milliseconds", grid: true, tickFormat: plain },
    y: { type: "band", domain: marks.map((_, place) => place), axis: null, padding: 0 },
    color: {
      domain: ["ours", "webgpu", "cpu"],
      range: ["var(--accent)", "var(--c1)", "var(--neutral)"],
    },
    marks: [
      Plot.barX(marks, {
        x1: start,
        x2: "ms",
        y: place,
        fill: "mark",
        insetTop: 22,
        insetBottom: 4,
        title: "title",
        tip: TIP,
      }),
      Plot.ruleY(marks, { x1: "min", x2: "max", y: place, stroke: "currentColor", strokeWidth: 1.5, dy: 9 }),
      Plot.text(marks, {
        x: start,
        y: place,
        text: (bar: Bar) => `${bar.label}: ${plain(bar.ms)} ms`,
        textAnchor: "start",
        dy: -11,
        fontWeight: 500,
      }),
    ],
  });
  return [plot];
}

function groupsOf(marks: readonly { readonly group: string }[]): string[] {
  return distinct(marks.map(({ group }) => group));
}

/** Those at least a factor apart: labels of an axis must not overlap. */
function spaced(ascending: readonly number[], factor: number): number[] {
  const kept: number[] = [];
  for (const value of ascending) if (kept.length === 0 || value >= kept.at(-1)! * factor) kept.push(value);
  return kept;
}
