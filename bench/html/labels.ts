/** Labels beside the dots of a double logarithmic plot, moved up or down until none lies on another. */

import type { Dot } from "./figures.ts";

/** Pixels, and the ends of the axes. */
export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly marginLeft: number;
  readonly marginRight: number;
  readonly marginTop: number;
  readonly marginBottom: number;
  readonly x: readonly [number, number];
  readonly y: readonly [number, number];
}

export interface Label extends Dot {
  readonly text: string;
  /** The middle of its left edge, in units of the axes. */
  readonly at: { readonly x: number; readonly y: number };
}

interface Box {
  readonly left: number;
  readonly right: number;
  readonly middle: number;
}

/** Of the plot's font of 11 pixels, generously. */
const [LETTER, LINE, GAP] = [6.8, 14, 10];

export function placeLabels(dots: readonly (Dot & { readonly text: string })[], frame: Frame): Label[] {
  const x = logScale(frame.x, [frame.marginLeft, frame.width - frame.marginRight]);
  const y = logScale(frame.y, [frame.height - frame.marginBottom, frame.marginTop]);
  const taken: Box[] = dots.map((dot) => {
    const [middle, centre] = [y.toPixel(dot.gflops), x.toPixel(dot.intensity)];
    return { left: centre - 6, right: centre + 6, middle };
  });
  return [...dots]
    .sort((a, b) => b.gflops - a.gflops)
    .map((dot) => {
      const length = dot.text.length * LETTER + 4;
      const beside = x.toPixel(dot.intensity) + GAP;
      const left = Math.max(frame.marginLeft, Math.min(beside, frame.width - length));
      const wanted = y.toPixel(dot.gflops);
      const middle = nearestFree(wanted, { left, right: left + length }, taken, frame);
      taken.push({ left, right: left + length, middle });
      return { ...dot, at: { x: x.toValue(left), y: y.toValue(middle) } };
    });
}

/** The free height nearest to the wanted one, in steps of a third of a line; the wanted one where all are taken. */
function nearestFree(wanted: number, span: Omit<Box, "middle">, taken: readonly Box[], frame: Frame): number {
  const [top, bottom] = [frame.marginTop, frame.height - frame.marginBottom];
  const free = (middle: number): boolean =>
    middle >= top &&
    middle <= bottom &&
    taken.every((box) => box.right < span.left || box.left > span.right || Math.abs(box.middle - middle) >= LINE);
  for (let distance = 0; distance < bottom - top; distance += LINE / 3) {
    for (const middle of [wanted + distance, wanted - distance]) if (free(middle)) return middle;
  }
  return wanted;
}

function logScale(
  [from, to]: readonly [number, number],
  [first, last]: readonly [number, number],
): { toPixel(value: number): number; toValue(pixel: number): number } {
  const slope = (last - first) / Math.log(to / from);
  return {
    toPixel: (value) => first + slope * Math.log(value / from),
    toValue: (pixel) => from * Math.exp((pixel - first) / slope),
  };
}
