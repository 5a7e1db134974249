/** A place on a page that a plot fills: drawn when the place has a width, again when that changes. */

/** @returns a function that ends it, before the place is given to another plot */
export function drawInto(place: HTMLElement, draw: (width: number) => readonly Element[]): () => void {
  let drawn = 0;
  // reports once when it begins, which is the first drawing
  const observer = new ResizeObserver(() => {
    const width = Math.floor(place.clientWidth);
    if (width === 0 || width === drawn) return;
    drawn = width;
    // in the next frame: a new height must not answer the observer from inside itself
    requestAnimationFrame(() => place.replaceChildren(...draw(width)));
  });
  observer.observe(place);
  return () => observer.disconnect();
}
