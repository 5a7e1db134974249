/** One batch of sequences, written to their ends: steps follow each other on the GPU, and every few of them are read back. */

import { NOBODY } from "../../runtime/ops/decoding.ts";
import type { OutputData, Program } from "../../runtime/program.ts";
import type { Sequence } from "../batch.ts";
import { packBatch } from "../forward.ts";
import { NonFiniteError } from "../non_finite.ts";
import type { GenerationModel } from "./model.ts";
import type { Settled } from "./settings.ts";
import {
  type Capacity,
  listsOf,
  makeWorkspace,
  roundCapacity,
  sourcesProgram,
  stepProgram,
  type Workspace,
} from "./workspace.ts";

/** What one sequence is written for. */
export interface DecodingJob {
  /** Without masked tokens; none for a causal model. */
  readonly source: Sequence | undefined;
  /** What each of its sequences begins with. */
  readonly begin: readonly number[];
  /** A number of its own among all, for draws. */
  readonly name: number;
}

export interface Written {
  /** Its beginning first, and what ended it last. */
  readonly ids: readonly number[];
  /** Of a search: the sum of log probabilities over the length to the power of the length penalty. */
  readonly score?: number;
}

/** The sequences of each job so far, those of searches at their end alone. */
export interface Reading {
  readonly sequences: readonly (readonly Written[])[];
  readonly done: readonly boolean[];
}

/** Steps between two read-backs. */
const READ_EVERY = 8;
/** In place of what ended, where a score was no number. */
const NO_NUMBER = 0xffffffff;
/** Workspaces that wait for the next batch. */
const MOST_IDLE = 2;

/** The room that jobs need, as capacities are shared. @param begun tokens that all begin with */
export function capacityFor(jobs: readonly DecodingJob[], settled: Settled): Capacity {
  const { beams, returned, most } = settled;
  return roundCapacity({
    sources: jobs.length,
    width: beams > 1 ? beams : returned,
    places: most,
    sourceTokens: jobs.reduce((sum, { source }) => sum + (source?.inputIds.length ?? 0), 0),
    lists: listsOf(settled).data.length,
    beams: beams > 1,
  });
}

/**
 * @param jobs beginnings of one length
 * @param every steps between two readings
 * @throws NonFiniteError where scores are not numbers, the signal's reason, DisposedError, GpuError, DeviceLostError
 */
export async function* decode(
  model: GenerationModel,
  jobs: readonly DecodingJob[],
  settled: Settled,
  { signal, every = READ_EVERY }: { readonly signal?: AbortSignal | undefined; readonly every?: number } = {},
): AsyncGenerator<Reading, void, undefined> {
  const { disposal } = model;
  const either = signal ? AbortSignal.any([signal, disposal]) : disposal;
  either.throwIfAborted();
  const workspace = await take(model, capacityFor(jobs, settled));
  let whole = false;
  try {
    yield* run(model, workspace, jobs, settled, every, either);
    whole = true;
  } finally {
    if (whole) give(model, workspace);
    else workspace.allocation.dispose(); // who reads has had enough, or something went wrong: steps may still be under way
  }
}

/** One that is there, or a new one. */
async function take(model: GenerationModel, capacity: Capacity): Promise<Workspace> {
  const parts = await model.parts();
  const { idle, engine } = model;
  for (const old of idle.filter(({ generation }) => generation !== parts.generation)) {
    idle.splice(idle.indexOf(old), 1);
    old.allocation.dispose();
  }
  const key = JSON.stringify(capacity);
  const found = idle.findIndex((one) => JSON.stringify(one.capacity) === key);
  return found >= 0 ? idle.splice(found, 1)[0]! : makeWorkspace(engine, capacity, parts);
}

function give({ idle, disposal }: GenerationModel, workspace: Workspace): void {
  idle.push(workspace);
  while (idle.length > (disposal.aborted ? 0 : MOST_IDLE)) idle.shift()!.allocation.dispose();
}

async function* run(
  model: GenerationModel,
  workspace: Workspace,
  jobs: readonly DecodingJob[],
  settled: Settled,
  every: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Reading, void, undefined> {
  const { engine } = model;
  const parts = await model.parts();
  const begun = jobs[0]!.begin.length;
  const { state, capacity } = workspace;
  const lists = listsOf(settled);
  await begin(model, workspace, jobs, lists.data, signal);
  const done = jobs.map(() => false);
  /** Those who are still worked on take the front of a batch of a power of two. */
  const gather = (): number => {
    const live = [...done.keys()].filter((source) => !done[source]);
    const batch = new Uint32Array(capacity.sources).fill(NOBODY);
    batch.set(live);
    state.batch.write(batch);
    return 2 ** Math.ceil(Math.log2(live.length));
  };
  let sources = gather();
  const fill = begun > 1 ? await stepProgram(engine, workspace, sources, undefined, parts) : undefined;
  for (let step = 0; step + 1 < begun; step++) await fill!.submit({ step }, { readBack: false, signal });
  let program = await stepProgram(engine, workspace, sources, settled, parts);
  for (let step = begun - 1; step + 1 < settled.most; step++) {
    const last = step + 2 === settled.most;
    const read = last || (step + 2 - begun) % every === 0;
    const submission = await program.submit(scalarsOf(settled, lists, step, begun), { readBack: read, signal });
    if (!read) continue;
    const outputs = await submission.read();
    signal?.throwIfAborted();
    const reading = readingOf(workspace, jobs, settled, outputs, step + 2, done);
    yield reading;
    if (done.every((one) => one)) return;
    const left = gather();
    if (left < sources) program = await stepProgram(engine, workspace, left, settled, parts);
    sources = left;
  }
}

/** Writes what a batch begins with, and encodes its sources. */
async function begin(
  model: GenerationModel,
  workspace: Workspace,
  jobs: readonly DecodingJob[],
  lists: Uint32Array,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { state, capacity } = workspace;
  const { width, places, beams } = capacity;
  const slots = capacity.sources * width;
  const tokens = new Uint32Array(slots * places);
  const names = new Uint32Array(slots);
  for (const [i, { begin, name }] of jobs.entries()) {
    for (let b = 0; b < width; b++) {
      tokens.set(begin, (i * width + b) * places);
      names[i * width + b] = name * width + b;
    }
  }
  const chains = new Uint32Array((beams ? 2 : 1) * slots * places);
  for (let slot = 0; slot < slots; slot++) chains.fill(slot, slot * places, (slot + 1) * places);
  // all beams begin alike: the first alone goes on, and the others are what comes of it
  const sums = Float32Array.from({ length: 2 * slots }, (_, i) => (i < slots && i % width === 0 ? 0 : -1e9));
  state.tokens.write(tokens);
  state.names.write(names);
  state.chains.write(chains);
  state.sums.write(sums);
  state.ended.write(new Uint32Array(state.ended.shape[0]!));
  state.lists.write(lists);
  const starts = new Uint32Array(capacity.sources + 1);
  if (!model.config.encoder) return state.cuSeqlens.write(starts);
  const parts = await model.parts();
  const batch = packBatch(
    jobs.map(({ source }) => source!),
    model.config.encoder,
  );
  starts.fill(batch.wordIds.length);
  starts.set(batch.cuSeqlens);
  state.cuSeqlens.write(starts);
  state.sourceIds.write(batch.wordIds);
  const program = await sourcesProgram(model.engine, workspace, batch, parts);
  const inputs: Record<string, Uint32Array> = { "source tokens": batch.tokens, "source cuSeqlens": batch.cuSeqlens };
  if (parts.weights.encoder!.embeddings.word.parts.length > 1) inputs["source wordIds"] = batch.wordIds;
  await program.submit(inputs, { readBack: false, signal });
}

/** What is set at each step. */
function scalarsOf(
  { most, beams, lengthPenalty, earlyStopping, forcedFirst, forcedLast }: Settled,
  { first, last }: ReturnType<typeof listsOf>,
  step: number,
  begun: number,
): Parameters<Program["submit"]>[0] {
  let [begin, end] = [0, 0];
  if (step === 0 && forcedFirst !== undefined) [begin, end] = [first, first + 1];
  else if (step + 2 === most) [begin, end] = [last, last + forcedLast.length];
  const common = { step, "forced begin": begin, "forced end": end };
  if (beams === 1) return common;
  const written = step + 2 - begun;
  const divisor = written ** lengthPenalty;
  const reach = earlyStopping === "never" && lengthPenalty > 0 ? (most - begun) ** lengthPenalty : divisor;
  return { ...common, last: step + 2 === most ? 1 : 0, divisor, reach };
}

/** @param length of the sequences that have not ended @param done is brought up to date */
function readingOf(
  { capacity }: Workspace,
  jobs: readonly DecodingJob[],
  { most, returned, beams }: Settled,
  outputs: Readonly<Record<string, OutputData>>,
  length: number,
  done: boolean[],
): Reading {
  const { width, places, sources } = capacity;
  const [tokens, ended, chains, sums] = ["tokens", "ended", "chains", "sums"].map((name) => outputs[name]!);
  const slots = sources * width;
  const sequences = jobs.map((_, source): Written[] => {
    const first = source * width;
    const own = Array.from({ length: width }, (_, b) => first + b);
    const states = beams > 1 ? [ended![2 * slots + source]!] : own.map((slot) => ended![slot]!);
    if (states.includes(NO_NUMBER)) {
      throw new NonFiniteError("scores", [jobs[source]!.name], Number.NaN);
    }
    done[source] = length === most || states.every((state) => state !== 0);
    if (beams === 1) {
      return own.map((slot) => ({
        ids: [...tokens!.subarray(slot * places, slot * places + (ended![slot]! || length))],
      }));
    }
    if (!done[source]) return [];
    const finished = own.filter((slot) => ended![slot]! > 0).slice(0, returned);
    return finished.map((slot) => {
      const before = Array.from({ length: ended![slot]! - 1 }, (_, at) => {
        return tokens![chains![(slots + slot) * places + at]! * places + at]!;
      });
      return { ids: [...before, ended![slots + slot]!], score: sums![slots + slot]! };
    });
  });
  return { sequences, done: [...done] };
}
