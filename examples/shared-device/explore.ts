/** Pointer and keys on the map: which point is chosen, what it says, and when to draw a frame. */

import { onScreen, pick, type View, viewOf } from "./view.ts";

/**
 * @param positions [texts, 2]
 * @returns asks for a new frame
 */
export function explore(
  canvas: HTMLCanvasElement,
  positions: Float32Array,
  texts: readonly string[],
  draw: (view: View, chosen: number | undefined) => void,
): () => void {
  const tip = document.querySelector<HTMLOutputElement>("#tip")!;
  const fromLeft = texts.map((_, point) => point).sort((a, b) => positions[2 * a]! - positions[2 * b]!);
  let view = viewOf(positions, canvas);
  let chosen: number | undefined;
  let asked = false;
  const redraw = (): void => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw(view, chosen);
    });
  };
  const choose = (point: number | undefined): void => {
    if (point === chosen) return;
    chosen = point;
    tip.hidden = point === undefined;
    if (point !== undefined) {
      const [x, y] = onScreen(view, positions, point);
      tip.textContent = texts[point]!;
      tip.dataset.position = `${positions[2 * point]} ${positions[2 * point + 1]}`;
      tip.style.left = `${x}px`;
      tip.style.top = `${y}px`;
      tip.classList.toggle("leftwards", x > view.width / 2);
    }
    redraw();
  };
  for (const type of ["pointerdown", "pointermove"] as const) {
    canvas.addEventListener(type, ({ offsetX, offsetY }) => choose(pick(view, positions, offsetX, offsetY)));
  }
  canvas.addEventListener("pointerleave", ({ pointerType }) => {
    if (pointerType !== "touch") choose(undefined); // a finger leaves as soon as it has tapped
  });
  canvas.addEventListener("blur", () => choose(undefined));
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const at = chosen === undefined ? (step > 0 ? -1 : 0) : fromLeft.indexOf(chosen);
    choose(fromLeft.at((at + step) % fromLeft.length));
  });
  new ResizeObserver(() => {
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * devicePixelRatio));
    view = viewOf(positions, canvas);
    choose(undefined);
    redraw();
  }).observe(canvas);
  return redraw;
}
