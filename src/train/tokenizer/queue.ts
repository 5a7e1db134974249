/** A binary heap: what comes first is taken first. */

export interface Queue<Item> {
  push(item: Item): void;
  /** Undefined when there is none. */
  pop(): Item | undefined;
}

/** @param isBefore a total order, but for items that are as good as each other */
export function createQueue<Item>(isBefore: (a: Item, b: Item) => boolean): Queue<Item> {
  const items: Item[] = [];
  return {
    push(item) {
      let at = items.length;
      while (at > 0) {
        const above = (at - 1) >> 1;
        if (!isBefore(item, items[above]!)) break;
        items[at] = items[above]!;
        at = above;
      }
      items[at] = item;
    },
    pop() {
      const first = items[0];
      const last = items.pop();
      if (last === undefined || items.length === 0) return first;
      let at = 0;
      for (let below = 1; below < items.length; below = 2 * at + 1) {
        if (below + 1 < items.length && isBefore(items[below + 1]!, items[below]!)) below++;
        if (!isBefore(items[below]!, last)) break;
        items[at] = items[below]!;
        at = below;
      }
      items[at] = last;
      return first;
    },
  };
}
