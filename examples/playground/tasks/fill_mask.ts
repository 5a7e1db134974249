/** Fill the mask: what may stand at [MASK], and a click puts it there. */

import { fillMask, type MaskFill, type Pretrained } from "bert-webgpu";
import type { App, Panel } from "../app.ts";
import { element } from "../dom.ts";
import { percentage, rankedList } from "./ranked.ts";
import { exampleButton, field, taskPanel } from "./task.ts";

const EXAMPLES = [
  "The film was [MASK] from beginning to end.",
  "A [MASK] story with a [MASK] ending.",
  "The actors are [MASK], but the plot makes no sense.",
];

/** Candidates of a mask. */
const SHOWN = 10;

export const fillMaskPanel: Panel = (root: HTMLElement, app: App): void => {
  const text = element("textarea", { id: "fill-text", rows: 2, spellcheck: "false" });
  const insert = element("button", { type: "button", id: "fill-insert" }, "Insert [MASK]");
  const example = exampleButton(EXAMPLES, (chosen) => {
    text.value = app.loaded ? chosen.replaceAll("[MASK]", maskOf(app.loaded.bert)) : chosen;
  });

  const run = taskPanel<MaskFill[][]>(root, app, {
    title: "Fill the mask",
    lead: "BERT learnt language by guessing words that were covered up. Cover some, and choose among its guesses.",
    fields: [field("Text", text), element("div", { class: "row tight" }, insert, example)],
    needs: "a masked-LM head",
    supports: ({ model }) => model.has("predictionLogits"),
    suggestions: ["bert-base-uncased", "bert-base-cased"],
    onModel: ({ bert }) => {
      insert.textContent = `Insert ${maskOf(bert)}`;
    },
    lacks: ({ bert }) =>
      text.value.includes(maskOf(bert)) ? undefined : `Put a ${maskOf(bert)} where a word is to be guessed.`,
    run: async ({ bert }, options) => (await fillMask(bert, [text.value], { ...options, topK: SHOWN }))[0]!,
    show(masks, output, { bert }) {
      const sections = masks.map((fills, mask) =>
        element(
          "section",
          { "data-mask": mask },
          element("h3", {}, masks.length > 1 ? `Mask ${mask + 1} of ${masks.length}` : "Guesses"),
          rankedList(
            fills.map(({ token_str: name, score }) => ({ name, score })),
            { relative: true, verb: "Put in", onChoose: (i) => put(fills[i]!.token_str, mask, maskOf(bert)) },
          ),
        ),
      );
      output.replaceChildren(element("div", { class: "masks" }, ...sections));
      return masks.map(([best], mask) => `Mask ${mask + 1}: ${best!.token_str}, ${percentage(best!.score)}`).join(". ");
    },
  });

  function put(word: string, mask: number, name: string): void {
    const parts = text.value.split(name);
    const before = parts.slice(0, mask + 1).join(name);
    const after = parts.slice(mask + 1).join(name);
    // a piece that goes on with a word joins it
    text.value = word.startsWith("##") ? before.trimEnd() + word.slice(2) + after : before + word + after;
    text.focus();
    run();
  }

  insert.addEventListener("click", () => {
    const name = app.loaded ? maskOf(app.loaded.bert) : "[MASK]";
    text.setRangeText(name, text.selectionStart, text.selectionEnd, "end");
    text.focus();
    run();
  });
};

function maskOf({ tokenizer }: Pretrained): string {
  const { mask } = tokenizer.special;
  return (mask !== undefined && tokenizer.idToToken(mask)) || "[MASK]";
}
