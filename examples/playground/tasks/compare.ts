/** Compare: how alike sentences are, each with each. */

import { embedText, SIMILARITIES } from "bert-webgpu";
import type { App, Panel } from "../app.ts";
import { element } from "../dom.ts";
import { heatMap } from "./heat_map.ts";
import { exampleButton, field, suggestionRow, taskPanel } from "./task.ts";

const EXAMPLES = [
  [
    "A film that makes you laugh and cry.",
    "It is funny and sad at once.",
    "The special effects are impressive.",
    "I have rarely been so bored in a cinema.",
    "A dull and lifeless movie.",
  ],
  [
    "How do I change my password?",
    "I forgot my login details.",
    "When does the shop open?",
    "What are your opening hours?",
    "The parcel has not arrived.",
    "Where is my order?",
  ],
].map((lines) => lines.join("\n"));

const MOST = 64;

export const comparePanel: Panel = (root: HTMLElement, app: App): void => {
  const text = element("textarea", { id: "compare-text", rows: 7 });
  const example = exampleButton(EXAMPLES, (chosen) => {
    text.value = chosen;
  });
  const advice = element(
    "div",
    { class: "field", hidden: true },
    element(
      "p",
      { class: "muted small" },
      "This model was not trained to compare sentences: the mean of its tokens' vectors stands in. One that was:",
    ),
    suggestionRow(["sentence-transformers/all-MiniLM-L6-v2"], app),
  );
  const sentences = (): string[] => text.value.split("\n").filter((line) => line.trim() !== "");

  taskPanel<readonly (readonly number[])[]>(root, app, {
    title: "Compare",
    lead: "Each sentence becomes a vector; the closer two vectors point, the more alike the sentences.",
    fields: [
      field("Sentences", text, `one on a line, 2 to ${MOST}`),
      element("div", { class: "row tight" }, example),
      advice,
    ],
    needs: "an encoder",
    supports: () => true,
    suggestions: [],
    onModel: ({ bert }) => {
      advice.hidden = bert.sentence !== undefined;
    },
    lacks() {
      const { length } = sentences();
      if (length < 2) return "Write at least two sentences, each on a line of its own.";
      return length > MOST ? `${length} sentences are too many to show, ${MOST} fit.` : undefined;
    },
    async run({ bert }, options) {
      const vectors = await embedText(bert, sentences(), options);
      const similarity = SIMILARITIES[bert.sentence?.similarity ?? "cosine"];
      return vectors.map((a) => vectors.map((b) => similarity(a, b)));
    },
    show(matrix, output) {
      const lines = sentences();
      output.replaceChildren(heatMap(lines, matrix), table(lines, matrix));
      const { row, column, value } = closest(matrix);
      return `Closest: ${lines[row]} and ${lines[column]}, ${value.toFixed(3)}`;
    },
  });
};

function table(lines: readonly string[], matrix: readonly (readonly number[])[]): HTMLElement {
  const heads = lines.map((line, i) => element("th", { scope: "col", title: line }, String(i + 1)));
  const rows = matrix.map((values, i) => {
    const cells = values.map((value) => element("td", { "data-score": value }, value.toFixed(3)));
    return element("tr", {}, element("th", { scope: "row", title: lines[i] }, `${i + 1} ${lines[i]}`), ...cells);
  });
  const whole = element(
    "table",
    { class: "small" },
    element("thead", {}, element("tr", {}, element("td"), ...heads)),
    element("tbody", {}, ...rows),
  );
  return element("details", {}, element("summary", {}, "As a table"), element("div", { class: "scroll" }, whole));
}

function closest(matrix: readonly (readonly number[])[]): { row: number; column: number; value: number } {
  const pairs = matrix.flatMap((values, row) => values.slice(0, row).map((value, column) => ({ row, column, value })));
  return pairs.reduce((best, pair) => (pair.value > best.value ? pair : best));
}
