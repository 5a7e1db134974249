/** Tag: the text with its entities in colour. */

import { type AggregationStrategy, classifyTokens, type EntityGroup, type Pretrained } from "bert-webgpu";
import type { App, Panel } from "../app.ts";
import { element } from "../dom.ts";
import { percentage } from "./ranked.ts";
import { exampleButton, field, taskPanel } from "./task.ts";

const EXAMPLES = [
  "Ada Lovelace and Charles Babbage met in London in June 1833, years before IBM was founded in New York.",
  "Angela Merkel visited the Café Müller in Zürich with a delegation of the European Commission.",
  "The Rhine flows from Switzerland through Germany to Rotterdam, where Shell has a refinery.",
];

const STRATEGIES: Readonly<Record<string, string>> = {
  average: "agree on their mean",
  first: "follow the first one",
  max: "follow the surest one",
  simple: "are labelled one by one",
};

export const tagPanel: Panel = (root: HTMLElement, app: App): void => {
  const text = element("textarea", { id: "tag-text", rows: 3 });
  const example = exampleButton(EXAMPLES, (chosen) => {
    text.value = chosen;
  });
  const options = Object.entries(STRATEGIES).map(([value, words]) => element("option", { value }, words));
  const strategy = element("select", { id: "tag-strategy" }, ...options);
  const pieces = element("label", { class: "row tight", for: "tag-strategy" }, "Pieces of a word", strategy);

  taskPanel<EntityGroup[]>(root, app, {
    title: "Tag",
    lead: "Names of people, places and whatever else the model was taught to find.",
    fields: [field("Text", text), element("div", { class: "row" }, pieces, example)],
    needs: "a classifier of tokens",
    supports: ({ model }) => model.has("logits") && model.classifierKind === "token",
    suggestions: ["dslim/bert-base-NER", "dbmdz/bert-large-cased-finetuned-conll03-english"],
    lacks: () => (text.value.trim() === "" ? "Write something to tag." : undefined),
    async run({ bert }, options) {
      const aggregationStrategy = strategy.value as AggregationStrategy;
      const [found] = await classifyTokens(bert, [text.value], { ...options, aggregationStrategy });
      return found!.filter((entity): entity is EntityGroup => "entity_group" in entity);
    },
    show(entities, output, { bert }) {
      const hues = huesOf(bert);
      output.replaceChildren(legend(hues, entities), passage(text.value, entities, hues));
      const list = entities.map(({ start, end, entity_group }) => `${text.value.slice(start, end)}: ${entity_group}`);
      return entities.length === 0 ? "Nothing found" : `${entities.length} found. ${list.join(", ")}`;
    },
  });
};

/** Degrees on the colour wheel, spread over the model's types. */
function huesOf({ model }: Pretrained): ReadonlyMap<string, number> {
  const types = [...new Set(model.config.labels.map((label) => label.replace(/^[BIES]-/, "")))].filter(
    (t) => t !== "O",
  );
  return new Map(types.map((type, i) => [type, (200 + (i * 360) / types.length) % 360]));
}

function passage(text: string, entities: readonly EntityGroup[], hues: ReadonlyMap<string, number>): HTMLElement {
  const parts: (Node | string)[] = [];
  let at = 0;
  for (const { start, end, score, entity_group: type } of entities) {
    const mark = coloured(
      element(
        "mark",
        { "data-type": type, "data-score": score, "data-start": start, "data-end": end },
        text.slice(start, end),
        element("small", {}, type),
      ),
      hues.get(type),
    );
    mark.title = `${type}, ${percentage(score)}`;
    parts.push(text.slice(at, start), mark);
    at = end;
  }
  return element("p", { class: "passage" }, ...parts, text.slice(at));
}

function legend(hues: ReadonlyMap<string, number>, entities: readonly EntityGroup[]): HTMLElement {
  const items = [...hues].map(([type, hue]) => {
    const count = entities.filter(({ entity_group }) => entity_group === type).length;
    return element("li", {}, coloured(element("mark", {}, type), hue), ` ${count}`);
  });
  return element("ul", { class: "legend muted", "aria-label": "Types found" }, ...items);
}

function coloured(mark: HTMLElement, hue = 0): HTMLElement {
  mark.style.setProperty("--hue", hue.toFixed(0));
  return mark;
}
