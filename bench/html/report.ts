/** The results as one HTML file. */

import { pageScript } from "../../src/node/page_script.ts";
import { documentOf, factCard, failureCard, figureOf, section } from "../../src/page/document.ts";
import { escapeHtml } from "../../src/page/tables.ts";
import { LEGEND } from "../columns.ts";
import { adapterText, machineText, type OriginRow } from "../origin.ts";
import { ceilingFacts, ceilingWarning, type Row } from "../rows.ts";
import { latency, peers, roofline, shares, taskOf } from "./figures.ts";
import { type Run, splitRuns } from "./runs.ts";
import { kernelTable, modelTable, peerTable, shareTable, trainTable } from "./tables.ts";

/**
 * @param rows of one run or, each after its own origin, of several
 * @returns a complete HTML document
 * @throws Error when the build has not bundled the page's script
 */
export async function htmlReport(rows: readonly Row[]): Promise<string> {
  return pageOf(rows, await pageScript());
}

/** @param script plain JavaScript that draws the figures */
export function pageOf(rows: readonly Row[], script: string): string {
  const runs = splitRuns(rows);
  const names = runs.map(({ origin }) => origin?.adapter.name ?? "unknown adapter");
  return documentOf({
    title: `bert-webgpu bench: ${[...new Set(names)].join(", ")}`,
    generator: "bert-webgpu bench",
    heading: "bert-webgpu bench",
    parts: [...runs.map(machineCard), failures(runs), ...sections(runs)],
    footer:
      "Every output was verified before it was timed. The rows themselves are in this page, as JSON in the element <code>rows</code>.",
    data: { rows },
    script,
  });
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

function machineCard({ origin, letter, ceilings }: Run): string {
  const heading = [letter, origin?.adapter.name ?? "Unknown machine"].filter(Boolean).join(" · ");
  const facts = [
    ...(origin ? factsOf(origin) : [["origin", "these rows came without one"]]),
    ...ceilings.map((row) => [`${row.name} ceiling`, ceilingFacts(row).join(", ")]),
  ];
  const warning = ceilingWarning(ceilings, origin?.adapter.software ?? false);
  const note = warning === undefined ? "" : `<p class="warning">Warning: ${escapeHtml(warning)}.</p>`;
  return factCard(heading, facts, note);
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
  const items = rows.map(({ name, message, suffix }) => `<b>${escapeHtml(name + suffix)}</b>: ${escapeHtml(message)}`);
  return failureCard("Failed, so not timed", items);
}
