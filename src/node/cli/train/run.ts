/** A run of `train`: everything is looked at before the first step, then trained, evaluated, saved and told. */

import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import type { Engine } from "../../../runtime/engine.ts";
import {
  type LoraOptions,
  type StoredFile,
  Trainer,
  type TrainerEvent,
  type TrainerOptions,
} from "../../../train/index.ts";
import { createEngine } from "../../index.ts";
import { type DiskStore, openDiskStore } from "../../training/disk_store.ts";
import { InputError } from "../failure.ts";
import { fingerprintFile } from "../fingerprint.ts";
import { catchInterruption } from "../interruption.ts";
import { adapterText, aligned, megabytes, print, say, warnings } from "../output.ts";
import { barsOn, durationText, progress } from "../progress_bar.ts";
import { quietTerminal } from "../quiet_terminal.ts";
import { modelCard } from "./card.ts";
import { openBegin } from "./model.ts";
import type { TrainOptions } from "./options.ts";
import { claimFolder } from "./output_folder.ts";
import type { Prepare, Prepared } from "./prepared.ts";
import { trainingProgress } from "./progress.ts";

/** Tokens of a sequence, where nothing is said and the model takes more. */
const USUAL_LENGTH = 512;

export async function train(kind: string, options: TrainOptions, prepare: Prepare): Promise<void> {
  requireTogether(options);
  const { model, config, tokenizer, input, evalInput = [] } = options;
  const reads = [...input, ...evalInput, model, config, tokenizer].filter((path) => path !== undefined);
  for (const path of [...input, ...evalInput]) if (path !== "-") await stat(path);
  const { dir, release } = await claimFolder(options.output, { ...options, reads });
  const notes = warnings();
  let engine: Engine | undefined;
  try {
    const begin = await openBegin(options);
    for (const warning of begin.warnings) notes.warn(`${begin.folder.name}: ${warning}`);
    const most = Math.min(
      begin.config.maxPositionEmbeddings,
      begin.tokenizer.modelMaxLength ?? Number.POSITIVE_INFINITY,
    );
    const { maxLength = Math.min(most, USUAL_LENGTH) } = options;
    if (maxLength > most) throw new InputError(`--max-length is ${maxLength}, the model takes ${most} tokens`);
    const prepared = await prepare({ ...begin, options, maxLength, warn: notes.warn });
    requireMetric(options, prepared);
    const store = await openDiskStore(dir);
    const fingerprint = await fingerprintOf(kind, options, maxLength);
    engine = await quietTerminal(() => createEngine({ adapter: options.adapter }));
    say(`adapter: ${adapterText(engine.adapter)}`);
    const data = { ...prepared.data, fingerprint };
    const trainer = await Trainer.create(engine, begin.folder, data, trainerOptions(options, prepared), {
      ...(prepared.evaluation && { evaluation: prepared.evaluation }),
      store,
    });
    try {
      await run(kind, trainer, store, options, prepared);
    } finally {
      trainer.dispose();
    }
  } finally {
    notes.end();
    engine?.dispose();
    await release();
  }
}

async function run(
  kind: string,
  trainer: Trainer,
  store: DiskStore,
  options: TrainOptions,
  prepared: Prepared,
): Promise<void> {
  const { json } = options;
  if (options.resume) {
    const from = await trainer.restore();
    say(from === undefined ? `${store.name} has no checkpoint: the run begins anew` : `going on from ${from}`);
  }
  if (trainer.random.length > 0 && options.model !== undefined) {
    say(`new, with random weights: ${trainer.random.join(", ")}`);
  }
  for (const [name, fact] of Object.entries(prepared.facts)) say(`${name}: ${fact}`);
  const memory = await trainer.memory();
  const total = memory.reduce((sum, { bytes }) => sum + bytes, 0);
  const rows = [...memory, { what: "all", bytes: total }].map(({ what, bytes }) => [`  ${what}`, megabytes(bytes)]);
  say(["memory of the GPU:", ...aligned(rows)].join("\n"));
  if (json)
    await print(
      JSON.stringify({ event: "begin", steps: trainer.totalSteps, step: trainer.step, memory, ...prepared.facts }),
    );
  const interruption = catchInterruption();
  const start = performance.now();
  const begun = trainer.step;
  const progress = trainingProgress(begun, trainer.totalSteps);
  try {
    let saved = options.resume ? begun : -1;
    for await (const event of trainer.run({ signal: interruption.signal })) {
      if (event.kind === "saved") saved = event.step;
      if (event.kind === "step") progress.step(event);
      else progress.clear();
      if (json) await print(jsonOf(event));
      else await tell(event, trainer.totalSteps);
    }
    progress.clear();
    const seconds = (performance.now() - start) / 1000;
    if (interruption.signal.aborted && !trainer.finished) {
      if (saved !== trainer.step) await trainer.save();
      say(`interrupted after step ${trainer.step} of ${trainer.totalSteps}: it is saved, --resume goes on`);
      process.exitCode = interruption.exitCode();
      return;
    }
    await store.writeFiles(finished(kind, trainer, store, options, prepared));
    const { best, step } = trainer;
    const which = best && best.step !== step ? `, the weights are those of step ${best.step}` : "";
    if (json)
      await print(JSON.stringify({ event: "end", step, seconds, output: options.output, ...(best && { best }) }));
    say(`${step - begun} steps in ${durationText(seconds)}${which} -> ${options.output}`);
  } finally {
    progress.clear();
    interruption.end();
  }
}

/** The model of the best checkpoint where there is one, else as it is now; and what people read of it. */
async function* finished(
  kind: string,
  trainer: Trainer,
  store: DiskStore,
  options: TrainOptions,
  prepared: Prepared,
): AsyncGenerator<StoredFile> {
  const { best, step } = trainer;
  const folder = best?.checkpoint !== undefined && best.step !== step ? await store.open(best.checkpoint) : undefined;
  for await (const file of trainer.model()) {
    const source = await folder?.open(file.path);
    if (!source) yield file;
    else {
      const slices = async function* (): AsyncGenerator<Uint8Array> {
        for (let at = 0; at < source.size; at += 4 << 20) yield source.read(at, Math.min(4 << 20, source.size - at));
      };
      yield { path: file.path, bytes: slices() };
      await source.close();
    }
  }
  yield { path: "README.md", bytes: [new TextEncoder().encode(modelCard(kind, options, prepared, trainer))] };
}

async function tell(event: TrainerEvent, totalSteps: number): Promise<void> {
  if (event.kind === "saved") return say(`saved ${event.folder}`);
  if (event.kind === "evaluation") {
    const figures = Object.entries(event.metrics).map(([name, value]) => `${name} ${value.toFixed(4)}`);
    return print(
      `step ${event.step}, epoch ${event.epoch.toFixed(2)}: ${figures.join(", ")}${event.best ? " (best)" : ""}`,
    );
  }
  if (process.stderr.isTTY) return;
  const { step, loss, learningRate, tokensPerSecond } = event;
  await print(
    `step ${step}/${totalSteps}: loss ${loss.toFixed(4)}, learning rate ${learningRate.toExponential(2)}, ${Math.round(tokensPerSecond)} tokens/s`,
  );
}

const jsonOf = ({ kind, ...rest }: TrainerEvent): string => JSON.stringify({ event: kind, ...rest });

function requireTogether(options: TrainOptions): void {
  const faults: string[] = [];
  const { evalInput, evalSplit, metric, earlyStopping, evalSteps, batchSize, batchTokens, resume, input } = options;
  if (evalInput && evalSplit !== undefined) faults.push("give either --eval-input or --eval-split");
  const asked = Object.entries({ metric, "early-stopping": earlyStopping, "eval-steps": evalSteps });
  for (const [name, value] of asked) {
    if (value !== undefined && !evalInput && evalSplit === undefined)
      faults.push(`--${name} needs --eval-input or --eval-split`);
  }
  if (batchSize !== undefined && batchTokens !== undefined) faults.push("give either --batch-size or --batch-tokens");
  const files = [...input, ...(evalInput ?? [])];
  if (resume && files.includes("-")) faults.push("standard input cannot be read again: --resume needs files");
  if (files.filter((path) => path === "-").length > 1) faults.push("standard input can be read once");
  const { loraRank, loraAlpha, loraTargets, loraDropout, freeze, model } = options;
  if (loraRank === undefined && [loraAlpha, loraTargets, loraDropout].some((own) => own !== undefined)) {
    faults.push("--lora-alpha, --lora-targets and --lora-dropout need --lora-rank");
  }
  if (loraRank !== undefined && freeze) faults.push("--lora-rank freezes all but adapters: leave --freeze out");
  if ((loraRank !== undefined || freeze) && model === undefined) {
    faults.push("--lora-rank and --freeze need --model: random weights would stay as they are");
  }
  if (faults.length > 0) throw new InputError(faults.join("; "));
}

function requireMetric({ metric }: TrainOptions, { metrics }: Prepared): void {
  if (metric !== undefined && !metrics.includes(metric)) {
    throw new InputError(`--metric is ${metric}, there are ${metrics.join(", ")}`);
  }
}

function trainerOptions(options: TrainOptions, prepared: Prepared): TrainerOptions {
  const { objectives, labels, evaluation, metrics } = prepared;
  const { dropout: p, metric = metrics[0], ...given } = options;
  const { epochs, maxSteps, learningRate, weightDecay, warmupSteps, schedule, maxGradNorm } = given;
  const { gradientAccumulation, batchTokens, batchSize, evalSteps, saveSteps, saveLimit, loggingSteps } = given;
  const { earlyStopping, seed, dtype, freeze, recompute } = given;
  return {
    ...{ objectives, labels, fromScratch: options.model === undefined, seed, dtype },
    ...{ epochs, maxSteps, learningRate, weightDecay, warmupSteps, schedule, maxGradNorm },
    ...{ gradientAccumulation, batchTokens, batchSize, saveSteps, saveLimit, loggingSteps, freeze, recompute },
    ...(p !== undefined && { dropout: { hidden: p, attention: p, classifier: p } }),
    ...(evaluation && { evalSteps, metric, earlyStopping }),
    ...(options.loraRank !== undefined && { lora: loraOptions(options, options.loraRank) }),
  };
}

function loraOptions({ loraAlpha, loraTargets, loraDropout, model }: TrainOptions, rank: number): LoraOptions {
  return { rank, alpha: loraAlpha, targets: loraTargets, dropout: loraDropout, baseModel: model?.replace(/@.*/, "") };
}

/** Of all that the examples follow from: a run goes on with the same alone. */
async function fingerprintOf(kind: string, options: TrainOptions, maxLength: number): Promise<string> {
  const hash = createHash("sha256");
  for (const path of options.input) {
    const hashing = progress(`hashing ${path}`, barsOn(options));
    hash.update(`${await fingerprintFile(path, hashing.at).finally(hashing.end)}\n`);
  }
  const { format, delimiter, header, textColumn, pairColumn, labelColumn, evalSplit, problemType, newLabels } = options;
  const { maskShare, wholeWord, shuffleBuffer, docStride } = options;
  const decisions = [
    ...[kind, maxLength, format, delimiter, header, textColumn, pairColumn, labelColumn, evalSplit, problemType],
    ...[newLabels, maskShare, wholeWord, shuffleBuffer, docStride],
  ];
  return hash.update(JSON.stringify(decisions)).digest("hex");
}
