/** Fixtures of models: every output of every case against its float64 values. */

import {
  BertModel,
  binaryCrossEntropy,
  crossEntropy,
  type Engine,
  type Forward,
  meanSquaredError,
  openFolder,
  type Sequence,
  type Values,
  type Wanted,
} from "../../src/node/index.ts";
import { type Finding, type Fixture, numberFinding } from "./fixture.ts";
import { cosine, type ExpectedTensor, largestError } from "./tensors.ts";

interface Case {
  readonly name: string;
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly outputs: Readonly<Record<string, ExpectedTensor>>;
  readonly noise?: Readonly<Record<string, { torch_float32_max_abs_err: number; max_abs: number }>>;
  readonly tolerance?: Readonly<Record<string, number>>;
}

/** Sentence vectors by the names that fixtures give them. */
const EMBEDDINGS: Readonly<Record<string, Wanted["embedding"]>> = {
  mean_pooled: { pooling: "mean", normalize: false },
  cls_pooled: { pooling: "cls", normalize: false },
  sentence_embedding: { pooling: "mean", normalize: true },
};

interface Comparison {
  readonly output: string;
  /** The largest. */
  readonly error: number;
  readonly bound: number;
  /** 1 less the cosine of the whole output with the expected one. */
  readonly distance: number;
}

type Matrix = readonly (readonly number[])[];

/** How far an output may be off, in f16: a hundredth of its range, which is its largest value in the whole fixture. */
const F16_SHARE = 1e-2;
/** 1 less the cosine with the float64 output, at most, in f16. */
const F16_DISTANCE = 5e-4;

export function whyModelIsSkipped({ architecture, cases }: Fixture): string | undefined {
  if (!architecture) return "it names no architecture (not a model fixture)";
  if (!/^Bert(Model|For)/.test(architecture)) return `architecture ${architecture} is not run yet`;
  if (!(cases?.[0] as Case | undefined)?.outputs) return "its cases hold no outputs to compare";
  return undefined;
}

export async function* runModelFixture(
  engine: Engine,
  folder: string,
  { architecture, ...fixture }: Fixture,
  dtype: "f32" | "f16",
): AsyncGenerator<Finding> {
  const cases = fixture.cases as readonly Case[];
  const model = await BertModel.load(engine, openFolder(folder), { dtype });
  try {
    const ranges = rangesOf(cases);
    for (const testCase of cases) {
      for (const { output, error, bound, distance } of await compareCase(model, testCase, architecture!)) {
        const tolerance = dtype === "f16" ? F16_SHARE * ranges.get(output)! : bound;
        yield numberFinding(`${testCase.name} ${output}`, error, tolerance);
        if (dtype === "f16") yield numberFinding(`${testCase.name} ${output}, 1 - cosine`, distance, F16_DISTANCE);
      }
    }
  } finally {
    model.dispose();
  }
}

async function compareCase(
  model: BertModel,
  { inputs, outputs, tolerance, noise }: Case,
  architecture: string,
): Promise<Comparison[]> {
  const sequences = sequencesOf(inputs);
  const wanted = wantedFor(Object.keys(outputs), architecture);
  const forward = await model.forward(sequences, wanted);
  const results: Comparison[] = [];
  for (const [output, expected] of Object.entries(outputs)) {
    const range = largestOf(expected);
    const noisy = noise?.[output];
    const bound = tolerance?.[output] ?? Math.max(10 * (noisy?.torch_float32_max_abs_err ?? 0), 2e-6 * range);
    const embedding = EMBEDDINGS[output];
    let actual: ArrayLike<number>;
    if (embedding) actual = (await model.forward(sequences, { embedding })).embedding!.data;
    else if (output === "loss") actual = [lossOf(forward, inputs, model, architecture)];
    else actual = valuesOf(forward, output);
    const error = largestError(actual, expected);
    results.push({ output, error, bound, distance: 1 - cosine(actual, expected) });
  }
  return results;
}

function largestOf({ data }: ExpectedTensor): number {
  return data.reduce<number>((largest, value) => Math.max(largest, Math.abs(Number(value))), 0);
}

function rangesOf(cases: readonly Case[]): Map<string, number> {
  const ranges = new Map<string, number>();
  for (const { outputs } of cases) {
    for (const [output, expected] of Object.entries(outputs)) {
      ranges.set(output, Math.max(ranges.get(output) ?? 0, largestOf(expected)));
    }
  }
  return ranges;
}

/** Rows of the batch as sequences of equal length, masked as given. Choices [batch, choices, seq] become rows. */
function sequencesOf(inputs: Readonly<Record<string, unknown>>): Sequence[] {
  const rows = (name: string): Matrix | undefined => {
    const value = inputs[name] as Matrix | readonly Matrix[] | undefined;
    return value === undefined || !Array.isArray(value[0]?.[0])
      ? (value as Matrix | undefined)
      : (value.flat() as Matrix);
  };
  const [ids, types, positions, mask] = ["input_ids", "token_type_ids", "position_ids", "attention_mask"].map(rows);
  return ids!.map((inputIds, i) => ({
    inputIds,
    tokenTypeIds: types?.[i],
    positionIds: positions?.[positions.length === 1 ? 0 : i],
    attentionMask: mask?.[i],
  }));
}

function wantedFor(outputs: readonly string[], architecture: string): Wanted {
  const needs = (name: string): boolean => outputs.some((output) => output === name || output.startsWith(`${name}.`));
  const loss = needs("loss") ? architecture : "";
  return {
    lastHiddenState: needs("last_hidden_state"),
    poolerOutput: needs("pooler_output"),
    hiddenStates: needs("hidden_states"),
    attentions: needs("attentions"),
    predictionLogits: needs("prediction_logits") || /MaskedLM|PreTraining/.test(loss),
    seqRelationshipLogits: needs("seq_relationship_logits") || /NextSentence|PreTraining/.test(loss),
    logits: needs("logits") || /Classification|MultipleChoice/.test(loss),
    spanLogits: needs("start_logits") || /QuestionAnswering/.test(loss),
  };
}

function valuesOf(forward: Forward, output: string): ArrayLike<number> {
  const [name, index] = output.split(".");
  if (name === "hidden_states") return forward.hiddenStates![Number(index)]!.data;
  if (name === "attentions") return forward.attentions![Number(index)]!.flatMap(({ data }) => [...data]);
  const single: Readonly<Record<string, Values | undefined>> = {
    last_hidden_state: forward.lastHiddenState,
    pooler_output: forward.poolerOutput,
    prediction_logits: forward.predictionLogits,
    seq_relationship_logits: forward.seqRelationshipLogits,
    logits: forward.logits,
  };
  const values =
    name === "start_logits" ? forward.startLogits : name === "end_logits" ? forward.endLogits : single[name!]?.data;
  if (!values) throw new TypeError(`no output named ${output} is computed`);
  return values;
}

/** What transformers calls `loss` for this architecture and these labels. */
function lossOf(
  forward: Forward,
  inputs: Readonly<Record<string, unknown>>,
  model: BertModel,
  architecture: string,
): number {
  const flat = (name: string): number[] => [inputs[name]].flat(3) as number[];
  const vocab = model.config.vocabSize;
  const logits = forward.logits?.data ?? new Float32Array();
  const classes = forward.logits?.shape[1] ?? 0;
  switch (architecture) {
    case "BertForMaskedLM":
      return crossEntropy(forward.predictionLogits!.data, vocab, flat("labels"));
    case "BertForNextSentencePrediction":
      return crossEntropy(forward.seqRelationshipLogits!.data, 2, flat("labels"));
    case "BertForPreTraining":
      return (
        crossEntropy(forward.predictionLogits!.data, vocab, flat("labels")) +
        crossEntropy(forward.seqRelationshipLogits!.data, 2, flat("next_sentence_label"))
      );
    case "BertForMultipleChoice":
      return crossEntropy(logits, (inputs.input_ids as Matrix[])[0]!.length, flat("labels"));
    case "BertForQuestionAnswering": {
      const length = (inputs.input_ids as Matrix)[0]!.length;
      const labels = (name: string) => flat(name).map((position) => (position < length ? position : -100));
      const start = crossEntropy(forward.startLogits!, length, labels("start_positions"));
      return (start + crossEntropy(forward.endLogits!, length, labels("end_positions"))) / 2;
    }
    case "BertForSequenceClassification": {
      const { problemType } = model.config;
      if (problemType === "regression") return meanSquaredError(logits, flat("labels"));
      if (problemType === "multi_label_classification") return binaryCrossEntropy(logits, flat("labels"));
      return crossEntropy(logits, classes, flat("labels"));
    }
    default:
      return crossEntropy(logits, classes, flat("labels"));
  }
}
