/** Fixtures of models that write: every output of the teacher-forced cases, and every sequence that is generated. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  crossEntropy,
  type Engine,
  type Folder,
  type GenerationForward,
  GenerationModel,
  type GenerationSettings,
  type GenerationWanted,
  generateSequences,
  openFolder,
  type Pair,
  type Written,
} from "../../src/node/index.ts";
import { exactFinding, type Finding, type Fixture, numberFinding } from "./fixture.ts";
import { cosine, type ExpectedTensor, largestError } from "./tensors.ts";

type Matrix = readonly (readonly number[])[];

interface Case {
  readonly name: string;
  readonly inputs: Readonly<Record<string, Matrix>>;
  readonly outputs: Readonly<Record<string, ExpectedTensor>>;
  readonly tolerance: Readonly<Record<string, number>>;
}

/** What a model generates, by transformers' own names of settings. */
interface Generation {
  readonly name: string;
  readonly kwargs: Readonly<Record<string, unknown>>;
  readonly input_ids: Matrix;
  readonly attention_mask: Matrix;
  readonly sequences_to_first_eos: Matrix;
  readonly sequences_scores_float64?: readonly number[];
}

const ARCHITECTURES = ["EncoderDecoderModel", "BertLMHeadModel"];

/** How far an output may be off, in f16: a hundredth of its range. */
const F16_SHARE = 1e-2;
const F16_DISTANCE = 5e-4;
const MOST_SCORE_ERROR = 1e-4;

export function isGenerationFixture({ architecture, gradient }: Fixture): boolean {
  return ARCHITECTURES.includes(architecture ?? "") && gradient === undefined;
}

export async function* runGenerationFixture(
  engine: Engine,
  folder: string,
  fixture: Fixture,
  dtype: "f32" | "f16",
): AsyncGenerator<Finding> {
  // the same weights as older checkpoints keep them
  for (const at of [folder, join(folder, "legacy")]) {
    if (!existsSync(at)) continue;
    const model = await GenerationModel.load(engine, openFolder(at), { dtype });
    try {
      for (const one of fixture.cases as readonly Case[]) yield* teacherForced(model, one, dtype);
      const generations = (fixture.generate ?? []) as readonly Generation[];
      if (dtype === "f16") yield* clearlyGenerated(model, openFolder(at), generations);
      else for (const one of generations) yield* generated(model, one);
    } finally {
      model.dispose();
    }
  }
}

async function* teacherForced(
  model: GenerationModel,
  { name, inputs, outputs, tolerance }: Case,
  dtype: "f32" | "f16",
): AsyncGenerator<Finding> {
  const forward = await model.forward(pairsOf(model, inputs), wantedFor(Object.keys(outputs)));
  for (const [output, expected] of Object.entries(outputs)) {
    const actual = output === "loss" ? [lossOf(model, forward, inputs)] : valuesOf(forward, output);
    const range = Math.max(...expected.data.map((value) => Math.abs(Number(value))));
    const bound = dtype === "f16" ? F16_SHARE * range : tolerance[output]!;
    yield numberFinding(`${name} ${output}`, largestError(actual, expected), bound);
    if (dtype === "f16") {
      yield numberFinding(`${name} ${output}, 1 - cosine`, 1 - cosine(actual, expected), F16_DISTANCE);
    }
  }
}

/** Sequences have to be equal, up to what ends them; scores of searches nearly. */
async function* generated(
  model: GenerationModel,
  { name, kwargs, input_ids: ids, attention_mask: mask, ...expected }: Generation,
): AsyncGenerator<Finding> {
  const inputs = ids.map((inputIds, i) => ({ source: { inputIds, attentionMask: mask[i]! } }));
  const written: Written[] = [];
  for await (const sequences of generateSequences(model, inputs, settingsOf(kwargs))) written.push(...sequences);
  const [got, want] = [written.map(({ ids }) => ids), expected.sequences_to_first_eos];
  const other = want.findIndex((ids, i) => ids.join() !== got[i]?.join());
  const fault = other < 0 ? undefined : `sequence ${other} is ${got[other]}, ${want[other]} expected`;
  yield exactFinding(name, got.length === want.length ? fault : `${got.length} sequences, ${want.length} expected`);
  const scores = expected.sequences_scores_float64;
  if (!scores) return;
  const errors = scores.map((score, i) => Math.abs(score - (written[i]?.score ?? Number.NaN)));
  yield numberFinding(`${name} scores`, Math.max(...errors), MOST_SCORE_ERROR);
}

/**
 * In f16, the sequences of the best token each time are those of f32 where that is clear at every token: by logits of f32
 * that are this much above the next ones.
 */
const CLEAR = 1e-2;

async function* clearlyGenerated(
  model: GenerationModel,
  folder: Folder,
  generations: readonly Generation[],
): AsyncGenerator<Finding> {
  const plain = generations.filter(({ kwargs }) => Object.keys(kwargs).every((key) => /^max_/.test(key)));
  const exact = await GenerationModel.load(model.engine, folder);
  const vocab = model.config.decoder.vocabSize;
  try {
    for (const { name, kwargs, input_ids: ids, attention_mask: mask, sequences_to_first_eos: expected } of plain) {
      const inputs = ids.map((inputIds, i) => ({ source: { inputIds, attentionMask: mask[i]! } }));
      const got: string[] = [];
      for await (const [one] of generateSequences(model, inputs, settingsOf(kwargs))) got.push(one!.ids.join());
      for (const [i, sequence] of expected.entries()) {
        const target = { inputIds: sequence.slice(0, -1) };
        const { logits } = await exact.forward([{ ...inputs[i]!, target }], { logits: true });
        const gaps = target.inputIds.map((_, at) => {
          const [first, second] = Array.from(logits!.data.subarray(at * vocab, (at + 1) * vocab)).sort((a, b) => b - a);
          return first! - second!;
        });
        if (Math.min(...gaps) < CLEAR) continue;
        const fault = got[i] === sequence.join() ? undefined : `it is ${got[i]}, ${sequence} expected`;
        yield exactFinding(`${name}, sequence ${i}`, fault);
      }
    }
  } finally {
    exact.dispose();
  }
}

function settingsOf(kwargs: Generation["kwargs"]): GenerationSettings {
  const camel = (key: string): string => key.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(kwargs).map(([key, value]) => [camel(key), value]));
}

/** Rows of the batch as they are given, padding and all. Labels alone are what the decoder reads, one place later. */
function pairsOf({ config }: GenerationModel, inputs: Case["inputs"]): Pair[] {
  const { input_ids: ids, attention_mask: mask, token_type_ids: types } = inputs;
  const row = (i: number) => ({ inputIds: ids![i]!, attentionMask: mask?.[i], tokenTypeIds: types?.[i] });
  if (!config.encoder) return ids!.map((_, i) => ({ target: row(i) }));
  const { pad_token_id: pad, decoder_start_token_id: start } = config.defaults as Record<string, number>;
  const shifted = inputs.labels?.map((labels) => [start!, ...labels.slice(0, -1).map((id) => (id < 0 ? pad! : id))]);
  const targets = inputs.decoder_input_ids ?? shifted!;
  const masks = inputs.decoder_attention_mask ?? shifted?.map((row) => row.map((id) => (id === pad ? 0 : 1)));
  return targets.map((inputIds, i) => ({ source: row(i), target: { inputIds, attentionMask: masks?.[i] } }));
}

function wantedFor(outputs: readonly string[]): GenerationWanted {
  const needs = (name: string): boolean => outputs.some((output) => output.split(".")[0] === name);
  return {
    logits: true,
    encoderLastHiddenState: needs("encoder_last_hidden_state"),
    crossAttentions: needs("cross_attentions"),
    decoderAttentions: needs("decoder_attentions"),
    decoderHiddenStates: needs("decoder_hidden_states"),
  };
}

function valuesOf(forward: GenerationForward, output: string): ArrayLike<number> {
  const [name, layer] = output.split(".");
  switch (name) {
    case "logits":
    case "prediction_logits":
      return forward.logits!.data;
    case "encoder_last_hidden_state":
      return forward.encoderLastHiddenState!.data;
    case "decoder_hidden_states":
      return forward.decoderHiddenStates![Number(layer)]!.data;
    case "decoder_attentions":
      return forward.decoderAttentions![Number(layer)]!.flatMap(({ data }) => [...data]);
    case "cross_attentions":
      return forward.crossAttentions![Number(layer)]!.flatMap(({ data }) => [...data]);
    default:
      throw new TypeError(`no output named ${output} is computed`);
  }
}

/** Of an encoder-decoder the labels stand beside what was read; a causal model's are shifted by one. */
function lossOf({ config }: GenerationModel, { logits }: GenerationForward, { labels }: Case["inputs"]): number {
  const vocab = config.decoder.vocabSize;
  const own = config.encoder ? labels! : labels!.map((row) => [...row.slice(1), -100]);
  return crossEntropy(logits!.data, vocab, own.flat());
}
