/** Rows of elements with one stop of the Tab key: arrows move the focus, the pointer visits without it. */

type Place = readonly [row: number, column: number];
type Stop = HTMLElement | SVGElement;

export interface Rover {
  /** Told of each element that gets the focus (by a key of ours or otherwise) or the pointer. */
  visit(row: number, column: number, how: "key" | "focus" | "pointer"): void;
  /** Told when both are gone. */
  leave?(): void;
}

/** `grid` lies within `root`, which keeps its listeners: call it once for a `root`. */
export function rove(root: HTMLElement, grid: readonly (readonly Stop[])[], rover: Rover): void {
  const places = new Map<Element, Place>();
  for (const [row, stops] of grid.entries()) {
    for (const [column, stop] of stops.entries()) {
      places.set(stop, [row, column]);
      stop.tabIndex = -1;
    }
  }
  let keyed = false;
  let stop = grid[0]?.[0];
  if (stop) stop.tabIndex = 0;
  const placeOf = (event: Event): Place | undefined => {
    let at = event.target as Element | null;
    while (at && at !== root && !places.has(at)) at = at.parentElement;
    return at ? places.get(at) : undefined;
  };
  root.addEventListener("keydown", (event) => {
    const place = placeOf(event);
    const next = place && !event.ctrlKey && !event.metaKey && !event.altKey ? step(event.key, place, grid) : undefined;
    if (!next) return;
    event.preventDefault();
    keyed = true;
    grid[next[0]]![next[1]]!.focus();
    keyed = false;
  });
  root.addEventListener("focusin", (event) => {
    const place = placeOf(event);
    if (!place) return;
    if (stop) stop.tabIndex = -1;
    stop = grid[place[0]]![place[1]]!;
    stop.tabIndex = 0;
    rover.visit(...place, keyed ? "key" : "focus");
  });
  root.addEventListener("pointerover", (event) => {
    const place = placeOf(event);
    if (place) rover.visit(...place, "pointer");
  });
  root.addEventListener("pointerleave", () => {
    const place = document.activeElement ? places.get(document.activeElement) : undefined;
    if (place) rover.visit(...place, "focus");
    else rover.leave?.();
  });
  root.addEventListener("focusout", () => rover.leave?.());
}

function step(key: string, [row, column]: Place, grid: readonly (readonly Stop[])[]): Place | undefined {
  const within = (r: number, c: number): Place => {
    const nearest = Math.max(0, Math.min(grid.length - 1, r));
    return [nearest, Math.max(0, Math.min(grid[nearest]!.length - 1, c))];
  };
  switch (key) {
    case "ArrowUp":
      return within(row - 1, column);
    case "ArrowDown":
      return within(row + 1, column);
    case "ArrowLeft":
      return within(row, column - 1);
    case "ArrowRight":
      return within(row, column + 1);
    case "Home":
      return within(row, 0);
    case "End":
      return within(row, Number.POSITIVE_INFINITY);
    default:
      return undefined;
  }
}
