/** Sequences of ids from sources and prompts: inputs into batches, batches to their ends, results in the order of inputs. */

import { requireList } from "../../files/options.ts";
import { BYTES } from "../../runtime/tensor.ts";
import type { Sequence } from "../batch.ts";
import { packBatch } from "../forward.ts";
import type { GenerationModelConfig } from "./config.ts";
import { capacityFor, type DecodingJob, decode, type Reading, type Written } from "./decode.ts";
import type { GenerationModel } from "./model.ts";
import { type GenerationSettings, settle, startTokens } from "./settings.ts";

export interface GenerationInput {
  /** What is summarised or translated; a masked token is as if it were not there. Of a causal model none. */
  readonly source?: Sequence | undefined;
  /** What the sequences begin with; of an encoder-decoder its start token where not given. */
  readonly prompt?: ArrayLike<number> | undefined;
}

export interface GenerationStreamOptions {
  /** Tokens of the sources and of what is written in one batch, at most; a longer single input goes alone. Default 8192. */
  readonly tokenBudget?: number | undefined;
  /** Ends the work between two steps. */
  readonly signal?: AbortSignal | undefined;
}

const DEFAULT_BUDGET = 8192;

/**
 * Of each input its sequences, the best of a search first, in the order of inputs.
 * @throws RangeError and TypeError for settings and inputs, NonFiniteError where scores are not numbers, the signal's
 * reason
 */
export async function* generateSequences(
  model: GenerationModel,
  inputs: AsyncIterable<GenerationInput> | Iterable<GenerationInput>,
  settings: GenerationSettings = {},
  { tokenBudget = DEFAULT_BUDGET, signal }: GenerationStreamOptions = {},
): AsyncGenerator<readonly Written[], void, undefined> {
  requireList("inputs", inputs);
  if (!Number.isInteger(tokenBudget) || tokenBudget < 1) {
    throw new RangeError(`tokenBudget is ${tokenBudget}, it must be an integer from 1`);
  }
  let batch: DecodingJob[] = [];
  let name = 0;
  const finish = async (): Promise<readonly (readonly Written[])[]> => {
    let last: Reading | undefined;
    const settled = settle(model.config, settings, batch[0]!.begin.length);
    for await (const reading of decode(model, batch, settled, { signal })) last = reading;
    batch = [];
    return last!.sequences;
  };
  for await (const input of inputs) {
    signal?.throwIfAborted();
    const job = jobOf(model.config, input, settings, name++);
    if (batch.length > 0 && !fits(model, [...batch, job], settings, tokenBudget)) yield* await finish();
    batch.push(job);
  }
  if (batch.length > 0) yield* await finish();
}

/**
 * The tokens of one input's sequence as they are written, several at a time; what it begins with is not among them.
 * @param every steps between two readings
 * @throws TypeError for more than one sequence, which only end together; otherwise as `generateSequences`
 */
export async function* generateTokens(
  model: GenerationModel,
  input: GenerationInput,
  settings: GenerationSettings = {},
  { signal, every = 4 }: { readonly signal?: AbortSignal | undefined; readonly every?: number } = {},
): AsyncGenerator<readonly number[], void, undefined> {
  const job = jobOf(model.config, input, settings, 0);
  const settled = settle(model.config, settings, job.begin.length);
  if (settled.beams > 1) {
    throw new TypeError(`numBeams is ${settled.beams}: a search knows its sequence at the end alone; set it to 1`);
  }
  if (settled.returned > 1) throw new TypeError(`numReturnSequences is ${settled.returned}, one at a time is streamed`);
  let told = job.begin.length;
  for await (const { sequences } of decode(model, [job], settled, { signal, every })) {
    const { ids } = sequences[0]![0]!;
    if (ids.length > told) yield ids.slice(told);
    told = ids.length;
  }
}

/** @throws RangeError and TypeError naming the input */
function jobOf(
  config: GenerationModelConfig,
  { source, prompt }: GenerationInput,
  settings: GenerationSettings,
  name: number,
): DecodingJob {
  if (!config.encoder && source) throw new TypeError(`input ${name} has a source, a causal language model reads none`);
  if (config.encoder && !source) throw new TypeError(`input ${name} has no source`);
  const begin = prompt?.length ? Array.from(prompt) : startTokens(config, settings);
  const { vocabSize, maxPositionEmbeddings: positions } = config.decoder;
  const bad = begin.findIndex((id) => !(Number.isInteger(id) && id >= 0 && id < vocabSize));
  if (bad >= 0) {
    throw new RangeError(`input ${name}: prompt[${bad}] is ${begin[bad]}, vocab_size allows 0 to ${vocabSize - 1}`);
  }
  if (begin.length >= positions) {
    throw new RangeError(
      `input ${name}: its prompt has ${begin.length} tokens, the decoder ${positions} positions: shorten it`,
    );
  }
  return { source: source && unmasked(config, source, name), begin, name };
}

/** As if masked tokens were not there: each of the others stays at its place. */
function unmasked({ encoder }: GenerationModelConfig, source: Sequence, name: number): Sequence {
  const { inputIds: ids, attentionMask: mask, tokenTypeIds, positionIds } = source;
  const positions = encoder!.maxPositionEmbeddings;
  const kept = Array.from(ids, (_, i) => i).filter((i) => !mask || mask[i]);
  if (kept.length === 0) throw new RangeError(`input ${name}: its source has no token that is not masked`);
  const longest = kept.at(-1)! + 1;
  if (!positionIds && longest > positions) {
    throw new RangeError(
      `input ${name}: its source has ${longest} tokens, the encoder takes ${positions}: cut it, or split it`,
    );
  }
  const sequence = {
    inputIds: kept.map((i) => ids[i]!),
    positionIds: kept.map((i) => positionIds?.[i] ?? i),
    ...(tokenTypeIds && { tokenTypeIds: kept.map((i) => tokenTypeIds[i]!) }),
  };
  packBatch([sequence], encoder!); // what is wrong with it is told before the batch is full
  return sequence;
}

/** Whether jobs go into one batch: beginnings of one length, tokens within the budget, caches within a binding. */
function fits(
  { config, engine, dtype }: GenerationModel,
  jobs: readonly DecodingJob[],
  settings: GenerationSettings,
  budget: number,
): boolean {
  const begun = jobs[0]!.begin.length;
  if (jobs.some(({ begin }) => begin.length !== begun)) return false;
  const settled = settle(config, settings, begun);
  const { sources, width, places, sourceTokens } = capacityFor(jobs, settled);
  const tokens = jobs.reduce((sum, { source }) => sum + (source?.inputIds.length ?? 0), 0);
  const cells = Math.max(sources * width * places, sourceTokens);
  const { maxStorageBufferBindingSize: most } = engine.device.limits;
  const logits = sources * width * config.decoder.vocabSize * BYTES.f32;
  if (cells * 2 * config.decoder.hiddenSize * BYTES[dtype] > most || logits > most) return false;
  return tokens + jobs.length * width * settled.most <= budget;
}
