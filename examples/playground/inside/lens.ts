/** The view of the logit lens: what the masked-LM head would say after every layer. */

import * as Plot from "@observablehq/plot";
import type { TopPredictions } from "bert-webgpu";
import { element } from "../dom.ts";
import { type Look, stateName, type Token } from "./look.ts";
import { section } from "./parts.ts";
import { rove } from "./rove.ts";

interface Guess {
  readonly piece: string;
  readonly probability: number;
}

export function lensView(root: HTMLElement): (look: Look) => void {
  const view = section(
    root,
    "lens",
    "Logit lens",
    "What the masked-LM head would put in each place if the model ended after that layer, last layer on top: stronger is more probable.",
  );
  const place = element("div");
  view.append(place);

  return ({ tokens, guesses, spell }) => {
    if (!guesses) {
      view.dataset.head = "none";
      const why = "This model has no masked-LM head, so there is nothing that could turn its hidden states into words.";
      place.replaceChildren(element("p", { class: "inside-none" }, why));
      return;
    }
    view.dataset.head = "masked-lm";
    const states = [...guesses.keys()].reverse();
    const cells = states.map((state) =>
      tokens.map((_, token) => cellOf(guessesAt(guesses[state]!, token, spell), state, token)),
    );
    const head = element("tr", {}, element("td"));
    head.append(...tokens.map(headerOf));
    const body = element("tbody");
    for (const [r, row] of cells.entries()) {
      body.append(element("tr", {}, element("th", { scope: "row" }, stateName(states[r]!)), ...row));
    }
    const caption = element("caption", { class: "visually-hidden" }, "Best guess by layer and token");
    const table = element("table", { class: "inside-lens" }, caption, element("thead", {}, head), body);
    const scroll = element("div", { class: "inside-scroll" }, table);
    const best = element("figure", { class: "inside-best" });
    const show = (row: number, column: number): void => {
      for (const cell of cells.flat()) cell.classList.toggle("at", cell === cells[row]![column]);
      drawBest(best, guessesAt(guesses[states[row]!]!, column, spell), tokens[column]!, states[row]!);
    };
    rove(scroll, cells, { visit: show });
    place.replaceChildren(scroll, best);
    const masked = tokens.findIndex((token) => token.masked);
    const first = masked < 0 ? Math.min(1, tokens.length - 1) : masked;
    show(0, first);
    scroll.scrollLeft = cells[0]![first]!.offsetLeft - scroll.clientWidth / 2;
  };
}

function guessesAt(
  { k, probabilities, ids }: TopPredictions,
  token: number,
  spell: (id: number) => string,
): readonly Guess[] {
  return Array.from({ length: k }, (_, i) => ({
    piece: spell(ids[token * k + i]!),
    probability: probabilities[token * k + i]!,
  }));
}

function headerOf({ text, masked, special }: Token): HTMLElement {
  return element("th", { scope: "col", class: masked ? "masked" : special ? "muted" : undefined }, text);
}

function cellOf(guesses: readonly Guess[], state: number, token: number): HTMLElement {
  const { piece, probability } = guesses[0]!;
  const cell = element(
    "td",
    {
      "data-state": String(state),
      "data-token": String(token),
      "data-piece": piece,
      "data-probability": String(probability),
    },
    piece,
  );
  cell.style.setProperty("--probability", String(probability));
  return cell;
}

function drawBest(root: HTMLElement, guesses: readonly Guess[], token: Token, state: number): void {
  const words = guesses.map(({ piece, probability }) => `${piece} ${probability.toFixed(3)}`).join(", ");
  const name = `${token.text}, ${stateName(state)}`;
  const plot = Plot.plot({
    width: Math.min(440, root.clientWidth || 440),
    height: 24 * guesses.length + 30,
    marginLeft: 100,
    marginRight: 46,
    marginTop: 4,
    x: { domain: [0, 1], label: null, tickFormat: "%", ticks: 4 },
    y: { domain: [...guesses.keys()], tickFormat: (i: number) => guesses[i]!.piece, label: null, tickSize: 0 },
    marks: [
      Plot.barX(guesses, { y: (_, i) => i, x: "probability", fill: "var(--accent)" }),
      Plot.text(guesses, {
        y: (_, i) => i,
        x: "probability",
        text: ({ probability }: Guess) => `${(100 * probability).toFixed(1)}%`,
        textAnchor: "start",
        dx: 4,
      }),
      Plot.ruleX([0]),
    ],
  });
  plot.setAttribute("aria-hidden", "true"); // the caption says the same
  const said = element("output", { class: "visually-hidden" }, `${name}: ${words}`);
  root.replaceChildren(element("figcaption", {}, element("strong", {}, name)), plot, said);
  root.dataset.guesses = JSON.stringify(guesses);
}
