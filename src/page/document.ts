/** A report as one HTML file: plots, the numbers behind them, and the rows themselves. It asks the network nothing. */

import { STYLE } from "./style.ts";
import { escapeHtml } from "./tables.ts";

/** Enforced by the browser: scripts and styles of the page's own, and nothing fetched. */
const POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'";

/** Characters of a fact that has a line of its own. */
const LONG = 120;

export interface Page {
  readonly title: string;
  /** What wrote it. */
  readonly generator: string;
  readonly heading: string;
  /** HTML, one below the other. */
  readonly parts: readonly string[];
  /** HTML. */
  readonly footer: string;
  /** For whoever reads the page by a program: JSON in the element `rows`. */
  readonly data: unknown;
  /** Plain JavaScript that draws the figures. */
  readonly script: string;
}

/** @returns a complete HTML document */
export function documentOf({ title, generator, heading, parts, footer, data, script }: Page): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="${escapeHtml(generator)}">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${escapeHtml(heading)}</h1>
${parts.filter(Boolean).join("\n")}
<footer>${footer}</footer>
</main>
<script type="application/json" id="rows">${safeJson(data)}</script>
<script>${script.replace(/<\/script/gi, "<\\/script")}</script>
</body>
</html>
`;
}

/** @param table the numbers behind the figures */
export function section(title: string, caption: string, figures: readonly string[], table: string): string {
  return `<section>
<h2>${escapeHtml(title)}</h2>
<p>${escapeHtml(caption)}</p>
${[...figures, table].join("\n")}
</section>`;
}

/** The place of a plot and its data. The numbers are in the table, which is what a screen reader is sent to. */
export function figureOf(figure: { readonly kind: string }, alt: string): string {
  const label = `Plot: ${alt}. Its numbers are in the table below.`;
  return `<div class="plot" role="img" aria-label="${escapeHtml(label)}"><script type="application/json">${safeJson(figure)}</script></div>`;
}

/** Facts by name, in a card. @param note HTML below them */
export function factCard(heading: string, facts: readonly (readonly string[])[], note: string = ""): string {
  const items = facts.map(([name, value]) => {
    const wide = value!.length > LONG ? ' class="wide"' : "";
    return `<div${wide}><dt>${escapeHtml(name!)}</dt><dd>${escapeHtml(value!)}</dd></div>`;
  });
  return `<section class="card"><h2>${escapeHtml(heading)}</h2><dl>${items.join("")}</dl>${note}</section>`;
}

/** @param items HTML */
export function failureCard(heading: string, items: readonly string[]): string {
  return `<section class="failures"><h2>${escapeHtml(heading)}</h2><ul>${items.map((item) => `<li>${item}</li>`).join("")}</ul></section>`;
}

/** No `<` in it, so that nothing in a row can end the element it lies in. */
function safeJson(value: unknown): string {
  return JSON.stringify(value).replaceAll("<", "\\u003c");
}
