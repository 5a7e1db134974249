/** What `evaluate` measures, by task: the labelled data, what the model is asked, and the figures. */

import { classificationReport, confusionMatrix } from "../../bert/metrics/classification.ts";
import { pearson, spearman } from "../../bert/metrics/correlation.ts";
import { entityReport, strictScheme } from "../../bert/metrics/entities.ts";
import type { Averages, Scores } from "../../bert/metrics/f1.ts";
import { answerScores } from "../../bert/metrics/squad.ts";
import type { Plan } from "../../bert/tasks/plan.ts";
import type { Pretrained, TaskOptions, TextInput } from "../../bert/tasks/pretrained.ts";
import { planQuestionAnswering } from "../../bert/tasks/question_answering.ts";
import { planSimilarity } from "../../bert/tasks/similarity.ts";
import { planTextClassification } from "../../bert/tasks/text_classification.ts";
import { planTokenClassification } from "../../bert/tasks/token_classification.ts";
import { conllTable } from "../data/conll.ts";
import { squadTable } from "../data/squad.ts";
import { formatOf, type Table, type Values } from "../data/table.ts";
import { planMaskedPieces } from "./evaluate_masks.ts";
import type { GivenOptions } from "./evaluate.ts";
import { InputError } from "./failure.ts";
import { openInput, textIn } from "./file_rows.ts";

export interface Report extends Partial<Averages> {
  readonly task: string;
  /** Of the data, bad ones included in neither. */
  readonly rows: number;
  readonly skipped?: number;
  /** In the order in which they are shown. */
  readonly figures: Readonly<Record<string, number>>;
  readonly classes?: ReadonlyMap<string, Scores>;
  readonly confusion?: { readonly labels: readonly string[]; readonly counts: readonly (readonly number[])[] };
  /** Gold and predicted score of each row. */
  readonly points?: readonly (readonly [gold: number, predicted: number])[];
}

/** One evaluation at work. */
export interface Measuring<Gold, Result> {
  readonly plan: Plan<Gold, Result>;
  /** @throws InputError for a row that cannot be used */
  readonly inputOf: (values: Values) => Gold;
  readonly add: (input: Gold, result: Result) => void;
  readonly report: (warn: (message: string) => void) => Report;
}

interface Prepared {
  readonly table: Table;
  readonly begin: (pretrained: Pretrained, options: TaskOptions) => Measuring<unknown, unknown>;
}

export type EvaluationName =
  | "text-classification"
  | "token-classification"
  | "question-answering"
  | "sts"
  | "fill-mask";

export const EVALUATIONS: Readonly<Record<EvaluationName, (options: GivenOptions) => Promise<Prepared>>> = {
  "text-classification": textClassification,
  "token-classification": tokenClassification,
  "question-answering": questionAnswering,
  sts,
  "fill-mask": fillMask,
};

async function textClassification(options: GivenOptions): Promise<Prepared> {
  const { column = "text", pairColumn, labelColumn = "label" } = options;
  const pairs = pairColumn === undefined ? [] : [pairColumn];
  return prepared(await openInput(options, [column, ...pairs, labelColumn]), (pretrained, settings) => {
    const { labels } = pretrained.model.config;
    const [gold, predicted]: [string[], string[]] = [[], []];
    const plan = planTextClassification(pretrained, { ...settings, topK: 1 });
    return {
      plan: withGold(plan),
      inputOf: (values) => {
        const text = textIn(values, column);
        const input: TextInput = pairColumn === undefined ? text : { text, pair: textIn(values, pairColumn) };
        return { input, gold: labelOf(values[labelColumn], labels, labelColumn) };
      },
      add(row: WithGold<TextInput, string>, [best]) {
        gold.push(row.gold);
        predicted.push(best!.label);
      },
      report: () => {
        const { accuracy, rows, ...rest } = classificationReport(
          confusionMatrix(some(gold), predicted, labels.length <= 100 ? labels : []),
        );
        return { task: options.task, rows, figures: { accuracy }, ...rest };
      },
    };
  });
}

async function tokenClassification(options: GivenOptions): Promise<Prepared> {
  const { column = "tokens", labelColumn = "tags", input, format, scheme } = options;
  const listed = ["jsonl", "parquet"].includes(format ?? formatOf(input));
  const table = listed ? await openInput(options, [column, labelColumn]) : conllTable(input);
  const [wordsColumn, tagsColumn] = listed ? [column, labelColumn] : ["tokens", "tags"];
  return prepared(table, (pretrained, settings) => {
    const { labels } = pretrained.model.config;
    const [gold, predicted]: [string[][], string[][]] = [[], []];
    const plan = planTokenClassification(pretrained, { ...settings, aggregationStrategy: "none", ignoreLabels: [] });
    return {
      plan: withGold(plan),
      inputOf: (values) => {
        const words = listIn(values, wordsColumn, (word) => (typeof word === "string" ? word : undefined), "words");
        const tags = listIn(values, tagsColumn, (tag) => (typeof tag === "number" ? labels[tag] : asText(tag)), "tags");
        if (words.length === tags.length && words.length > 0) return { input: words, gold: tags };
        throw new InputError(`${words.length} words and ${tags.length} tags; one for each is needed`);
      },
      add({ input: words, gold: tags }: WithGold<string[], string[]>, entities) {
        gold.push(tags);
        // as is the custom, a word is what its first piece is; one without a piece is nothing
        let [start, next] = [0, 0];
        predicted.push(
          words.map((word) => {
            const end = start + word.length;
            while (next < entities.length && entities[next]!.start < start) next++;
            const piece = entities[next];
            start = end + 1;
            return piece && piece.start < end && "entity" in piece ? piece.entity : "O";
          }),
        );
      },
      report(warn) {
        const unknown = [...new Set(some(gold).flat())].filter((tag) => tag !== "O" && !labels.includes(tag));
        if (unknown.length > 0) warn(`the model has no labels ${unknown.join(", ")}; it has ${labels.join(", ")}`);
        const read = scheme === "strict" ? strictScheme([...gold, labels]) : "lenient";
        const { accuracy, sentences: rows, ...rest } = entityReport(gold, predicted, read);
        return { task: options.task, rows, figures: { f1: rest.micro.f1, "word accuracy": accuracy }, ...rest };
      },
    };
  });
}

async function questionAnswering(options: GivenOptions): Promise<Prepared> {
  const { column = "question", pairColumn = "context", labelColumn = "answers", input, format } = options;
  const listed = format === "parquet" || (format === "jsonl") || /\.(jsonl|ndjson|parquet|pq)(\.gz)?$/i.test(input);
  const table = listed ? await openInput(options, [column, pairColumn, labelColumn]) : await squadTable(input);
  return prepared(table, (pretrained, settings) => {
    const { maxAnswerLen } = options;
    // where some questions have no answer, the model must be able to say so; that they all have one is known at the end
    const plan = planQuestionAnswering(pretrained, { ...settings, maxAnswerLen, handleImpossibleAnswer: impossible(table) });
    const scores: { exact: number; f1: number }[] = [];
    return {
      plan: withGold(plan),
      inputOf: (values) => ({
        input: { question: textIn(values, column), context: textIn(values, pairColumn) },
        gold: answersIn(values[labelColumn], labelColumn),
      }),
      add({ gold }: WithGold<unknown, string[]>, [best]) {
        scores.push(answerScores(best?.answer ?? "", gold));
      },
      report: () => {
        const mean = (name: "exact" | "f1"): number => some(scores).reduce((sum, score) => sum + score[name], 0) / scores.length;
        return { task: options.task, rows: scores.length, figures: { "exact match": mean("exact"), f1: mean("f1") } };
      },
    };
  });
}

async function sts(options: GivenOptions): Promise<Prepared> {
  const { column = "sentence1", pairColumn = "sentence2", labelColumn = "score" } = options;
  return prepared(await openInput(options, [column, pairColumn, labelColumn]), (pretrained, settings) => {
    const { model } = pretrained;
    const together = model.classifierKind === "sequence" && model.config.labels.length === 1;
    const points: [number, number][] = [];
    return {
      plan: withGold(together ? crossScore(pretrained, settings) : vectorScore(pretrained, settings)),
      inputOf: (values) => {
        const gold = Number(values[labelColumn]);
        if (values[labelColumn] === "" || !Number.isFinite(gold)) {
          throw new InputError(`column ${JSON.stringify(labelColumn)} is ${JSON.stringify(values[labelColumn])}, it must be a number`);
        }
        return { input: { text: textIn(values, column), pair: textIn(values, pairColumn) }, gold };
      },
      add({ gold }: WithGold<unknown, number>, score) {
        points.push([gold, score]);
      },
      report: () => {
        const [gold, scores] = [some(points).map(([x]) => x), points.map(([, y]) => y)];
        const figures = { spearman: spearman(gold, scores), pearson: pearson(gold, scores) };
        return { task: options.task, rows: points.length, figures, points };
      },
    };
  });
}

async function fillMask(options: GivenOptions): Promise<Prepared> {
  const { column = "text" } = options;
  return prepared(await openInput(options, [column]), (pretrained, settings) => {
    let [rows, masked, first, among] = [0, 0, 0, 0];
    return {
      plan: planMaskedPieces(pretrained, settings),
      inputOf: (values) => textIn(values, column),
      add(_, ranks) {
        rows++;
        masked += ranks.length;
        first += ranks.filter((rank) => rank === 0).length;
        among += ranks.filter((rank) => rank >= 0).length;
      },
      report: () => {
        if (masked === 0) throw new InputError("there is no word piece to mask");
        return { task: options.task, rows, figures: { "top 1": first / masked, "top 5": among / masked, "masked pieces": masked } };
      },
    };
  });
}

interface WithGold<Input, Gold> {
  readonly input: Input;
  readonly gold: Gold;
}

type Pair = { readonly text: string; readonly pair: string };

function crossScore(pretrained: Pretrained, options: TaskOptions): Plan<Pair, number> {
  return mapped(planTextClassification(pretrained, { ...options, functionToApply: "none" }), (pair) => pair, ([best]) => best!.score);
}

function vectorScore(pretrained: Pretrained, options: TaskOptions): Plan<Pair, number> {
  return mapped(
    planSimilarity(pretrained, options),
    ({ text, pair }) => ({ source_sentence: text, sentences: [pair] }),
    ([similarity]) => similarity!,
  );
}

function mapped<From, Input, Between, Result>(
  plan: Plan<Input, Between>,
  input: (from: From) => Input,
  result: (between: Between) => Result,
): Plan<From, Result> {
  return {
    wanted: plan.wanted,
    prepare(from, index) {
      const job = plan.prepare(input(from), index);
      return { ...job, finish: (outputs) => result(job.finish(outputs)) };
    },
  };
}

function withGold<Input, Gold, Result>(plan: Plan<Input, Result>): Plan<WithGold<Input, Gold>, Result> {
  return mapped(plan, ({ input }: WithGold<Input, Gold>) => input, (result) => result);
}

/** Forgets what rows are made of, which whoever runs an evaluation need not know. */
function prepared<Gold, Result>(
  table: Table,
  begin: (pretrained: Pretrained, options: TaskOptions) => Measuring<Gold, Result>,
): Prepared {
  return { table, begin: begin as Prepared["begin"] };
}
