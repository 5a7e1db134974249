/** A report for people: lines for a terminal, a chart as SVG. */

import type { Scores } from "../../../bert/metrics/f1.ts";
import { aligned, printable } from "../output.ts";
import type { Report } from "./evaluation.ts";

/** Beyond this many labels a matrix is no longer read. */
const MOST_LABELS = 30;

export function reportText(report: Report, skipped: number): string[] {
  const { rows, figures, confusion } = report;
  const left = skipped > 0 ? `, ${skipped.toLocaleString("en")} left out` : "";
  const lines = [
    `${rows.toLocaleString("en")} rows${left}`,
    ...aligned(Object.entries(figures).map(([name, value]) => [name, figureText(value)])),
  ];
  const scores = scoreRows(report);
  if (scores.length > 0) {
    const header = ["", "precision", "recall", "f1", "support"];
    lines.push("", ...table([header, ...scores.map(([name, score]) => [printable(name), ...scoreCells(score)])]));
  }
  if (confusion && confusion.labels.length <= MOST_LABELS) {
    const { labels, counts } = confusion;
    const names = labels.map(printable);
    lines.push(
      "",
      "gold \\ predicted",
      ...table([["", ...names], ...counts.map((row, i) => [names[i]!, ...row.map(String)])]),
    );
  }
  return lines;
}

function scoreRows({ classes, micro, macro, weighted }: Report): [string, Scores][] {
  if (!classes) return [];
  return [...classes, ["micro average", micro!], ["macro average", macro!], ["weighted average", weighted!]];
}

function scoreCells({ precision, recall, f1, support }: Scores): string[] {
  return [...[precision, recall, f1].map((value) => value.toFixed(4)), String(support)];
}

/** Names to the left, numbers to the right. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows.map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join("  ")
      .trimEnd(),
  );
}

const figureText = (value: number): string =>
  Number.isInteger(value) && value > 1 ? value.toLocaleString("en") : value.toFixed(4);

/** The confusion matrix, the scatter of points, or else the F1 of classes. */
export function reportSvg(report: Report, title: string): string {
  const { confusion, points, classes } = report;
  const figures = Object.entries(report.figures).map(([name, value]) => `${name} ${figureText(value)}`);
  const chart =
    confusion && confusion.labels.length <= MOST_LABELS
      ? matrix(confusion.labels, confusion.counts)
      : points
        ? scatter(points)
        : bars([...(classes ?? [])].map(([name, { f1 }]): [string, number] => [name, f1]));
  const width = Math.ceil(Math.max(chart.width, 420, 32 + 9 * title.length));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${chart.height + 70}" width="${width}" font-family="system-ui, sans-serif" font-size="13" fill="#222">`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    text(16, 26, title, 'font-size="16" font-weight="600"'),
    text(16, 48, `${report.rows.toLocaleString("en")} rows, ${figures.join(", ")}`, 'fill="#555"'),
    `<g transform="translate(0 70)">`,
    ...chart.parts,
    "</g>",
    "</svg>\n",
  ].join("\n");
}

interface Chart {
  readonly width: number;
  readonly height: number;
  readonly parts: readonly string[];
}

/** Rows are gold, columns predicted; the darker, the larger the share of the row. */
function matrix(labels: readonly string[], counts: readonly (readonly number[])[]): Chart {
  const cell = 76;
  const left = 40 + 7.5 * Math.max(...labels.map(({ length }) => length));
  const parts = [text(left, 14, "predicted", 'fill="#555"'), text(16, 48, "gold", 'fill="#555"')];
  labels.forEach((label, i) => {
    const middle = left + (i + 0.5) * cell;
    parts.push(text(middle, 44, shortened(label, 10), 'text-anchor="middle"'));
    parts.push(text(left - 10, 52 + (i + 0.55) * cell, label, 'text-anchor="end"'));
    const total = counts[i]!.reduce((sum, n) => sum + n, 0);
    counts[i]!.forEach((count, j) => {
      const share = total === 0 ? 0 : count / total;
      const [x, y] = [left + j * cell, 52 + i * cell];
      parts.push(
        `<rect x="${x}" y="${y}" width="${cell - 2}" height="${cell - 2}" fill="#1f5fa8" fill-opacity="${share.toFixed(3)}" stroke="#ccc"/>`,
        text(
          x + cell / 2,
          y + cell / 2 + 4,
          `${count}`,
          `text-anchor="middle" fill="${share > 0.5 ? "#fff" : "#222"}"`,
        ),
      );
    });
  });
  return { width: left + labels.length * cell + 16, height: 68 + labels.length * cell, parts };
}

function scatter(points: readonly (readonly [number, number])[]): Chart {
  const [size, left] = [360, 50];
  const [x, y] = [0, 1].map((axis) => {
    const values = points.map((point) => point[axis]!);
    const [low, high] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
    return { low, high, at: (value: number) => ((value - low) / (high - low || 1)) * size };
  }) as [Axis, Axis];
  const parts = [`<rect x="${left}" y="0" width="${size}" height="${size}" fill="none" stroke="#ccc"/>`];
  for (const [gold, predicted] of points) {
    const [cx, cy] = [left + x.at(gold), size - y.at(predicted)];
    parts.push(`<circle cx="${cx.toFixed(1)}" cy="${cy.toFixed(1)}" r="2" fill="#1f5fa8" fill-opacity="0.35"/>`);
  }
  const end = 'text-anchor="end"';
  parts.push(
    text(left, size + 18, x.low.toFixed(2)),
    text(left + size, size + 18, x.high.toFixed(2), end),
    text(left + size / 2, size + 18, "gold", 'text-anchor="middle" fill="#555"'),
    text(left - 6, size, y.low.toFixed(2), end),
    text(left - 6, 12, y.high.toFixed(2), end),
    text(left - 6, size / 2, "model", 'text-anchor="end" fill="#555"'),
  );
  return { width: left + size + 24, height: size + 34, parts };
}

interface Axis {
  readonly low: number;
  readonly high: number;
  at(value: number): number;
}

function bars(values: readonly (readonly [string, number])[]): Chart {
  const [row, full] = [26, 260];
  const left = 30 + 7.5 * Math.max(0, ...values.map(([name]) => name.length));
  const parts = values.flatMap(([name, value], i) => [
    text(left - 10, i * row + 14, name, 'text-anchor="end"'),
    `<rect x="${left}" y="${i * row}" width="${(value * full).toFixed(1)}" height="${row - 8}" fill="#1f5fa8"/>`,
    text(left + value * full + 6, i * row + 14, value.toFixed(4)),
  ]);
  return { width: left + full + 80, height: values.length * row + 10, parts };
}

function text(x: number, y: number, content: string, attributes: string = ""): string {
  const safe = printable(content).replace(/[&<>]/g, (char) => `&#${char.charCodeAt(0)};`);
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes}>${safe}</text>`;
}

function shortened(name: string, most: number): string {
  return name.length > most ? `${name.slice(0, most - 1)}…` : name;
}
