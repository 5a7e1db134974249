/** Everything that takes time: engine, model, embeddings and search. The page only sends texts and gets answers. */

import { createTask, Engine, embedText, loadPretrained } from "bert-webgpu";
import { movieBert } from "../model.ts";
import { makeSentences } from "../sentences.ts";

/** To the worker: index so many made-up sentences, or these; search. */
export type Request =
  | { readonly kind: "index"; readonly sentences: number | readonly string[] }
  | { readonly kind: "search"; readonly query: string };

/** From the worker. */
export type Reply =
  | { readonly kind: "progress"; readonly done: number; readonly total: number; readonly rate: number }
  | { readonly kind: "results"; readonly query: string; readonly results: readonly Result[]; readonly ms: number }
  | { readonly kind: "problem"; readonly message: string };

export interface Result {
  readonly text: string;
  /** The cosine of the angle between the vectors of text and query. */
  readonly score: number;
}

const RESULTS = 10;
/** Small batches: a query that comes while sentences are embedded waits for one of them at most. */
const TOKENS_PER_BATCH = 1024;

const bert = Engine.create().then((engine) => loadPretrained(engine, movieBert()));

let texts: readonly string[] = [];
/** [texts, dimensions], of which the first `embedded` rows are there; each of length 1. */
let vectors = new Float32Array();
let embedded = 0;
let query: { readonly text: string; readonly vector: Float32Array } | undefined;
let indexing = new AbortController();
let searching = new AbortController();

addEventListener("message", ({ data }: MessageEvent<Request>) => {
  const work = data.kind === "index" ? index(data.sentences) : search(data.query);
  work.catch((error) => {
    if (error.name !== "AbortError") reply({ kind: "problem", message: error.message });
  });
});

/** Embeds batch by batch; what is there can be searched meanwhile. */
async function index(sentences: number | readonly string[]): Promise<void> {
  indexing.abort();
  indexing = new AbortController();
  const { signal } = indexing;
  texts = typeof sentences === "number" ? makeSentences(sentences).map(({ text }) => text) : sentences;
  embedded = 0;
  const pretrained = await bert;
  signal.throwIfAborted();
  const dimensions = pretrained.model.config.hiddenSize;
  vectors = new Float32Array(texts.length * dimensions);
  const stream = createTask(pretrained, "sentence-embedding").stream(texts, {
    tokenBudget: TOKENS_PER_BATCH,
    signal,
    onProgress({ done, rate }) {
      reply({ kind: "progress", done, total: texts.length, rate });
      setTimeout(answer); // by then the vectors of this batch have come
    },
  });
  for await (const vector of stream) vectors.set(vector, dimensions * embedded++);
}

/** A query that another one follows is given up, wherever it stands. */
async function search(text: string): Promise<void> {
  searching.abort();
  searching = new AbortController();
  const { signal } = searching;
  const [vector] = await embedText(await bert, [text], { signal });
  query = { text, vector: vector! };
  answer();
}

function answer(): void {
  if (!query) return;
  const begin = performance.now();
  const results = best(query.vector).map(([row, score]) => ({ text: texts[row]!, score }));
  reply({ kind: "results", query: query.text, results, ms: performance.now() - begin });
}

/** Row and score of the nearest vectors: a dot product each, which for vectors of length 1 is the cosine. */
function best(query: Float32Array): [row: number, score: number][] {
  const found: [number, number][] = [];
  for (let row = 0; row < embedded; row++) {
    let score = 0;
    for (let i = 0, at = row * query.length; i < query.length; i++) score += query[i]! * vectors[at + i]!;
    if (found.length === RESULTS && score <= found.at(-1)![1]) continue;
    found.push([row, score]);
    found.sort((a, b) => b[1] - a[1]);
    found.length = Math.min(found.length, RESULTS);
  }
  return found;
}

function reply(message: Reply): void {
  postMessage(message);
}
