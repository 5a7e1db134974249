/**
 * trainer_state.json: what a run has done so far, in the fields of Hugging Face's Trainer, and under `bert_webgpu` what it
 * takes to go on as if it had never stopped.
 */

import { type Folder, readText } from "../files/bytes.ts";
import { CheckpointError } from "../files/faults.ts";
import { parseJson } from "../files/json.ts";

/** Of the history: a step with its loss, or an evaluation with metrics as `eval_NAME`. */
export type LogRow = Readonly<Record<string, number>>;

/** Where a run stands. */
export interface Place {
  /** Steps, those that were left out since a gradient was not finite among them. */
  step: number;
  epoch: number;
  /** Batches of the epoch that steps were taken on. */
  batches: number;
  /** Batches so far: what dropout draws by. */
  drawn: number;
  tokens: number;
}

export interface Best {
  readonly step: number;
  readonly metric: number;
  /** Its checkpoint, where it was kept. */
  readonly checkpoint: string | undefined;
}

/** Losses of the steps that were not told yet: what is told is their mean. */
export interface Untold {
  readonly losses: number;
  readonly steps: number;
}

export interface RunState {
  readonly place: Place;
  /** Of each epoch, as far as they are known. */
  readonly batchCounts: readonly number[];
  readonly untold: Untold;
  readonly best: Best | undefined;
  /** Evaluations since the best. */
  readonly waited: number;
  readonly history: readonly LogRow[];
  /** `State` of the optimizer, word by word. */
  readonly optimizer: readonly number[];
  /** What decides how numbers come about, each by its name: a run that differs in one is another run. */
  readonly decisions: Readonly<Record<string, unknown>>;
}

export interface Totals {
  readonly totalSteps: number;
  readonly epochs: number;
  readonly batchSize: number;
  readonly evalSteps: number | undefined;
  readonly saveSteps: number | undefined;
  readonly loggingSteps: number;
  /** Batches of an epoch: its progress is counted in them. */
  readonly progress: number;
}

const FORMAT = 1;

export function writeState(state: RunState, totals: Totals): string {
  const { place, batchCounts, untold, best, waited, history, optimizer, decisions } = state;
  const json = {
    best_global_step: best?.step ?? null,
    best_metric: best?.metric ?? null,
    best_model_checkpoint: best?.checkpoint ?? null,
    epoch: totals.progress,
    eval_steps: totals.evalSteps ?? null,
    global_step: place.step,
    is_hyper_param_search: false,
    is_local_process_zero: true,
    is_world_process_zero: true,
    log_history: history,
    logging_steps: totals.loggingSteps,
    max_steps: totals.totalSteps,
    num_input_tokens_seen: place.tokens,
    num_train_epochs: totals.epochs,
    save_steps: totals.saveSteps ?? null,
    stateful_callbacks: {},
    total_flos: 0,
    train_batch_size: totals.batchSize,
    trial_name: null,
    trial_params: null,
    bert_webgpu: { format: FORMAT, place, batchCounts, untold, waited, optimizer, decisions },
  };
  return `${JSON.stringify(json, null, 2)}\n`;
}

/** @throws CheckpointError for a file that is missing, or that this did not write */
export async function readState(folder: Folder): Promise<RunState> {
  const fail = (fault: string): CheckpointError => new CheckpointError(`${folder.name}/trainer_state.json`, [fault]);
  const text = await readText(folder, "trainer_state.json");
  if (text === undefined) throw fail("it is not there: this is no checkpoint of a run");
  let json: Record<string, unknown>;
  try {
    json = parseJson(text, () => {}) as Record<string, unknown>;
  } catch (error) {
    throw fail(`not JSON: ${(error as Error).message}`);
  }
  const own = json.bert_webgpu as Record<string, unknown> | undefined;
  if (own?.format !== FORMAT) throw fail(`bert_webgpu.format is ${JSON.stringify(own?.format)}, ${FORMAT} is read`);
  const place = own.place as Place;
  const fields = ["step", "epoch", "batches", "drawn", "tokens"] as const;
  const whole = (value: unknown): boolean => Number.isInteger(value) && (value as number) >= 0;
  const { optimizer, waited, batchCounts, untold } = own as unknown as RunState;
  const placed =
    fields.every((field) => whole(place?.[field])) &&
    whole(waited) &&
    Array.isArray(batchCounts) &&
    batchCounts.every(whole) &&
    whole(untold?.steps) &&
    Number.isFinite(untold.losses);
  if (!placed) throw fail("its place in the run is damaged");
  if (!Array.isArray(optimizer) || !optimizer.every(whole)) throw fail("the optimizer's state is damaged");
  const { best_global_step: step, best_metric: metric, best_model_checkpoint: checkpoint } = json;
  return {
    place,
    batchCounts,
    untold,
    waited,
    optimizer,
    best:
      typeof step === "number"
        ? { step, metric: metric as number, checkpoint: (checkpoint as string | null) ?? undefined }
        : undefined,
    history: Array.isArray(json.log_history) ? (json.log_history as LogRow[]) : [],
    decisions: own.decisions as RunState["decisions"],
  };
}

/** How two runs differ in what decides their numbers, in words. */
export function differences(stored: RunState["decisions"], own: RunState["decisions"]): string[] {
  const names = new Set([...Object.keys(stored), ...Object.keys(own)]);
  return [...names].flatMap((name) => {
    const [then, now] = [JSON.stringify(stored[name]), JSON.stringify(own[name])];
    return then === now ? [] : [`${name} was ${then ?? "not set"}, it is ${now ?? "not set"}`];
  });
}
