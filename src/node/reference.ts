/**
 * `reference DIR`: runs every model fixture below DIR and compares each output with the float64 values beside it. A
 * fixture is a model folder with an expected.json of cases (inputs, outputs, tolerance).
 */

import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { Command, Option } from "commander";
import {
  BertModel,
  binaryCrossEntropy,
  createEngine,
  crossEntropy,
  type Engine,
  type Forward,
  meanSquaredError,
  openFolder,
  type Sequence,
  type Values,
  type Wanted,
} from "./index.ts";

interface Expected {
  readonly shape: readonly number[];
  readonly data: readonly (number | string)[];
  /** Only these positions of axis 1 are stored. */
  readonly positions?: readonly number[];
}

interface Case {
  readonly name: string;
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly outputs: Readonly<Record<string, Expected>>;
  readonly noise?: Readonly<Record<string, { torch_float32_max_abs_err: number; max_abs: number }>>;
  readonly tolerance?: Readonly<Record<string, number>>;
}

interface Fixture {
  readonly architecture?: string;
  readonly cases?: readonly Case[];
}

/** Sentence vectors by the names that fixtures give them. */
const EMBEDDINGS: Readonly<Record<string, Wanted["embedding"]>> = {
  mean_pooled: { pooling: "mean", normalize: false },
  cls_pooled: { pooling: "cls", normalize: false },
  sentence_embedding: { pooling: "mean", normalize: true },
};

type Matrix = readonly (readonly number[])[];

export interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

/** How far an output may be off, in f16: a hundredth of its range, which is its largest value in the whole fixture. */
const F16_SHARE = 1e-2;

/** Runs the fixtures below `root` and reports each on a line through `print`. */
export async function runReference(
  engine: Engine,
  root: string,
  dtype: "f32" | "f16",
  print: (line: string) => void,
): Promise<Tally> {
  const tally: Tally = { passed: 0, failed: 0, skipped: 0 };
  for (const folder of await fixtureFolders(root)) {
    const name = relative(root, folder) || folder;
    const fixture = JSON.parse(await readFile(join(folder, "expected.json"), "utf8")) as Fixture;
    const reason = whySkipped(fixture);
    if (reason) {
      tally.skipped++;
      print(`${name}: skipped, ${reason}`);
      continue;
    }
    const faults: string[] = [];
    let worst = { share: -1, text: "nothing compared" };
    try {
      const model = await BertModel.load(engine, openFolder(folder), { dtype });
      const ranges = rangesOf(fixture.cases!);
      for (const testCase of fixture.cases!) {
        for (const { output, error, bound } of await compareCase(model, testCase, fixture.architecture!)) {
          const tolerance = dtype === "f16" ? F16_SHARE * ranges.get(output)! : bound;
          const text = `${testCase.name} ${output}: error ${error.toExponential(1)}, tolerance ${tolerance.toExponential(1)}`;
          const share = error / tolerance;
          if (error <= tolerance) tally.passed++;
          else {
            tally.failed++; // also for a NaN, which no comparison lets pass
            faults.push(text);
          }
          if (!(share <= worst.share)) worst = { share, text };
        }
      }
      model.dispose();
    } catch (error) {
      tally.failed++;
      faults.push((error as Error).message);
    }
    print(`${name}: ${faults.length === 0 ? "passed" : "FAILED"}, largest ${worst.text}`);
    for (const fault of faults) print(`  ${fault}`);
  }
  return tally;
}

async function fixtureFolders(root: string): Promise<string[]> {
  const entries = await readdir(root, { withFileTypes: true, recursive: true });
  const folders = entries.filter((e) => e.isFile() && e.name === "expected.json").map((e) => e.parentPath);
  return folders.sort();
}

function whySkipped({ architecture, cases }: Fixture): string | undefined {
  if (!architecture) return "it names no architecture (not a model fixture)";
  if (!/^Bert(Model|For)/.test(architecture)) return `architecture ${architecture} is not run yet`;
  if (!cases?.[0]?.outputs) return "its cases hold no outputs to compare";
  return undefined;
}

async function compareCase(
  model: BertModel,
  { inputs, outputs, tolerance, noise }: Case,
  architecture: string,
): Promise<{ output: string; error: number; bound: number }[]> {
  const sequences = sequencesOf(inputs);
  const wanted = wantedFor(Object.keys(outputs), architecture);
  const forward = await model.forward(sequences, wanted);
  const results: { output: string; error: number; bound: number }[] = [];
  for (const [output, expected] of Object.entries(outputs)) {
    const reference = expected.data.map(Number); // non-finite values are stored as strings
    const range = largestOf(expected);
    const noisy = noise?.[output];
    const bound = tolerance?.[output] ?? Math.max(10 * (noisy?.torch_float32_max_abs_err ?? 0), 2e-6 * range);
    const embedding = EMBEDDINGS[output];
    let actual: ArrayLike<number>;
    if (embedding) actual = (await model.forward(sequences, { embedding })).embedding!.data;
    else if (output === "loss") actual = [lossOf(forward, inputs, model, architecture)];
    else actual = valuesOf(forward, output);
    const error = largestError(actual, expected, reference);
    results.push({ output, error, bound });
  }
  return results;
}

function largestOf({ data }: Expected): number {
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

/** The largest |actual - expected|; NaN when a value is missing or not a number where one is expected. */
function largestError(actual: ArrayLike<number>, { shape, positions }: Expected, reference: readonly number[]): number {
  const at = positionsInto(shape, positions);
  if (!positions && actual.length !== reference.length) return Number.NaN;
  let largest = 0;
  for (let i = 0; i < reference.length; i++) {
    const got = actual[at(i)]!;
    const want = reference[i]!;
    const error = Object.is(got, want) || got === want ? 0 : Math.abs(got - want);
    if (!(error <= largest)) largest = error;
    if (Number.isNaN(largest)) return largest;
  }
  return largest;
}

/** Where element i of the stored positions of axis 1 stands in the whole tensor of `shape`. */
function positionsInto(shape: readonly number[], positions: readonly number[] | undefined): (i: number) => number {
  if (!positions) return (i) => i;
  const inner = shape.slice(2).reduce((product, size) => product * size, 1);
  return (i) => {
    const column = i % inner;
    const row = Math.floor(i / inner);
    const outer = Math.floor(row / positions.length);
    return (outer * shape[1]! + positions[row % positions.length]!) * inner + column;
  };
}

const program = new Command("reference")
  .description("compare every output of every model fixture below DIR with its float64 values")
  .argument("<DIR>", "folder of fixtures")
  .option("--adapter <NAME>", "hardware, software, or a part of an adapter's name", "auto")
  .addOption(new Option("--dtype <TYPE>", "storage of weights and activations").choices(["f32", "f16"]).default("f32"))
  .action(async (dir: string, { adapter, dtype }: { adapter: string; dtype: "f32" | "f16" }) => {
    const engine = await createEngine({ adapter });
    console.log(`${engine.adapter.name}, ${dtype}`);
    const { passed, failed, skipped } = await runReference(engine, dir, dtype, console.log);
    engine.dispose();
    console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
    process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
  });

await program.parseAsync().catch((error: Error) => {
  console.error(`error: ${error.message}`);
  process.exitCode = 2;
});
