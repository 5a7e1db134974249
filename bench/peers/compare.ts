/** One batch on every engine: started, compared, timed in turn. */

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { AdapterSummary } from "../../src/runtime/device.ts";
import type { PeerRow, PeerTiming } from "../rows.ts";
import { quantile, timeRounds } from "../timing.ts";
import { largestError } from "../verify_model.ts";
import type { Workload } from "../workloads.ts";
import { type PeerProcess, startPeer } from "./child.ts";
import { OURS, type PeerEngine, type PeerFiles } from "./engines.ts";

/** Rounds that are not counted: after their first pass some engines still compile, or fill their pools. */
const WARM_ROUNDS = 2;
/** Steps whose losses are compared before any is timed. */
const COMPARED_STEPS = 3;
/** Largest difference of an element, of values around 1, and of a loss; f32 engines are within 1e-5. */
const BOUND = 1e-3;

export interface PeerTask {
  /** `mini 4x256` */
  readonly model: string;
  /** Where its files and the task's own may be written. */
  readonly modelFolder: string;
  readonly scratch: string;
  readonly workload: Workload;
  /** The first sequence's last hidden state in float64; of training the first step's loss. */
  readonly expected: Float64Array;
  /** Training steps are timed, of `ours`, in place of forward passes. */
  readonly training?: { readonly ours: PeerEngine; readonly settings: Readonly<Record<string, number>> };
}

export interface PeerSetup {
  readonly files: PeerFiles;
  /** Where the peers are installed. */
  readonly install: string;
  readonly adapter: string;
  /** Whether ours chooses its matmuls by what `bert-webgpu tune` stored. */
  readonly tuned: boolean;
  readonly env: Readonly<Record<string, string>>;
  /** Milliseconds for each engine. */
  readonly budget: number;
  readonly onProgress: (text: string) => void;
  readonly onFailure: (name: string, error: Error) => void;
  /** Called before any row is made. */
  readonly onAdapter: (adapter: AdapterSummary) => Promise<void>;
}

interface Running {
  readonly engine: PeerEngine;
  readonly process: PeerProcess;
  readonly error: number;
}

/**
 * The rows of those that start and compute rightly.
 * @throws Error when the engine of this repository does not
 */
export async function comparePeers(peers: readonly PeerEngine[], task: PeerTask, setup: PeerSetup): Promise<PeerRow[]> {
  const running: Running[] = [];
  const nameOf = (engine: PeerEngine): string => `${engine.name}, ${task.model}, ${task.workload.name}`;
  try {
    const first = await begin(task.training?.ours ?? OURS, task, setup, undefined);
    running.push(first);
    const reference = { adapter: first.process.about.adapter as AdapterSummary, output: first.output };
    await setup.onAdapter(reference.adapter);
    for (const engine of peers) {
      await begin(engine, task, setup, reference).then(
        (started) => void running.push(started),
        (error: Error) => setup.onFailure(nameOf(engine), error),
      );
    }
    setup.onProgress(`${task.model}, ${task.workload.name}: timing ${running.length} engines in turn`);
    const timings = await timeRounds(running.map(timedRun), setup.budget, WARM_ROUNDS);
    const rows: PeerRow[] = [];
    for (const [i, { engine, process, error }] of running.entries()) {
      try {
        const times = timings[i]!;
        if (times instanceof Error) throw times;
        const timing = peerTiming(times);
        const { peakBytes } = await process.ask({ do: "end" });
        rows.push({
          type: "peer",
          peer: engine.frozen === undefined ? engine.name : `${engine.name} (${engine.frozen} frozen)`,
          kind: engine.kind,
          model: task.model,
          batch: task.training ? `${task.workload.name} training` : task.workload.name,
          adapter: engine.kind === "cpu" ? "cpu" : reference.adapter.name,
          check: { error, bound: BOUND },
          timing,
          firstAnswerColdMs: process.firstAnswer,
          peakBytes: Number(peakBytes),
          sequencesPerSecond: (task.workload.sequences.length * 1e3) / timing.median,
        });
      } catch (error) {
        setup.onFailure(nameOf(engine), error as Error);
      }
    }
    return rows;
  } finally {
    for (const { process } of running) process.kill();
  }
}

export function peerTiming(times: readonly number[]): PeerTiming {
  const sorted = [...times].sort((a, b) => a - b);
  return { median: quantile(sorted, 0.5), min: sorted[0]!, max: sorted.at(-1)!, n: sorted.length };
}

function timedRun({ process }: Running): () => Promise<number> {
  return async () => Number((await process.ask({ do: "run" })).ms);
}

interface Reference {
  readonly adapter: AdapterSummary;
  /** Ours, of the whole batch. */
  readonly output: Float32Array;
}

/** Starts an engine and holds its output against the reference. Without one it is ours, held against float64 alone. */
async function begin(
  engine: PeerEngine,
  { model, modelFolder, scratch, workload, expected, training }: PeerTask,
  setup: PeerSetup,
  reference: Reference | undefined,
): Promise<Running & { output: Float32Array }> {
  setup.onProgress(`${model}, ${workload.name}: ${engine.name}`);
  const taskFile = join(scratch, "task.json");
  const told = {
    model: modelFolder,
    install: setup.install,
    engine: setup.files.engine,
    provider: engine.provider,
    adapter: setup.adapter,
    tuned: setup.tuned,
    nap: reference?.adapter.software ?? false,
    batch: workload.sequences.length,
    tokens: workload.sequences[0]!.inputIds.length,
    ids: workload.sequences.flatMap(({ inputIds }) => Array.from(inputIds)),
    ...training?.settings,
  };
  await writeFile(taskFile, JSON.stringify(told));
  const process = await startPeer(
    join(setup.files.folder, "engines", engine.script),
    taskFile,
    setup.env,
    engine.program,
  );
  try {
    const { adapter } = process.about;
    if (reference && typeof adapter === "string" && adapter !== reference.adapter.description) {
      throw new Error(`it computes on ${adapter}, ${OURS.name} on ${reference.adapter.description}`);
    }
    for (let step = 1; training && step < COMPARED_STEPS; step++) await process.ask({ do: "run" });
    const file = join(scratch, "output.f32");
    await process.ask({ do: "output", file });
    const output = floatsOf(await readFile(file));
    const error = Math.max(
      largestError(output, expected),
      reference && engine.frozen === undefined ? largestError(output, reference.output) : 0,
    );
    if (!(error <= BOUND)) throw new Error(`its output is off by ${error}, allowed is ${BOUND}`);
    return { engine, process, error, output };
  } catch (error) {
    process.kill();
    throw error;
  }
}

function floatsOf(bytes: Uint8Array): Float32Array {
  return new Float32Array(new Uint8Array(bytes).buffer);
}
