/** Where points lie on the screen, and which one is under the pointer. */

export interface View {
  /** CSS pixels per unit of a position. */
  readonly scale: number;
  /** The position in the middle of the canvas. */
  readonly centre: readonly [x: number, y: number];
  /** Of the canvas, in CSS pixels. */
  readonly width: number;
  readonly height: number;
}

/** CSS pixels between the outermost points and the canvas' edges. */
const MARGIN = 16;
/** CSS pixels from the pointer within which a point is found. */
const REACH = 12;

/** @param positions [points, 2] */
export function viewOf(positions: Float32Array, { clientWidth: width, clientHeight: height }: HTMLCanvasElement): View {
  const xs = extent(positions.filter((_, i) => i % 2 === 0));
  const ys = extent(positions.filter((_, i) => i % 2 === 1));
  const scale = Math.min((width - 2 * MARGIN) / (xs.max - xs.min), (height - 2 * MARGIN) / (ys.max - ys.min));
  return { scale, centre: [(xs.min + xs.max) / 2, (ys.min + ys.max) / 2], width, height };
}

function extent(values: Float32Array): { min: number; max: number } {
  return values.reduce(({ min, max }, value) => ({ min: Math.min(min, value), max: Math.max(max, value) }), {
    min: Number.POSITIVE_INFINITY,
    max: Number.NEGATIVE_INFINITY,
  });
}

/** CSS pixels from the canvas' upper left corner. */
export function onScreen(
  { scale, centre, width, height }: View,
  positions: Float32Array,
  point: number,
): [number, number] {
  return [
    width / 2 + scale * (positions[2 * point]! - centre[0]),
    height / 2 - scale * (positions[2 * point + 1]! - centre[1]),
  ];
}

/** The point nearest to a place on the screen, if one is near. */
export function pick(view: View, positions: Float32Array, left: number, top: number): number | undefined {
  let nearest: number | undefined;
  let least = REACH;
  for (let point = 0; point < positions.length / 2; point++) {
    const [x, y] = onScreen(view, positions, point);
    const distance = Math.hypot(x - left, y - top);
    if (distance >= least) continue;
    least = distance;
    nearest = point;
  }
  return nearest;
}
