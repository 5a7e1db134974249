/** Colours for what is known of a sentence, and the list that explains them. */

import type { Sentence } from "../sentences.ts";

/** Red, green and blue: told apart on light and dark grounds, and by the colour-blind. */
const COLOURS = ["e0702f", "3f84e5", "2fa36b", "c2559d", "b8972a", "38a9c4"] as const;
/** Of 255: where points lie above each other, it shows. */
const ALPHA = 190;

/** @returns a colour per sentence: bytes red, green, blue, alpha */
export function coloursBy(
  key: "sentiment" | "topic",
  sentences: readonly Sentence[],
  legend: HTMLElement,
): Uint32Array<ArrayBuffer> {
  const names = [...new Set(sentences.map((sentence) => sentence[key]))].sort();
  legend.replaceChildren(
    ...names.map((name, i) => {
      const item = document.createElement("li");
      item.textContent = name;
      item.style.setProperty("--colour", `#${COLOURS[i]}`);
      return item;
    }),
  );
  const bytes = Uint8Array.from(
    sentences.flatMap((sentence) => [...channels(COLOURS[names.indexOf(sentence[key])]!), ALPHA]),
  );
  return new Uint32Array(bytes.buffer);
}

function channels(colour: string): number[] {
  return [0, 2, 4].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
}
