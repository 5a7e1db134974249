/** The tab "The machine": what the page computes on, and where the time of a forward goes. */

import { Engine } from "bert-webgpu";
import { measureCeilings } from "../../../bench/ceilings.ts";
import { draw } from "../../../bench/html/plots.ts";
import { milliseconds, short } from "../../../bench/numbers.ts";
import type { CeilingRow } from "../../../bench/rows.ts";
import { drawInto } from "../../../src/page/plots/drawing.ts";
import type { Panel } from "../app.ts";
import { byId, element, messageOf } from "../dom.ts";
import { fact, factsOf, featuresOf } from "./facts.ts";
import { type MeasuredForward, measureForward, type Output, outputsOf } from "./forward.ts";
import { drawTimeline } from "./timeline.ts";
import { kernelsOf, rooflineOf, workOf, workTable } from "./work.ts";

const CEILING_BUDGET = 300; // milliseconds for each

const PAGE = `
<section class="card measured" aria-labelledby="machine-title">
  <h2 id="machine-title">What this page computes on</h2>
  <dl id="machine-facts"></dl>
  <ul id="machine-features" class="small"></ul>
</section>
<section class="card measured" aria-labelledby="forward-title">
  <div class="task-head">
    <h2 id="forward-title">Where a forward spends its time</h2>
    <p class="muted">Every kernel launch, timed on the GPU in a pass of its own, which makes the whole a little slower.
      Nothing is padded: a forward computes the tokens that there are.</p>
  </div>
  <form id="machine-form">
    <label class="field">Text
      <textarea id="machine-text" rows="2" required>A quiet film with a slow start, and then the finest last half hour that I have seen in years.</textarea>
    </label>
    <div class="row">
      <label class="field">What is computed <select id="machine-output"></select></label>
      <label class="field">In one batch
        <select id="machine-batch"><option value="1">1 text</option><option value="8">8 texts</option></select>
      </label>
      <label class="field">Repeats
        <select id="machine-repeats"><option>1</option><option selected>5</option><option>20</option></select>
      </label>
      <button type="submit" id="machine-run" class="primary" disabled>Run a forward</button>
    </div>
  </form>
  <p id="machine-status" class="muted small" role="status">Waiting for a model …</p>
  <p id="machine-untimed" class="notice" hidden>
    This device has no timestamp-query, so the time of each launch is not known: only that of the whole forward, by the
    page's clock.
  </p>
  <div id="machine-results" class="measured" hidden>
    <dl id="machine-numbers"></dl>
    <div id="machine-timeline" class="plot" role="group" aria-label="Timeline of the launches; arrow keys go from one to the next"></div>
    <p id="machine-launch" class="mono small"></p>
    <h3 id="machine-table-title">By kernel and shape</h3>
    <div id="machine-table"></div>
    <p class="muted small">
      Bytes are those that a launch binds, each operand once: of a word table all, though few of its rows are read. So
      the rate is the most that it can be.
    </p>
    <details><summary>Every launch in its order</summary><div id="machine-launches"></div></details>
    <p id="machine-step" class="muted small" hidden></p>
  </div>
</section>
<section class="card measured" id="roofline" aria-labelledby="roofline-title" hidden>
  <div class="task-head">
    <h2 id="roofline-title">How close that is to what the adapter can do</h2>
    <p class="muted">
      A kernel with few operations for a byte can be no faster than the memory, one with many no faster than arithmetic.
      Kernels that only move bytes are in the table.
    </p>
  </div>
  <div class="row">
    <button type="button" id="machine-ceilings">Measure the ceilings</button>
    <span id="machine-roof" class="muted small" role="status">The roof is not measured yet; it takes some seconds.</span>
  </div>
  <div id="machine-roofline" class="plot" role="img" aria-label="Plot: GFLOP/s of each kernel against its operations per byte. Its numbers are in the table above."></div>
</section>`;

export const machinePanel: Panel = (root, app) => {
  root.innerHTML = PAGE;
  const { engine } = app;
  const place = (id: string): HTMLElement => byId(id, HTMLElement);
  const [run, status] = [byId("machine-run", HTMLButtonElement), place("machine-status")];
  const output = byId("machine-output", HTMLSelectElement);
  const chosen = (id: string): number => Number(byId(id, HTMLSelectElement).value);
  const showForward = plotsOf(place);
  let outputs: readonly Output[] = [];
  let ceilings: readonly CeilingRow[] = [];
  let forward: MeasuredForward | undefined;

  const showFacts = (): void => {
    place("machine-facts").replaceChildren(...factsOf(engine, app.loaded));
    place("machine-features").replaceChildren(...featuresOf(engine));
    place("machine-untimed").hidden = engine.device.features.has("timestamp-query");
  };
  const show = (): void => {
    place("machine-results").hidden = !forward;
    place("roofline").hidden = forward?.gpu === undefined;
    if (forward) showForward(forward, ceilings);
  };
  showFacts();

  app.onModel(({ bert, name }) => {
    outputs = outputsOf(bert.model);
    output.replaceChildren(...outputs.map(({ name }) => element("option", {}, name)));
    forward = undefined;
    show();
    showFacts();
    run.disabled = false;
    status.textContent = `${name} is ready.`;
  });

  byId("machine-form", HTMLFormElement).addEventListener("submit", async (event) => {
    event.preventDefault();
    const { loaded } = app;
    const { wanted } = outputs[output.selectedIndex] ?? {};
    if (!loaded || !wanted) return;
    run.disabled = true;
    status.textContent = "Running …";
    try {
      const text = byId("machine-text", HTMLTextAreaElement).value;
      const options = { batch: chosen("machine-batch"), repeats: chosen("machine-repeats"), wanted };
      const measured = await measureForward(engine, loaded.bert, text, options);
      if (app.loaded !== loaded) return;
      forward = measured;
      const cut = measured.cut ? " The text is longer than the model takes, the rest was left out." : "";
      status.textContent = `A forward of ${loaded.name}, ${measured.tokens} tokens: ${milliseconds(measured.wall)} ms.${cut}`;
      show();
      showFacts();
    } catch (error) {
      if (app.loaded === loaded) status.textContent = messageOf(error);
    } finally {
      run.disabled = false;
    }
  });

  const measure = byId("machine-ceilings", HTMLButtonElement);
  measure.addEventListener("click", async () => {
    measure.disabled = true;
    place("machine-roof").textContent = "Measuring arithmetic, then memory …";
    // with memory of its own, which is freed: a copy larger than the caches takes far more than the model
    const guest = await Engine.create({ device: engine.device });
    try {
      ceilings = await measureCeilings(guest, CEILING_BUDGET);
      place("machine-roof").textContent = ceilings
        .map(
          ({ name, perSecond, how }) => `${short(perSecond / 1e9)} ${name === "memory" ? "GB/s" : "GFLOP/s"} by ${how}`,
        )
        .join("; ");
      show();
    } catch (error) {
      place("machine-roof").textContent = messageOf(error);
    } finally {
      guest.dispose();
      measure.disabled = false;
    }
  });
};

/** Fills the places of a forward, those of the last one included. */
function plotsOf(place: (id: string) => HTMLElement) {
  let [endTimeline, endRoofline] = [(): void => {}, (): void => {}];
  return (forward: MeasuredForward, ceilings: readonly CeilingRow[]): void => {
    const { launches, gpu, step } = forward;
    const work = workOf(launches);
    place("machine-numbers").replaceChildren(...numbersOf(forward));
    place("machine-table").innerHTML = workTable(work, forward);
    place("machine-launches").innerHTML = workTable(launches, forward);
    const coarse = step >= 0.01;
    place("machine-step").hidden = !coarse;
    place("machine-step").textContent =
      `This browser lets the GPU's clock step by ${short(step)} ms only, so that short launches come out as 0 or a step: repeat more, their mean is right.`;
    endTimeline();
    endRoofline();
    if (gpu === undefined) return;
    const say = (text: string): void => {
      place("machine-launch").textContent = text || "Point at a launch, or go through them by the arrow keys.";
    };
    say("");
    endTimeline = drawInto(place("machine-timeline"), (width) => drawTimeline(forward, width, say));
    const figure = rooflineOf(work, ceilings, kernelsOf(launches));
    if (figure.marks.length > 0) endRoofline = drawInto(place("machine-roofline"), (width) => draw(figure, width));
  };
}

function numbersOf({ launches, sequences, tokens, wall, gpu, repeats }: MeasuredForward): HTMLElement[] {
  const sum = (of: "flops" | "bytes"): number => launches.reduce((total, launch) => total + launch[of], 0);
  return [
    fact("dispatches", String(launches.length), { "data-dispatches": launches.length }),
    fact("tokens", sequences > 1 ? `${tokens} in ${sequences} texts` : String(tokens), { "data-tokens": tokens }),
    ...(gpu === undefined
      ? []
      : [fact(`on the GPU, mean of ${repeats}`, `${milliseconds(gpu)} ms`, { "data-gpu": gpu })]),
    fact("to the output in memory, median", `${milliseconds(wall)} ms`, { "data-wall": wall }),
    fact("tokens per second", short((tokens / wall) * 1e3), { "data-tokens-per-second": (tokens / wall) * 1e3 }),
    fact("operations in a forward", `${short(sum("flops") / 1e6)} MFLOP`, { "data-flops": sum("flops") }),
    fact("bytes bound in a forward", `${short(sum("bytes") / 1e6)} MB`, { "data-bytes": sum("bytes") }),
  ];
}
