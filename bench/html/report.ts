/** The results as one HTML file: plots, the numbers behind them, and the rows themselves. It asks the network nothing. */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { LEGEND } from "../columns.ts";
import { adapterText, machineText, type OriginRow } from "../origin.ts";
import { ceilingFacts, ceilingWarning, type Row } from "../rows.ts";
import { type Figure, latency, peers, roofline, shares, taskOf } from "./figures.ts";
import { type Run, splitRuns } from "./runs.ts";
import { STYLE } from "./style.ts";
import { escapeHtml, kernelTable, modelTable, peerTable, shareTable, trainTable } from "./tables.ts";

/** What draws the plots: bench/html/page.ts, bundled by the build. The same path from dist/node as from bench/html. */
const SCRIPT = new URL("../../dist/report.js", import.meta.url);

/** Enforced by the browser: scripts and styles of the page's own, and nothing fetched. */
const POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'";

/**
 * @param rows of one run or, each after its own origin, of several
 * @returns a complete HTML document
 * @throws Error when the build has not bundled the page's script
 */
export async function htmlReport(rows: readonly Row[]): Promise<string> {
  const script = await readFile(SCRIPT, "utf8").catch((error: Error) => {
    throw new Error(`an HTML report needs ${fileURLToPath(SCRIPT)}: run node build.mjs (${error.message})`);
  });
  return pageOf(rows, script);
}

/** @param script plain JavaScript that draws the figures */
export function pageOf(rows: readonly Row[], script: string): string {
  const runs = splitRuns(rows);
  const names = runs.map(({ origin }) => origin?.adapter.name ?? "unknown adapter");
  const title = `bert-webgpu bench: ${[...new Set(names)].join(", ")}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>bert-webgpu bench</h1>
${[...runs.map(machineCard), failures(runs), ...sections(runs)].filter(Boolean).join("\n")}
<footer>Every output was verified before it was timed. The rows themselves are in this page, as JSON in the element <code>rows</code>.</footer>
</main>
<script type="application/json" id="rows">${safeJson({ rows })}</script>
<script>${script.replace(/<\/script/gi, "<\\/script")}</script>
</body>
</html>
`;
}

function sections(runs: readonly Run[]): string[] {
  const models = runs.some((run) => run.models.length > 0);
  const profiled = runs.some((run) => run.models.some(({ gpu }) => gpu && gpu.kernels.length > 0));
  const tasks = [...new Set(runs.flatMap((run) => run.peers.map(taskOf)))];
  return [
    ...runs.filter(({ kernels }) => kernels.length > 0).map(kernelSection),
    models &&
      section(
        "Latency against tokens",
        "From ids in memory to the last hidden state in memory, the median by the wall clock. A hollow dot is a batch of other than equal lengths, or its even twin.",
        [figureOf(latency(runs), "latency in milliseconds against the tokens of a batch, a line for each model")],
        modelTable(runs),
      ),
    profiled &&
      section(
        "Where a forward pass spends its time",
        "GPU time by kernel, from timestamps around each launch.",
        [figureOf(shares(runs), "a bar for each model and batch, divided by each kernel's share of the GPU time")],
        shareTable(runs),
      ),
    runs.some((run) => run.trainings.length > 0) &&
      section(
        "Training steps",
        "From ids and labels in memory to the loss in memory, beside the inference forward pass of the same batch in the same run.",
        [],
        trainTable(runs),
      ),
    tasks.length > 0 &&
      section(
        "Beside other engines",
        "Median latency on a logarithmic scale, shorter is better; the thin line spans the fastest and the slowest run.",
        tasks.map((task) => {
          const figure = figureOf(peers(runs, task), `median latency of each engine for ${task}, in milliseconds`);
          return `<h3>${escapeHtml(task)}</h3>\n${figure}`;
        }),
        peerTable(runs),
      ),
  ].filter((text) => typeof text === "string");
}

function kernelSection(run: Run): string {
  const figure = roofline(run);
  const measured = figure.arithmetic !== undefined && figure.memory !== undefined;
  const ceilings = measured ? "The roof is what this adapter reached in the same run" : "This run measured no ceilings";
  const chosen = run.kernels.some((row) => row.chosen); // results of before it was told have none
  const alt = "GFLOP/s of each kernel against its operations per byte, under the ceilings of memory and arithmetic";
  return section(
    `Kernels under the roofline${run.suffix}`,
    `${ceilings}${measured ? `: ${run.ceilings.map(({ how }) => how).join("; ")}` : ""}. Kernels that only move bytes are in the table.${chosen ? ` ${LEGEND}.` : ""}`,
    figure.marks.length > 0 ? [figureOf(figure, alt)] : [],
    kernelTable(run),
  );
}

function section(title: string, caption: string, figures: readonly string[], table: string): string {
  return `<section>
<h2>${escapeHtml(title)}</h2>
<p>${escapeHtml(caption)}</p>
${[...figures, table].join("\n")}
</section>`;
}

/** The place of a plot and its data. The numbers are in the table, which is what a screen reader is sent to. */
function figureOf(figure: Figure, alt: string): string {
  const label = `Plot: ${alt}. Its numbers are in the table below.`;
  return `<div class="plot" role="img" aria-label="${escapeHtml(label)}"><script type="application/json">${safeJson(figure)}</script></div>`;
}

function machineCard({ origin, letter, ceilings }: Run): string {
  const heading = [letter, origin?.adapter.name ?? "Unknown machine"].filter(Boolean).join(" · ");
  const facts = [
    ...(origin ? factsOf(origin) : [["origin", "these rows came without one"]]),
    ...ceilings.map((row) => [`${row.name} ceiling`, ceilingFacts(row).join(", ")]),
  ];
  const items = facts.map(([name, value]) => `<div><dt>${name}</dt><dd>${escapeHtml(value!)}</dd></div>`);
  const warning = ceilingWarning(ceilings, origin?.adapter.software ?? false);
  const note = warning === undefined ? "" : `<p class="warning">Warning: ${escapeHtml(warning)}.</p>`;
  return `<section class="card"><h2>${escapeHtml(heading)}</h2><dl>${items.join("")}</dl>${note}</section>`;
}

function factsOf(origin: OriginRow): string[][] {
  const { driver, commit, date } = origin;
  const { processor, system } = machineText(origin);
  return [
    ["adapter", adapterText(origin)],
    ["driver", driver],
    ["CPU", processor],
    ["system", system.join(", ")],
    ["commit", commit],
    ["date", date.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC")],
  ];
}

function failures(runs: readonly Run[]): string {
  const rows = runs.flatMap(({ failures, suffix }) => failures.map((row) => ({ ...row, suffix })));
  if (rows.length === 0) return "";
  const items = rows.map(
    ({ name, message, suffix }) => `<li><b>${escapeHtml(name + suffix)}</b>: ${escapeHtml(message)}</li>`,
  );
  return `<section class="failures"><h2>Failed, so not timed</h2><ul>${items.join("")}</ul></section>`;
}

/** No `<` in it, so that nothing in a row can end the element it lies in. */
function safeJson(value: unknown): string {
  return JSON.stringify(value).replaceAll("<", "\\u003c");
}
