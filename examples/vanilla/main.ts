/** Sentiment as you type: the smallest complete app. */

import { classifyText, Engine, loadPretrained, NoWebGpuError, type Pretrained } from "bert-webgpu";
import { movieBert } from "../model.ts";

const text = document.querySelector<HTMLTextAreaElement>("#text")!;
const answer = document.querySelector<HTMLOutputElement>("#label")!;
const meter = document.querySelector<HTMLMeterElement>("#meter")!;
const status = document.querySelector<HTMLElement>("#status")!;
const problem = document.querySelector<HTMLElement>("#problem")!;

try {
  const engine = await Engine.create();
  const bert = await loadPretrained(engine, movieBert(), { wanted: { logits: true } });
  status.textContent = `ready, on ${engine.adapter.name}`;
  classifyAsYouType(bert);
} catch (error) {
  status.textContent = "";
  show(error);
}

function classifyAsYouType(bert: Pretrained): void {
  // The engine computes one text after another. Aborting drops a text that still waits for its turn and silences one
  // that is being computed: there is no timer to tune, and the last text wins.
  let typing = new AbortController();
  const update = (): void => {
    typing.abort();
    typing = new AbortController();
    classify(bert, text.value, typing.signal).catch((error) => {
      if (error.name !== "AbortError") show(error);
    });
  };
  text.addEventListener("input", update);
  text.disabled = false;
  text.focus();
  update();
}

async function classify(bert: Pretrained, review: string, signal: AbortSignal): Promise<void> {
  const begin = performance.now();
  // all labels, best first
  const [labels] = await classifyText(bert, [review], { topK: null, signal });
  const { label, score } = labels![0]!;
  meter.value = labels!.find(({ label }) => label === "POSITIVE")!.score;
  answer.textContent = `${label.toLowerCase()}, ${(100 * score).toFixed(1)}%`;
  answer.dataset.label = label;
  answer.dataset.score = String(score);
  answer.dataset.text = review;
  status.textContent = `${(performance.now() - begin).toFixed(1)} ms`;
}

function show(error: unknown): void {
  const isMissing = error instanceof NoWebGpuError;
  problem.textContent = isMissing
    ? `This page needs WebGPU: ${error.message}.`
    : `This went wrong: ${(error as Error).message}`;
}
