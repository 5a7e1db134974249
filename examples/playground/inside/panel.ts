/** Look inside: a text, its tokens, and what the model makes of them, layer by layer. */

import type { Panel } from "../app.ts";
import { element, messageOf } from "../dom.ts";
import { attentionView } from "./attention.ts";
import { drawChips } from "./chips.ts";
import { lensView } from "./lens.ts";
import { type Look, lookInside, type Token } from "./look.ts";
import { normsView } from "./norms.ts";
import { similarityView } from "./similarity.ts";

const TEXT = "The film is a [MASK] and unforgettable masterpiece.";
/** Milliseconds without a key before a text is looked at. */
const PAUSE = 250;

export const insidePanel: Panel = (root, app) => {
  const text = element("input", { id: "inside-text", type: "text", autocomplete: "off", spellcheck: "false" });
  const pair = element("input", {
    id: "inside-pair",
    type: "text",
    autocomplete: "off",
    placeholder: "none",
    spellcheck: "false",
  });
  text.value = TEXT;
  const chips = element("ol", { class: "inside-chips", "aria-label": "Tokens" });
  const note = element("p", { class: "inside-note muted", role: "status" });
  const undo = element("button", { type: "button", class: "inside-undo", hidden: true }, "Take the mask back");
  root.append(
    element(
      "section",
      { class: "card inside-texts" },
      element("label", { for: "inside-text" }, "Text"),
      text,
      element("label", { for: "inside-pair" }, "Second text"),
      pair,
      chips,
      note,
      undo,
    ),
  );
  const views = element("div", { class: "inside-views" });
  root.append(views);
  const shows = [attentionView(views), normsView(views), lensView(views), similarityView(views)];

  const masked: { field: HTMLInputElement; before: string; after: string }[] = [];
  const mask = ({ of, at: [start, end] }: Token): void => {
    const field = of === 1 ? pair : text;
    const before = field.value;
    const { mask } = app.loaded!.bert.tokenizer.special;
    field.setRangeText(app.loaded!.bert.tokenizer.idToToken(mask!)!, start, end, "end");
    masked.push({ field, before, after: field.value });
    run();
  };
  undo.addEventListener("click", () => {
    const last = masked.pop();
    if (last) last.field.value = last.before;
    run();
  });
  const show = (look: Look, canMask: boolean): void => {
    drawChips(chips, look, canMask ? mask : undefined);
    note.textContent = noteOn(look, canMask);
    for (const view of shows) view(look);
    const last = masked.at(-1);
    undo.hidden = !last || last.field.value !== last.after;
    root.dataset.tokens = String(look.tokens.length);
  };
  const run = latest(async (signal) => {
    const { loaded } = app;
    if (!loaded) return;
    root.setAttribute("aria-busy", "true");
    try {
      const look = await lookInside(loaded.bert, text.value, pair.value, signal);
      if (signal.aborted) return;
      const { bert } = loaded;
      show(look, bert.model.has("predictionLogits") && bert.tokenizer.special.mask !== undefined);
    } catch (error) {
      if (!signal.aborted) note.textContent = messageOf(error);
    } finally {
      if (!signal.aborted) root.removeAttribute("aria-busy");
    }
  });

  let timer = 0;
  const soon = (): void => {
    clearTimeout(timer);
    timer = window.setTimeout(run, PAUSE);
  };
  text.addEventListener("input", soon);
  pair.addEventListener("input", soon);
  const seen = whenSeen(root, run);
  app.onModel(seen);
};

/** Calls `work` anew each time; what an earlier call still does is told to stop. */
function latest(work: (signal: AbortSignal) => Promise<void>): () => void {
  let current: AbortController | undefined;
  return () => {
    current?.abort();
    current = new AbortController();
    void work(current.signal);
  };
}

/** A call of what comes back does the work, at once or when `root` is next seen: nothing for a tab that is not open. */
function whenSeen(root: HTMLElement, work: () => void): () => void {
  let due = false;
  const doIfSeen = (): void => {
    if (!due || root.clientWidth === 0) return;
    due = false;
    work();
  };
  new ResizeObserver(doIfSeen).observe(root);
  return () => {
    due = true;
    doIfSeen();
  };
}

function noteOn({ tokens, given }: Look, canMask: boolean): string {
  const cut = given > tokens.length ? `Only ${tokens.length} of ${given} tokens are shown. ` : "";
  return cut + (canMask ? "Click a token to put a mask in its place." : `${tokens.length} tokens.`);
}
