/** The numbers behind a picture, as a table that is filled when somebody opens it. */

import { element } from "../dom.ts";

export interface Numbers {
  readonly rows: readonly string[];
  readonly columns: readonly string[];
  /** Row-major. */
  readonly values: ArrayLike<number>;
}

export interface NumbersTable {
  readonly element: HTMLDetailsElement;
  show(numbers: Numbers): void;
}

export function numbersTable(summary: string): NumbersTable {
  const place = element("div", { class: "inside-scroll" });
  const details = element("details", {}, element("summary", {}, summary), place);
  let shown: Numbers | undefined;
  const fill = (): void => {
    if (details.open && shown) place.replaceChildren(tableOf(shown, summary));
  };
  details.addEventListener("toggle", fill);
  return {
    element: details,
    show(numbers) {
      shown = numbers;
      fill();
    },
  };
}

function tableOf({ rows, columns, values }: Numbers, caption: string): HTMLTableElement {
  const head = element("tr", {}, element("td"));
  for (const name of columns) head.append(element("th", { scope: "col" }, name));
  const body = element("tbody");
  for (const [r, name] of rows.entries()) {
    const row = element("tr", {}, element("th", { scope: "row" }, name));
    for (const c of columns.keys()) {
      const value = values[r * columns.length + c]!;
      row.append(element("td", { "data-value": String(value) }, value.toFixed(3)));
    }
    body.append(row);
  }
  const hidden = element("caption", { class: "visually-hidden" }, caption);
  return element("table", { class: "inside-numbers" }, hidden, element("thead", {}, head), body);
}
