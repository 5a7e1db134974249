/** The tab "Bench": the kernels on this machine, each verified against the CPU before it is timed. */

import { roofline } from "../../../bench/html/figures.ts";
import { draw } from "../../../bench/html/plots.ts";
import { splitRuns } from "../../../bench/html/runs.ts";
import { kernelTable } from "../../../bench/html/tables.ts";
import { short } from "../../../bench/numbers.ts";
import { type CeilingRow, fileOf, type Row } from "../../../bench/rows.ts";
import { drawInto } from "../../../src/page/plots/drawing.ts";
import type { Panel } from "../app.ts";
import { byId, element, messageOf } from "../dom.ts";
import { type BenchChoice, chosenTasks, runBench } from "./run.ts";

const PAGE = `
<section class="card measured" aria-labelledby="bench-title">
  <div class="task-head">
    <h2 id="bench-title">Bench the kernels</h2>
    <p class="muted">
      Each kernel at the sizes of BERT-base with 128 tokens, beside what this adapter can do at best. A kernel is held
      against float64 on the CPU first; one that computes wrongly is not timed. While the CPU computes, the page waits.
    </p>
  </div>
  <form id="bench-form" class="row">
    <label class="grow field">Kernels
      <input id="bench-filter" list="bench-names" placeholder="all; or a part of their names" autocomplete="off" autocapitalize="off" spellcheck="false">
      <datalist id="bench-names"></datalist>
    </label>
    <label class="field">Time for each
      <select id="bench-budget">
        <option value="50">0.05 s</option>
        <option value="300" selected>0.3 s</option>
        <option value="2000">2 s</option>
      </select>
    </label>
    <label class="field">Numbers in
      <select id="bench-dtype"><option>f32</option></select>
    </label>
    <label class="row tight"><input id="bench-variants" type="checkbox"> every variant</label>
  </form>
  <div class="row">
    <button type="submit" form="bench-form" class="primary" id="bench-run">Run</button>
    <button type="button" id="bench-stop" disabled>Stop</button>
    <button type="button" id="bench-export" disabled>Export JSON</button>
    <button type="button" id="bench-copy" disabled>Copy JSON</button>
    <span id="bench-count" class="muted small"></span>
  </div>
  <div id="bench-going" class="row tight" hidden>
    <progress id="bench-progress" aria-label="Kernels measured"></progress>
  </div>
  <p id="bench-status" class="muted small" role="status"></p>
</section>
<section class="card measured" id="bench-results" aria-labelledby="bench-results-title" hidden>
  <h2 id="bench-results-title">Results</h2>
  <dl id="bench-ceilings"></dl>
  <div class="plot" id="bench-plot" role="img" aria-label="Plot: GFLOP/s of each kernel against its operations per byte, under the ceilings. Its numbers are in the table below."></div>
  <div id="bench-table"></div>
  <ul id="bench-failures" class="error" hidden></ul>
  <p class="muted small">
    <b>*</b> is what the engine launches here; <b>/ copy</b> the time over that of a plain copy of as many bytes;
    <b>share</b> the least time that the two ceilings allow over the median. Compare runs with <code>bert-webgpu bench --compare A.json B.json</code>.
  </p>
</section>`;

export const benchPanel: Panel = (root, { engine }) => {
  root.innerHTML = PAGE;
  const filter = byId("bench-filter", HTMLInputElement);
  const variants = byId("bench-variants", HTMLInputElement);
  const [run, stop] = [byId("bench-run", HTMLButtonElement), byId("bench-stop", HTMLButtonElement)];
  const [save, copy] = [byId("bench-export", HTMLButtonElement), byId("bench-copy", HTMLButtonElement)];
  const progress = byId("bench-progress", HTMLProgressElement);
  const status = byId("bench-status", HTMLElement);
  let rows: Row[] = [];
  let aborter = new AbortController();

  const names = chosenTasks(engine, { filter: "", variants: true }).tasks.flatMap(({ kernels }) => kernels);
  byId("bench-names", HTMLElement).append(...[...new Set(names)].sort().map((value) => element("option", { value })));
  if (engine.hasF16) byId("bench-dtype", HTMLSelectElement).append(element("option", {}, "f16"));

  const choice = (): BenchChoice => ({
    filter: filter.value.trim(),
    variants: variants.checked,
    dtype: byId("bench-dtype", HTMLSelectElement).value as BenchChoice["dtype"],
    budget: Number(byId("bench-budget", HTMLSelectElement).value),
  });
  const count = (): void => {
    const { kernels } = chosenTasks(engine, choice());
    byId("bench-count", HTMLElement).textContent =
      kernels === 0 ? "no kernel has such a name" : `${kernels} ${kernels === 1 ? "kernel" : "kernels"}`;
    run.disabled = kernels === 0 || !stop.disabled;
    progress.max = kernels || 1;
  };
  filter.addEventListener("input", count);
  variants.addEventListener("change", count);
  count();

  const running = (now: boolean): void => {
    stop.disabled = !now;
    for (const control of root.querySelectorAll<HTMLInputElement>("form :is(input, select)")) control.disabled = now;
    save.disabled = copy.disabled = now || rows.length === 0;
    byId("bench-going", HTMLElement).hidden = !now;
    count();
  };
  byId("bench-form", HTMLFormElement).addEventListener("submit", async (event) => {
    event.preventDefault();
    aborter = new AbortController();
    rows = [];
    const show = resultsIn(root);
    running(true);
    let outcome = "Done";
    try {
      await runBench(engine, choice(), {
        signal: aborter.signal,
        onRow: (row) => {
          rows.push(row);
          show(rows);
        },
        onProgress: (text, done) => {
          progress.value = done;
          status.textContent = `${text} …`;
        },
      });
      if (aborter.signal.aborted) outcome = "Stopped";
    } catch (error) {
      outcome = messageOf(error);
    }
    const measured = rows.filter(({ type }) => type === "kernel").length;
    status.textContent = `${outcome}: ${measured} ${measured === 1 ? "kernel" : "kernels"} measured.`;
    running(false);
  });
  stop.addEventListener("click", () => {
    aborter.abort();
    stop.disabled = true;
    status.textContent = "Stopping after what is being measured …";
  });
  save.addEventListener("click", () => download(nameOf(rows), fileOf(rows)));
  copy.addEventListener("click", async () => {
    const outcome = await navigator.clipboard.writeText(fileOf(rows)).then(() => "Copied.", messageOf);
    status.textContent = outcome;
  });
};

/** Shows rows as they come; a new run begins with a clean place. */
function resultsIn(root: HTMLElement): (rows: readonly Row[]) => void {
  const place = (id: string): HTMLElement => root.querySelector<HTMLElement>(`#${id}`)!;
  const [table, failures, plot] = [place("bench-table"), place("bench-failures"), place("bench-plot")];
  for (const each of [table, failures, plot, place("bench-ceilings")]) each.replaceChildren();
  failures.hidden = true;
  place("bench-results").hidden = true;
  let endPlot = (): void => {};
  return (rows) => {
    const [results] = splitRuns(rows);
    const row = rows.at(-1)!;
    if (row.type === "ceiling") {
      place("bench-results").hidden = false;
      place("bench-ceilings").append(ceilingOf(row));
    } else if (row.type === "failure") {
      failures.hidden = false;
      failures.append(element("li", {}, element("b", {}, row.name), `: ${row.message}`));
    } else if (row.type === "kernel") {
      const drawn = document.createElement("template");
      drawn.innerHTML = kernelTable(results!);
      const body = table.querySelector("tbody");
      if (body)
        body.replaceWith(drawn.content.querySelector("tbody")!); // scrolled as it was
      else table.replaceChildren(drawn.content);
      const figure = roofline(results!);
      plot.hidden = figure.marks.length === 0;
      if (plot.hidden) return;
      endPlot();
      endPlot = drawInto(plot, (width) => draw(figure, width));
    }
  };
}

function ceilingOf({ name, how, perSecond, timing }: CeilingRow): HTMLElement {
  const unit = name === "arithmetic" ? "GFLOP/s" : "GB/s";
  return element(
    "div",
    { "data-ceiling": name, "data-per-second": perSecond },
    element("dt", {}, `${name} ceiling, by ${how}, ${timing.clock} clock`),
    element("dd", {}, `${short(perSecond / 1e9)} ${unit}`),
  );
}

/** `bench-nvidia-rtx-4070-2026-01-31.json` */
function nameOf(rows: readonly Row[]): string {
  const origin = rows.find((row) => row.type === "origin")!;
  const adapter = origin.adapter.name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "");
  return `bench-${adapter}-${origin.date.slice(0, 10)}.json`;
}

function download(name: string, text: string): void {
  const href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  element("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000); // some browsers read it only after a question to the person
}
