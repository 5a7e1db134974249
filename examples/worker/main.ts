/** Search by meaning: this side has the page and messages, the worker all the rest. */

import { countFrom } from "../sentences.ts";
import type { Reply, Request, Result } from "./worker.ts";

const query = document.querySelector<HTMLInputElement>("#query")!;
const file = document.querySelector<HTMLInputElement>("#file")!;
const list = document.querySelector<HTMLOListElement>("#results")!;
const bar = document.querySelector<HTMLProgressElement>("#bar")!;
const progress = document.querySelector<HTMLElement>("#progress")!;
const status = document.querySelector<HTMLElement>("#status")!;
const problem = document.querySelector<HTMLElement>("#problem")!;

const worker = new Worker("worker.js", { type: "module" });
const send = (request: Request): void => worker.postMessage(request);

worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => {
  if (data.kind === "progress") showProgress(data);
  else if (data.kind === "results") showResults(data);
  else problem.textContent = `This went wrong: ${data.message}`;
});
worker.addEventListener("error", ({ message }) => {
  problem.textContent = `The worker did not start: ${message}`;
});

query.addEventListener("input", () => send({ kind: "search", query: query.value }));
file.addEventListener("change", async () => {
  const lines = ((await file.files?.[0]?.text()) ?? "").split(/\r?\n/).filter((line) => line.trim() !== "");
  if (lines.length > 0) send({ kind: "index", sentences: lines });
});

send({ kind: "index", sentences: countFrom(location.search, 10_000) });
send({ kind: "search", query: query.value });

function showProgress({ done, total, rate }: Extract<Reply, { kind: "progress" }>): void {
  bar.value = done / total;
  progress.dataset.done = String(done);
  progress.textContent = `${done.toLocaleString()} of ${total.toLocaleString()} sentences, ${Math.round(rate)} a second`;
}

function showResults({ query, results, ms }: Extract<Reply, { kind: "results" }>): void {
  list.replaceChildren(...results.map(item));
  list.dataset.query = query;
  status.textContent = `searched in ${ms.toFixed(1)} ms`;
}

function item({ text, score }: Result): HTMLLIElement {
  const line = document.createElement("li");
  const mark = document.createElement("data");
  mark.value = String(score);
  mark.textContent = score.toFixed(3);
  line.append(text, mark);
  return line;
}
