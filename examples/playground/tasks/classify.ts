/** Classify: a bar per label. */

import { type Classification, classifyText } from "bert-webgpu";
import type { App, Panel } from "../app.ts";
import { element } from "../dom.ts";
import { percentage, rankedList } from "./ranked.ts";
import { exampleButton, field, taskPanel } from "./task.ts";

const EXAMPLES = [
  "A warm, funny and beautifully acted film that I will watch again.",
  "Two hours of noise without a single idea.",
  "The first half drags, but the ending makes up for everything.",
];

export const classifyPanel: Panel = (root: HTMLElement, app: App): void => {
  const text = element("textarea", { id: "classify-text", rows: 3 });
  const pair = element("textarea", { id: "classify-pair", rows: 2 });
  const example = exampleButton(EXAMPLES, (chosen) => {
    text.value = chosen;
    pair.value = "";
  });
  const second = element("details", {}, element("summary", {}, "A pair of texts"), field("Second text", pair));

  taskPanel<Classification[]>(root, app, {
    title: "Classify",
    lead: "The model's labels for a text, with the probability it gives to each.",
    fields: [field("Text", text), second, element("div", { class: "row tight" }, example)],
    needs: "a classifier of texts",
    supports: ({ model }) => model.has("logits") && model.classifierKind === "sequence",
    suggestions: [
      "textattack/bert-base-uncased-SST-2",
      "nlptown/bert-base-multilingual-uncased-sentiment",
      "ProsusAI/finbert",
    ],
    lacks: () => (text.value.trim() === "" ? "Write something to classify." : undefined),
    async run({ bert }, options) {
      const input = pair.value.trim() === "" ? text.value : { text: text.value, pair: pair.value };
      return (await classifyText(bert, [input], { ...options, topK: null }))[0]!;
    },
    show(labels, output, { bert }) {
      const percent = bert.model.config.problemType !== "regression";
      const shown = labels.slice(0, 20).map(({ label: name, score }) => ({ name, score }));
      output.replaceChildren(rankedList(shown, { percent }));
      const [best] = labels;
      return `${best!.label}, ${percent ? percentage(best!.score) : best!.score.toFixed(3)}`;
    },
  });
};
