/**
 * What all tasks run on: inputs in, results out, in order, one batch on the GPU while the next is tokenised. A list is a
 * stream that happens to be finite.
 *
 * Batches are formed in the order of arrival and by their tokens alone. Sorting by length, which saves padding elsewhere,
 * has none to save here; what costs is a new shape, which takes milliseconds to record. So a full batch is brought to one
 * of a few shapes with sequences of filler that nobody reads: 1 to 2% more tokens, and thousands of batches share a
 * handful of programs. Sorted batches would differ in their numbers of sequences.
 */

import { type Names, requireKnown, requireList } from "../../files/options.ts";
import { roundUp } from "../../runtime/program.ts";
import type { Sequence } from "../batch.ts";
import type { BertConfig } from "../config.ts";
import { headsFor } from "../forward.ts";
import type { SequencePlace } from "../heads/head.ts";
import type { BertModel } from "../model.ts";
import { faultIn, NonFiniteError } from "../non_finite.ts";
import type { Forward, SequenceOutput, Wanted } from "../outputs.ts";
import type { Job, Plan } from "./plan.ts";
import { ReadAhead } from "./read_ahead.ts";

export interface Progress {
  /** Inputs whose results are out. */
  readonly done: number;
  /** Inputs in all, where they came as a list. */
  readonly total: number | undefined;
  /** Inputs per second, since the beginning. */
  readonly rate: number;
}

export interface StreamOptions {
  /** Tokens of all sequences in one pass through the model; a longer single one still goes alone. Default 8192. */
  readonly tokenBudget?: number | undefined;
  /** Ends the work between two batches, and the waiting for inputs. */
  readonly signal?: AbortSignal | undefined;
  /** Called after every batch that completes an input. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Whether an input whose outputs hold NaN or an infinity is an error. Default true. */
  readonly checkFinite?: boolean | undefined;
}

export const STREAM_OPTIONS: Names<StreamOptions> = { tokenBudget: 1, signal: 1, onProgress: 1, checkFinite: 1 };

const DEFAULT_BUDGET = 8192;

interface Pending<Result> {
  readonly job: Job<Result>;
  readonly outputs: SequenceOutput[];
  missing: number;
  fault: Error | undefined;
}

/** A sequence of a job; `undefined` stands for a job that has none, and keeps its place. */
interface Unit<Result> {
  readonly of: Pending<Result>;
  readonly sequence: Sequence | undefined;
  readonly index: number;
}

/**
 * Holds at most two batches, and the windows of a text that is in both.
 * @throws what the source or `plan.prepare` threw, after the results of all inputs before; the signal's reason; TypeError
 * for an unknown option, and for one input where a list belongs: it gets no list of one result, since what is one input of
 * a task (a list of words is one text) and what is a list of them could not be told apart
 */
export async function* streamPlan<Input, Result>(
  model: BertModel,
  plan: Plan<Input, Result>,
  inputs: AsyncIterable<Input> | Iterable<Input>,
  options: StreamOptions = {},
): AsyncGenerator<Result, void, undefined> {
  requireKnown("stream", options, STREAM_OPTIONS);
  requireList("inputs", inputs);
  const { tokenBudget: budget = DEFAULT_BUDGET, signal, onProgress, checkFinite } = options;
  if (!Number.isInteger(budget) || budget < 1) {
    throw new RangeError(`tokenBudget is ${budget}, it must be an integer from 1`);
  }
  const total = Array.isArray(inputs) ? inputs.length : undefined;
  const begin = performance.now();
  const open: Pending<Result>[] = [];
  let [seen, done] = [0, 0];
  const prepare = (input: Input): Unit<Result>[] => {
    const job = plan.prepare(input, seen++);
    const { sequences } = job;
    const of: Pending<Result> = { job, outputs: [], missing: Math.max(1, sequences.length), fault: undefined };
    open.push(of);
    if (sequences.length === 0) return [{ of, sequence: undefined, index: 0 }];
    return sequences.map((sequence, index) => ({ of, sequence, index }));
  };
  const heads = headsFor(plan.wanted);
  const source = new ReadAhead(inputs, prepare, {
    weigh: (unit) => weightOf(unit, model, plan.wanted, heads),
    fits: (tokens, sequences) => tokens + fillersFor(sequences) <= budget,
    signal,
  });
  let running: Promise<void> | undefined;
  try {
    for (;;) {
      const { items, full, ended, failure: broken } = await source.take(running);
      await running;
      running = items.length > 0 ? runBatch(model, plan, items, full ? budget : 0, { signal, checkFinite }) : undefined;
      running?.catch(() => {}); // raised in the next round, or not at all when nobody asks for more
      const results: Result[] = [];
      let failure = broken;
      while (open[0]?.missing === 0) {
        const { job, outputs, fault } = open.shift()!;
        if (!fault) results.push(job.finish(outputs));
        else if (job.fail) results.push(job.fail(fault));
        else {
          failure = { error: fault };
          break;
        }
      }
      done += results.length;
      if (results.length > 0) onProgress?.({ done, total, rate: (done * 1000) / (performance.now() - begin) });
      yield* results;
      if (failure) throw failure.error;
      if (ended) return;
    }
  } finally {
    source.close();
  }
}

/** All results of a list, in its order. @throws as `streamPlan` */
export async function runPlan<Input, Result>(
  model: BertModel,
  plan: Plan<Input, Result>,
  inputs: readonly Input[],
  options: StreamOptions = {},
): Promise<Result[]> {
  const results: Result[] = [];
  for await (const result of streamPlan(model, plan, inputs, options)) results.push(result);
  return results;
}

/** What every task's function does, whose options its plan has looked at. @throws as `plan`, at once; else as `runPlan` */
export function runTask<Given extends { readonly model: BertModel }, Input, Result, Options extends StreamOptions>(
  plan: (pretrained: Given, options: Options) => Plan<Input, Result>,
  pretrained: Given,
  inputs: readonly Input[],
  options: Options,
): Promise<Result[]> {
  return runPlan(pretrained.model, plan(pretrained, options), inputs, streamOptions(options));
}

/** A task's options less what is its own. */
export function streamOptions({ tokenBudget, signal, onProgress, checkFinite }: StreamOptions): StreamOptions {
  return { tokenBudget, signal, onProgress, checkFinite };
}

/** @param fill tokens up to which fillers may bring the batch; 0: it stays as it is */
async function runBatch<Result>(
  model: BertModel,
  { wanted }: Plan<never, Result>,
  units: readonly Unit<Result>[],
  fill: number,
  options: Pick<StreamOptions, "signal" | "checkFinite">,
): Promise<void> {
  const sequences: Sequence[] = [];
  const rows: number[] = [];
  const rowRanges: Range[] = [];
  let tokens = 0;
  for (const { of, sequence, index } of units) {
    if (!sequence) continue;
    const begin = rows.length;
    for (const row of of.job.rows?.[index] ?? []) rows.push(tokens + row);
    rowRanges.push({ begin, end: rows.length });
    sequences.push(sequence);
    tokens += sequence.inputIds.length;
  }
  const withRows = rows.length > 0;
  if (fill > 0 && sequences.length > 0 && !wanted.attentions) {
    const { maxPositionEmbeddings: longest } = model.config;
    sequences.push(...fillers(tokens, sequences.length, fill, longest));
    for (let most = roundUp(rows.length, 1); withRows && rows.length < most; ) rows.push(rows[0]!);
  }
  let faulty = false; // whoever is concerned has it told, the others their results
  const forward =
    sequences.length > 0
      ? await model
          .forward(sequences, { ...wanted, predictionRows: withRows ? rows : undefined }, options)
          .catch((error: unknown) => {
            if (!(error instanceof NonFiniteError)) throw error;
            faulty = true;
            return error.forward!;
          })
      : undefined;
  const heads = headsFor(wanted);
  let at = 0;
  for (const { of, sequence, index } of units) {
    if (sequence) {
      const output = outputOf(forward!, heads, model.config, at, rowRanges[at++]!);
      of.outputs[index] = output;
      if (faulty) of.fault ??= faultIn(output);
    }
    of.missing--;
  }
}

type Heads = ReturnType<typeof headsFor>;

interface Range {
  readonly begin: number;
  readonly end: number;
}

/** @param row which of the rows that were asked for are this sequence's */
function outputOf(forward: Forward, heads: Heads, config: BertConfig, index: number, row: Range): SequenceOutput {
  const token = { begin: forward.cuSeqlens[index]!, end: forward.cuSeqlens[index + 1]! };
  const ranges = { token, row, sequence: { begin: index, end: index + 1 }, option: row };
  const cut: SequencePlace["cut"] = (data, width, per) => {
    const { begin, end } = ranges[per];
    return data.subarray(begin * width, end * width) as typeof data;
  };
  const output: Record<string, unknown> = { length: token.end - token.begin };
  for (const [, { outputs, split }] of heads) {
    for (const [name, per] of Object.entries(outputs)) {
      const values = forward[name as keyof Forward];
      if (!values || !("data" in values)) continue;
      output[name] = cut(values.data, values.shape[1]!, typeof per === "function" ? per(config) : per);
    }
    Object.assign(output, split?.(forward, { index, cut }));
  }
  return output as unknown as SequenceOutput;
}

/** In tokens: what takes more memory than a token does in the widest layer counts for several. */
function weightOf<Result>(
  { of, sequence, index }: Unit<Result>,
  { config }: BertModel,
  wanted: Wanted,
  heads: Heads,
): number {
  const length = sequence?.inputIds.length ?? 0;
  const rows = of.job.rows?.[index]?.length ?? 0;
  const sizes = heads.map(([, head]) => head.elements?.(wanted, length, rows, config) ?? 0);
  const elements = sizes.reduce((sum, size) => sum + size, 0);
  return Math.max(1, length, Math.ceil(elements / config.intermediateSize));
}

/** How many sequences of filler, at least one, bring `sequences` to a number that other batches have as well. */
function fillersFor(sequences: number): number {
  return roundUp(sequences + 1, 1) - sequences;
}

function fillers(tokens: number, sequences: number, budget: number, longest: number): Sequence[] {
  const count = fillersFor(sequences);
  const room = Math.min(budget, roundUp(tokens + count, 1)) - tokens;
  if (room < count) return []; // one sequence beyond the budget
  return Array.from({ length: count }, (_, i) => ({
    inputIds: new Uint32Array(Math.min(longest, Math.floor((room + i) / count))),
  }));
}
