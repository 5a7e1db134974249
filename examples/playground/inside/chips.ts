/** The tokens of the texts, in a row; a click on one puts a mask in its place. */

import { element } from "../dom.ts";
import type { Look, Token } from "./look.ts";

/** Told of the token to mask; none where masking makes no sense, and then tokens are no buttons. */
export type OnMask = ((token: Token) => void) | undefined;

export function drawChips(root: HTMLElement, { tokens }: Look, onMask: OnMask): void {
  root.replaceChildren(
    ...tokens.map((token, index) => {
      const button = onMask !== undefined && token.of !== null && !token.masked;
      const chip = element(
        button ? "button" : "span",
        {
          class: classesOf(token, tokens[index + 1]),
          "data-token": token.text,
          "data-index": String(index),
          ...(button && { type: "button", title: `Put a mask in place of ${token.text}` }),
        },
        token.continues ? token.text.replace(/^##/, "") : token.text,
      );
      if (button) chip.addEventListener("click", () => onMask(token));
      return element("li", {}, chip);
    }),
  );
}

function classesOf(token: Token, next: Token | undefined): string {
  const classes = { special: token.special, masked: token.masked, continues: token.continues, open: next?.continues };
  const named = Object.entries(classes).filter(([, is]) => is);
  return ["inside-chip", ...named.map(([name]) => name)].join(" ");
}
