/** A task over the texts of a command, answered as they come: lines of standard input are never waited for. */

import type { Pretrained } from "../../bert/tasks/pretrained.ts";
import { InputError } from "./failure.ts";
import { print } from "./output.ts";
import { barsOn, progressBar } from "./progress_bar.ts";
import type { Session } from "./session.ts";
import { textBatches } from "./texts.ts";

interface Answering<Result, Loaded> {
  /** Called once, when there is a text. */
  readonly run: (pretrained: Loaded, texts: AsyncIterable<string>) => AsyncIterable<Result>;
  /** The line or lines for each. */
  readonly show: (text: string, result: Result) => string;
  /** What a text is without and cannot be; those before it are answered first. */
  readonly lacks?: (text: string) => string | undefined;
}

/** @throws InputError for a text that lacks something */
export async function answerStream<Result, Loaded = Pretrained>(
  { start, quiet }: Session<Loaded>,
  texts: readonly string[],
  { run, show, lacks }: Answering<Result, Loaded>,
): Promise<void> {
  const asked: string[] = [];
  const source = eachText(texts, lacks);
  const first = await source.next();
  if (first.done) return;
  async function* inputs(): AsyncGenerator<string> {
    for (let next = first; !next.done; next = await source.next()) {
      asked.push(next.value);
      yield next.value;
    }
  }
  const { pretrained } = await start(); // whatever is wrong with the first text is said before a GPU is looked for
  const bar = progressBar(undefined, barsOn({ json: quiet, answers: true }));
  const total = texts.includes("-") ? Number.POSITIVE_INFINITY : texts.length;
  let done = 0;
  try {
    for await (const result of run(pretrained, inputs())) {
      await print(show(asked.shift()!, result));
      bar.at(++done, done / total);
    }
  } finally {
    bar.end();
  }
}

async function* eachText(
  texts: readonly string[],
  lacks: (text: string) => string | undefined = () => undefined,
): AsyncGenerator<string> {
  let count = 0;
  for await (const batch of textBatches(texts)) {
    for (const text of batch) {
      count++;
      const what = lacks(text);
      if (what) throw new InputError(`text ${count} has ${what}: ${JSON.stringify(text.slice(0, 60))}`);
      yield text;
    }
  }
}

/** All texts at once, for what cannot be answered one by one. */
export async function allTexts(texts: readonly string[]): Promise<string[]> {
  const all: string[] = [];
  for await (const batch of textBatches(texts)) all.push(...batch);
  return all;
}
