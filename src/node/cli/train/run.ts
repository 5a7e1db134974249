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
import { makesModel } from "../../hub/files.ts";
import { createEngine } from "../../index.ts";
import { type DiskStore, openDiskStore } from "../../training/disk_store.ts";
import { InputError, messageOf } from "../failure.ts";
import { fingerprintFile } from "../fingerprint.ts";
import { catchInterruption } from "../interruption.ts";
import { adapterText, aligned, megabytes, print, say, warnings } from "../output.ts";
import { barsOn, durationText, progress } from "../progress_bar.ts";
import { quietTerminal } from "../quiet_terminal.ts";
import { modelCard } from "./card.ts";
import { type ConfusionKeeper, keepConfusion } from "./confusion.ts";
import { openBegin } from "./model.ts";
import type { TrainOptions } from "./options.ts";
import { claimFolder } from "./output_folder.ts";
import type { RunEnd } from "./page.ts";
import type { Prepare, Prepared } from "./prepared.ts";
import { trainingProgress } from "./progress.ts";
import { type WriteReport, withReport } from "./report.ts";

/** Tokens of a sequence, where nothing is said and the model takes more. */
const USUAL_LENGTH = 512;

export async function train(kind: string, options: TrainOptions, prepare: Prepare): Promise<void> {
  requireTogether(options);
  const { model, config, tokenizer, input, evalInput = [] } = options;
  const reads = [...input, ...evalInput, model, config, tokenizer].filter((path) => path !== undefined);
  for (const path of [...input, ...evalInput]) if (path !== "-") await stat(path);
  const { dir, release } = await claimFolder(options.output, { ...options, reads });
  try {
    await withReport(options, dir, reads, (report) => trainInto(dir, kind, options, prepare, report));
  } finally {
    await release();
  }
}

async function trainInto(
  dir: string,
  kind: string,
  options: TrainOptions,
  prepare: Prepare,
  report: WriteReport,
): Promise<void> {
  const notes = warnings();
  const confusion = keepConfusion();
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
    const prepared = await prepare({ ...begin, options, maxLength, warn: notes.warn, onConfusion: confusion.add });
    requireMetric(options, prepared);
    const store = confusion.storing(await openDiskStore(dir));
    const fingerprint = await fingerprintOf(kind, options, maxLength);
    const evaluationFingerprint = prepared.evaluation && (await evaluationFingerprintOf(options));
    engine = await quietTerminal(() => createEngine({ adapter: options.adapter }));
    say(`adapter: ${adapterText(engine.adapter)}`);
    const data = { ...prepared.data, fingerprint };
    const trainer = await Trainer.create(engine, begin.folder, data, trainerOptions(options, prepared), {
      ...(prepared.evaluation && { evaluation: prepared.evaluation, evaluationFingerprint }),
      store,
    });
    const { adapter } = engine;
    const told = { kind, options, prepared, trainer, adapter: adapter.name };
    const reported = (end: RunEnd): Promise<string | undefined> =>
      report({ ...told, confusion: confusion.kept, end, date: new Date() });
    try {
      await run({ ...told, store, confusion, report: reported });
    } finally {
      trainer.dispose();
    }
  } finally {
    notes.end();
    engine?.dispose();
  }
}

/** A run, and all that it is of. */
interface Run {
  readonly kind: string;
  readonly options: TrainOptions;
  readonly prepared: Prepared;
  readonly trainer: Trainer;
  readonly adapter: string;
  readonly store: DiskStore;
  readonly confusion: ConfusionKeeper;
  /** Writes its page. */
  readonly report: (end: RunEnd) => Promise<string | undefined>;
}

async function run(given: Run): Promise<void> {
  const { trainer, store, options, prepared, confusion, adapter } = given;
  const { json } = options;
  if (options.resume) {
    const from = await trainer.restore();
    if (from !== undefined) await confusion.restore((await store.open(from))!);
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
  const { totalSteps: steps, step } = trainer;
  if (json) await print(JSON.stringify({ event: "begin", steps, step, adapter, memory, ...prepared.facts }));
  const interruption = catchInterruption();
  try {
    const end = await steer(given, interruption).catch(async (error: unknown) => {
      const failed = { kind: "failed", message: messageOf(error) } as const;
      await given.report(failed).catch((second: unknown) => say(`warning: ${messageOf(second)}`)); // the first is to tell
      throw error;
    });
    const page = await given.report(end);
    if (page !== undefined) say(`report -> ${page}`);
  } finally {
    interruption.end();
  }
}

/** Trains to the end or until it is interrupted, and writes what is there then. */
async function steer(
  { kind, trainer, store, options, prepared, confusion }: Run,
  interruption: ReturnType<typeof catchInterruption>,
): Promise<RunEnd> {
  const { json, output, resume } = options;
  const { totalSteps, step: begun } = trainer;
  const start = performance.now();
  const progress = trainingProgress(begun, totalSteps);
  const told = async (event: TrainerEvent): Promise<void> => (json ? print(jsonOf(event)) : tell(event, totalSteps));
  try {
    let saved = resume ? begun : -1;
    for await (const event of trainer.run({ signal: interruption.signal })) {
      if (event.kind === "saved") saved = event.step;
      if (event.kind === "evaluation") confusion.judged(event.step, event.best);
      if (event.kind === "step") progress.step(event);
      else progress.clear();
      await told(event);
    }
    progress.clear();
    const { step, best } = trainer;
    if (interruption.signal.aborted && !trainer.finished) {
      if (saved !== step) {
        const folder = await trainer.save();
        if (json) await told({ kind: "saved", step, folder });
      }
      if (json) await print(JSON.stringify({ event: "interrupted", step, steps: totalSteps }));
      say(`interrupted after step ${step} of ${totalSteps}: it is saved, --resume goes on`);
      process.exitCode = interruption.exitCode();
      return { kind: "interrupted" };
    }
    await store.writeFiles(finished(kind, trainer, store, options, prepared), makesModel);
    const seconds = (performance.now() - start) / 1000;
    const which = best && best.step !== step ? `, the weights are those of step ${best.step}` : "";
    if (json) await print(JSON.stringify({ event: "end", step, seconds, output, ...(best && { best }) }));
    say(`${step - begun} steps in ${durationText(seconds)}${which} -> ${output}`);
    return { kind: "finished" };
  } finally {
    progress.clear();
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
  const { miniBatchSize } = options;
  if (evalInput && evalSplit !== undefined) faults.push("give either --eval-input or --eval-split");
  const asked = Object.entries({ metric, "early-stopping": earlyStopping, "eval-steps": evalSteps });
  for (const [name, value] of asked) {
    if (value !== undefined && !evalInput && evalSplit === undefined)
      faults.push(`--${name} needs --eval-input or --eval-split`);
  }
  if (batchSize !== undefined && batchTokens !== undefined) faults.push("give either --batch-size or --batch-tokens");
  if (miniBatchSize !== undefined && batchTokens !== undefined)
    faults.push("--mini-batch-size parts batches of --batch-size; --batch-tokens is given");
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
  const { objectives, labels, evaluation, metrics, sentence } = prepared;
  const { dropout: p, metric = metrics[0], ...given } = options;
  const { epochs, maxSteps, learningRate, weightDecay, warmupSteps, schedule, maxGradNorm } = given;
  const { gradientAccumulation, batchTokens, batchSize, evalSteps, saveSteps, saveLimit, loggingSteps } = given;
  const { earlyStopping, seed, dtype, miniBatchSize, freeze, recompute } = given;
  return {
    ...{ objectives, labels, fromScratch: options.model === undefined, seed, dtype },
    ...{ epochs, maxSteps, learningRate, weightDecay, warmupSteps, schedule, maxGradNorm },
    ...{ gradientAccumulation, batchTokens, batchSize, saveSteps, saveLimit, loggingSteps },
    ...{ sentence, miniBatchSize, freeze, recompute },
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
  for (const file of await fingerprintsOf(options.input, options)) hash.update(`${file}\n`);
  const { format, delimiter, header, textColumn, pairColumn, labelColumn, evalSplit, problemType, newLabels } = options;
  const { maskShare, wholeWord, shuffleBuffer, docStride, negativeColumn } = options;
  const decisions = [
    ...[kind, maxLength, format, delimiter, header, textColumn, pairColumn, labelColumn, evalSplit, problemType],
    ...[newLabels, maskShare, wholeWord, shuffleBuffer, docStride, negativeColumn],
  ];
  return hash.update(JSON.stringify(decisions)).digest("hex");
}

/** Of what an evaluation follows from beside that: which checkpoint is the best, and the end of a run, depend on it. */
async function evaluationFingerprintOf(options: TrainOptions): Promise<string> {
  const { evalInput, evalSplit, maxAnswerLen } = options;
  const files = evalInput ? await fingerprintsOf(evalInput, options) : [`a share of ${evalSplit} of the input`];
  return [...files, ...(maxAnswerLen === undefined ? [] : [`answers of ${maxAnswerLen} tokens`])].join("; ");
}

async function fingerprintsOf(paths: readonly string[], options: TrainOptions): Promise<string[]> {
  const found: string[] = [];
  for (const path of paths) {
    const hashing = progress(`hashing ${path}`, barsOn(options));
    found.push(await fingerprintFile(path, hashing.at).finally(hashing.end));
  }
  return found;
}
