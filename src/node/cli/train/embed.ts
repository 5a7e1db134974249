/** `train embed`: vectors of texts, so that those that belong together are near each other. */

import { pearson, spearman } from "../../../bert/metrics/correlation.ts";
import { pairsOf, RETRIEVAL_FIGURES, retrievalFigures } from "../../../bert/metrics/retrieval.ts";
import { epochsOf } from "../../../train/data/epochs.ts";
import type { Evaluation, Example, SentenceLossName } from "../../../train/index.ts";
import { openSentence, sentenceModulesOf } from "../../../train/sentence_files.ts";
import type { RowValues } from "../../data/rows.ts";
import { InputError } from "../failure.ts";
import { textIn } from "../file_rows.ts";
import { evaluateAll } from "./evaluate.ts";
import { type Context, count, learntAndHeld, type Prepared } from "./prepared.ts";
import { columnNames, type Placed, readRows, tableOf } from "./rows.ts";

type Sequence = Example["sequence"];

interface Row {
  /** An anchor, its positive, negatives; or two sentences. */
  readonly texts: readonly [string, string, ...string[]];
  readonly score: number | undefined;
}

interface Columns {
  readonly texts: readonly [string, string, ...string[]];
  readonly score: string | undefined;
  readonly loss: SentenceLossName;
}

export async function prepareEmbed(context: Context): Promise<Prepared> {
  const { options, tokenizer, config, folder, warn } = context;
  const modules = await sentenceModulesOf(folder);
  const own = modules?.maxSeqLength;
  const maxLength = Math.min(options.maxLength ?? own ?? context.maxLength, config.maxPositionEmbeddings);
  const { pooling, scale, margin, matryoshka, seed } = options;
  const sentence = { pooling, scale, margin, matryoshka, maxLength };
  const { settings } = await openSentence(folder, modules, sentence, config); // what is wrong is told before data are read
  const columns = await columnsOf(context);
  const { loss } = columns;
  const open = tableOf(options, [...columns.texts, ...(columns.score === undefined ? [] : [columns.score])]);
  const rowOf = (values: RowValues): Row => ({
    texts: columns.texts.map((name) => filled(textIn(values, name), name)) as [string, string],
    score: columns.score === undefined ? undefined : scoreIn(values[columns.score], columns.score),
  });
  const { learnt, held } = await learntAndHeld(options, (paths) => readRows(paths, open, rowOf));
  requireRows(learnt, loss);
  const twice = learnt.length - new Set(learnt.map(({ row }) => JSON.stringify(row))).size;
  if (twice > 0) warn(`${count(twice, "row")} the same as one before: what is there twice counts twice`);
  let cut = 0;
  const onCut = (): number => cut++;
  const sequenceOf = (text: string): Sequence => {
    const spelt = modules?.lowercase ? text.toLowerCase() : text;
    const { ids } = tokenizer.encode(spelt, undefined, { truncation: "longest_first", maxLength, onCut });
    return { inputIds: Uint32Array.from(ids) };
  };
  const examples = learnt.map(({ row: { texts, score } }): Example => {
    const [first, ...more] = texts.map(sequenceOf);
    return { sequence: first!, more, labels: { label: score } };
  });
  if (cut > 0) warn(`${count(cut, "text")} longer than ${maxLength} tokens: the rest is left out`);
  const graded = columns.score !== undefined;
  const judge = graded ? gradedEvaluation : searchedEvaluation;
  return {
    objectives: [loss],
    sentence,
    data: epochsOf(examples, seed, (example) => example),
    evaluation: held.length > 0 ? judge(held, sequenceOf, settings.pooling) : undefined,
    metrics: graded ? ["spearman", "pearson"] : RETRIEVAL_FIGURES,
    facts: {
      rows: `${examples.length.toLocaleString("en")} of ${columns.texts.join(", ")}${graded ? `, ${columns.score}` : ""}`,
      loss: matryoshka ? `${loss}, of the first ${settings.matryoshka!.join(", ")} dimensions` : loss,
      "vectors by": `${settings.pooling} of up to ${maxLength} tokens`,
      ...(held.length > 0 && { "rows evaluated on": held.length.toLocaleString("en") }),
    },
  };
}

/** As they are said to be called, else as data sets call them; and the loss that they are for. */
async function columnsOf({ options }: Context): Promise<Columns> {
  const { input, textColumn, pairColumn, labelColumn, negativeColumn } = options;
  const names = await columnNames(options, input[0]!);
  const sentences = names.includes("sentence1") && !names.includes("anchor");
  const first = textColumn ?? (sentences ? "sentence1" : "anchor");
  const second = pairColumn ?? (sentences ? "sentence2" : "positive");
  const negatives = negativeColumn ?? (sentences ? [] : names.filter((name) => /^negative(_\d+)?$/.test(name)));
  const there = labelColumn ?? (names.includes("score") ? "score" : undefined);
  const loss = options.loss ?? (there === undefined || negatives.length > 0 ? "mnrl" : "cosent");
  const graded = loss === "cosine" || loss === "cosent";
  const what = `${input[0]}: --loss ${loss}`;
  if (graded && there === undefined) {
    throw new InputError(`${what} needs a number of each row, there is no column "score"; it has ${names.join(", ")}`);
  }
  if (loss === "triplet" && negatives.length !== 1) {
    throw new InputError(
      `${what} needs one negative of each row, there are ${negatives.length}; it has ${names.join(", ")}`,
    );
  }
  const score = graded ? (there ?? "score") : undefined;
  return { texts: [first, second, ...(graded ? [] : negatives)], score, loss };
}

function requireRows(rows: readonly Placed<Row>[], loss: SentenceLossName): void {
  if (rows.length < 2 && (loss === "mnrl" || loss === "cosent")) {
    throw new InputError(
      `${count(rows.length, "row")}: --loss ${loss} holds rows against each other, it needs at least 2`,
    );
  }
  const [first] = rows;
  if (loss === "cosent" && rows.every(({ row }) => row.score === first!.row.score)) {
    throw new InputError(
      `all ${count(rows.length, "row")} have the score ${first!.row.score}: there is no order to learn`,
    );
  }
}

function filled(text: string, column: string): string {
  if (text.trim() !== "") return text;
  throw new InputError(`column ${JSON.stringify(column)} is empty`);
}

function scoreIn(value: unknown, column: string): number {
  const number = typeof value === "string" && value.trim() === "" ? Number.NaN : Number(value ?? Number.NaN);
  if (Number.isFinite(number)) return number;
  throw new InputError(`column ${JSON.stringify(column)} is ${JSON.stringify(value)}, it must be a number`);
}

type Judge = (
  rows: readonly Placed<Row>[],
  sequenceOf: (text: string) => Sequence,
  pooling: "mean" | "cls" | "max",
) => Evaluation;

/** Cosines against the scores. */
const gradedEvaluation: Judge = (rows, sequenceOf, pooling) => {
  if (rows.length < 2)
    throw new InputError(`${count(rows.length, "row")} to evaluate on, a correlation needs at least 2`);
  const sequences = [0, 1].flatMap((i) => rows.map(({ row }) => sequenceOf(row.texts[i]!)));
  const scores = rows.map(({ row }) => row.score!);
  return async (forward) => {
    const vectors = await vectorsOf(forward, sequences, pooling);
    const cosines = rows.map((_, i) => dot(vectors[i]!, vectors[rows.length + i]!));
    return { spearman: spearman(cosines, scores), pearson: pearson(cosines, scores) };
  };
};

/** Each anchor is searched for among all positives and negatives. */
const searchedEvaluation: Judge = (rows, sequenceOf, pooling) => {
  const { queries, texts, relevant } = pairsOf(rows.map(({ row }) => row.texts));
  const sequences = [...queries, ...texts].map(sequenceOf);
  return async (forward) => {
    const vectors = await vectorsOf(forward, sequences, pooling);
    return retrievalFigures({
      ...{ queries: vectors.slice(0, queries.length), texts: vectors.slice(queries.length), relevant },
    });
  };
};

/** Of length 1. */
async function vectorsOf(
  forward: Parameters<Evaluation>[0],
  sequences: readonly Sequence[],
  pooling: "mean" | "cls" | "max",
): Promise<Float32Array[]> {
  const vectors: Float32Array[] = [];
  const wanted = { embedding: { pooling, normalize: true } } as const;
  await evaluateAll(forward, sequences, wanted, ({ embedding: { data, shape } }, { index, sequence }) => {
    const size = shape[1]!;
    vectors[index] = data.slice(sequence * size, (sequence + 1) * size);
  });
  return vectors;
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}
