/** A forward pass taken apart: what each launch is, and how long it took. */

import { type BertModel, type Engine, type Launch, maxLength, type Pretrained, type Wanted } from "bert-webgpu";
import { quantile, stepOf } from "../../../bench/timing.ts";

/** Milliseconds are undefined where the device has no timestamps. */
export interface TimedLaunch extends Launch {
  /** On the GPU, the mean of all repeats: of a clock that a browser has blunted, only the mean is right. */
  readonly ms: number | undefined;
}

export interface MeasuredForward {
  readonly launches: readonly TimedLaunch[];
  readonly sequences: number;
  readonly tokens: number;
  /** The text was longer than the model takes. */
  readonly cut: boolean;
  readonly repeats: number;
  /** Median milliseconds from ids in memory to the output in memory, by the wall clock, without timestamps. */
  readonly wall: number;
  /** Sum of the launches on the GPU. */
  readonly gpu: number | undefined;
  /** Milliseconds by which the GPU's clock steps; 0 where it was not used or stands still. */
  readonly step: number;
}

export interface Output {
  readonly name: string;
  readonly wanted: Wanted;
}

/** What this model has the weights for. */
export function outputsOf(model: BertModel): Output[] {
  const known: readonly (Output & { readonly needs: keyof Wanted })[] = [
    { name: "the classifier's logits", needs: "logits", wanted: { logits: true } },
    { name: "an answer's start and end", needs: "spanLogits", wanted: { spanLogits: true } },
    { name: "five word pieces for every token", needs: "predictionTopK", wanted: { predictionTopK: 5 } },
    { name: "the last hidden state", needs: "lastHiddenState", wanted: { lastHiddenState: true } },
  ];
  return known.filter(({ needs }) => model.has(needs));
}

/** Runs the text `batch` times over in one forward, and that `repeats` times, each once plainly and once timed. */
export async function measureForward(
  engine: Engine,
  bert: Pretrained,
  text: string,
  { batch, repeats, wanted }: { readonly batch: number; readonly repeats: number; readonly wanted: Wanted },
): Promise<MeasuredForward> {
  let cut = false;
  const { ids, typeIds } = bert.tokenizer.encode(text, undefined, {
    truncation: "longest_first",
    maxLength: maxLength(bert),
    onCut: () => {
      cut = true;
    },
  });
  const sequences = Array.from({ length: batch }, () => ({ inputIds: ids, tokenTypeIds: typeIds }));
  const { program, inputs } = await bert.model.program(sequences, wanted);
  await program.run(inputs); // some drivers compile at the first launch
  const timed = engine.device.features.has("timestamp-query");
  const walls: number[] = [];
  const samples: number[][] = program.launches.map(() => []);
  for (let i = 0; i < repeats; i++) {
    const before = performance.now();
    await program.run(inputs);
    walls.push(performance.now() - before);
    if (!timed) continue;
    await program.run(inputs, {
      profile: (times) => {
        for (const [launch, { ms }] of times.entries()) samples[launch]!.push(ms);
      },
    });
  }
  const mean = (times: readonly number[]): number => times.reduce((sum, ms) => sum + ms, 0) / times.length;
  const launches = program.launches.map((launch, i) => ({ ...launch, ms: timed ? mean(samples[i]!) : undefined }));
  walls.sort((a, b) => a - b);
  return {
    launches,
    sequences: batch,
    tokens: batch * ids.length,
    cut,
    repeats,
    wall: quantile(walls, 0.5),
    gpu: timed ? launches.reduce((sum, { ms }) => sum + ms!, 0) : undefined,
    step: stepOf(samples.flat()),
  };
}
