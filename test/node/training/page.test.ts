/** The page of a run of training: what it draws, and what it says. */

import { describe, expect, test } from "vitest";
import { gradientCurves, lineOf, lossCurves, metricCurves, rateCurves } from "../../../src/node/cli/train/curves.ts";
import type { TrainOptions } from "../../../src/node/cli/train/options.ts";
import { type RunPage, trainPage } from "../../../src/node/cli/train/page.ts";
import type { Prepared } from "../../../src/node/cli/train/prepared.ts";
import type { TrainingFigure } from "../../../src/page/training.ts";
import type { LogRow } from "../../../src/train/index.ts";

const step = (at: number, loss: number, norm = 1): LogRow => ({
  ...{ epoch: at / 10, grad_norm: norm, learning_rate: at / 1000, loss, step: at },
});
const HISTORY: LogRow[] = [
  step(5, 2),
  step(10, 1, 4),
  { epoch: 1, step: 10, eval_loss: 1.5, eval_accuracy: 0.5, eval_perplexity: 40 },
  step(15, 0.5),
  step(20, 0.25),
  { epoch: 2, step: 20, eval_loss: 1.25, eval_accuracy: 0.75, eval_perplexity: 1 },
];

const run = (changed: Partial<RunPage> = {}): RunPage => ({
  kind: "classify",
  options: {
    input: ["data/train.csv"],
    evalInput: ["dev.csv"],
    output: "out/mine",
    model: "a/b",
    report: "r.html",
    seed: 3,
  } as unknown as TrainOptions,
  prepared: { facts: { rows: "20", labels: "no, yes" } } as unknown as Prepared,
  trainer: {
    step: 20,
    totalSteps: 20,
    history: HISTORY,
    best: { step: 20, metric: 0.75, checkpoint: "checkpoint-20" },
  },
  confusion: {
    step: 20,
    labels: ["no", "yes"],
    counts: [
      [7, 3],
      [2, 8],
    ],
  },
  adapter: "some GPU",
  end: { kind: "finished" },
  date: new Date("2026-11-30T12:00:00Z"),
  ...changed,
});

/** What a browser finds in the elements that hold JSON: they end at the first `</script`, whatever JSON says. */
function jsonOf(html: string): unknown[] {
  const elements = html.matchAll(/<script type="application\/json"[^>]*>(.*?)<\/script/gis);
  return [...elements].map(([, json]) => JSON.parse(json!) as unknown);
}
const figuresIn = (html: string): TrainingFigure[] =>
  jsonOf(html).filter(
    (value): value is TrainingFigure => "label" in (value as object) || "counts" in (value as object),
  );

describe("curves", () => {
  test("losses of training and of evaluations share a plot, from 0 where they fall", () => {
    expect(lossCurves(HISTORY, 20)).toEqual({
      ...{ kind: "curves", label: "loss", scale: "zero", best: 20 },
      lines: [
        { name: "training", steps: [5, 10, 15, 20], values: [2, 1, 0.5, 0.25], dots: true },
        { name: "evaluation", steps: [10, 20], values: [1.5, 1.25], dots: true },
      ],
    });
    expect(lossCurves([step(1, 2), step(2, 1.9)], undefined)).toMatchObject({
      scale: "fit",
      lines: [{ name: "training" }],
    });
  });

  test("the gradient's norm and the learning rate are of the steps", () => {
    expect(gradientCurves(HISTORY)?.lines[0]).toMatchObject({ steps: [5, 10, 15, 20], values: [1, 4, 1, 1] });
    expect(rateCurves(HISTORY)?.lines[0]?.values).toEqual([0.005, 0.01, 0.015, 0.02]);
    expect(gradientCurves([])).toBeUndefined();
  });

  test("metrics up to 1 share a plot, what goes beyond has one of its own, losses have none", () => {
    expect(
      metricCurves(HISTORY, 10).map(({ label, lines, best }) => [label, lines.map(({ values }) => values), best]),
    ).toEqual([
      ["accuracy", [[0.5, 0.75]], 10],
      ["perplexity", [[40, 1]], 10],
    ]);
  });

  test("what is no number is left out, as JSON leaves it", () => {
    const rows = [
      { step: 1, eval_pearson: Number.NaN },
      { step: 2, eval_pearson: null as unknown as number },
      { step: 3, eval_pearson: 0.5 },
    ];
    expect(metricCurves(rows, undefined)[0]?.lines).toEqual([
      { name: "pearson", steps: [3], values: [0.5], dots: true },
    ]);
  });

  test("of very many points means of neighbours are drawn, each at the last of them", () => {
    const line = lineOf(
      "loss",
      Array.from({ length: 1200 }, (_, i) => step(i + 1, i % 2)),
      ({ loss }) => loss,
    );
    expect(line.steps).toHaveLength(600);
    expect([line.steps[0], line.steps.at(-1), new Set(line.values), line.dots]).toEqual([
      2,
      1200,
      new Set([0.5]),
      false,
    ]);
  });
});

describe("the page", () => {
  test("has the curves, the matrix, and all rows as JSON", () => {
    const html = trainPage(run(), "draw()");
    expect(figuresIn(html).map((figure) => (figure.kind === "curves" ? figure.label : figure.labels))).toEqual([
      ...["loss", "gradient norm", "learning rate", "accuracy", "perplexity", ["no", "yes"]],
    ]);
    expect(jsonOf(html).at(-1)).toMatchObject({
      adapter: "some GPU",
      step: 20,
      steps: 20,
      end: { kind: "finished" },
      history: HISTORY,
    });
    expect(html.match(/<div class="plot" role="img" aria-label="Plot: [^"]+">/g)).toHaveLength(6);
  });

  test("says what the model card says", () => {
    const html = trainPage(run(), "");
    for (const [name, value] of [
      ["began with", "a/b"],
      ["files", "train.csv"],
      ["files evaluated on", "dev.csv"],
      ["labels", "no, yes"],
      ["--seed", "3"],
      ["adapter", "some GPU"],
    ]) {
      expect(html).toContain(`<dt>${name}</dt><dd>${value}</dd>`);
    }
    expect(html).toContain(`<td class="text">accuracy</td><td>0.7500</td>`);
    expect(html).toContain("Of the best evaluation, after step 20.");
    expect(html).not.toMatch(/data\/train|out\/mine|r\.html/); // places are the writer's own
  });

  test("says how the run ended", () => {
    const trainer = { ...run().trainer, totalSteps: 90 };
    expect(trainPage(run({ trainer }), "")).toContain("20 of 90, it ended early");
    expect(trainPage(run({ trainer, end: { kind: "interrupted" } }), "")).toContain(
      "20 of 90, then it was interrupted",
    );
    const failed = trainPage(run({ trainer, end: { kind: "failed", message: "step 21: <lost>" } }), "");
    expect(failed).toMatch(/It ended by an error<.*step 21: &#60;lost&#62;/s);
  });

  test("without an evaluation it has the curves of its steps", () => {
    const trainer = { ...run().trainer, history: [step(5, 2)], best: undefined };
    const html = trainPage(run({ trainer, confusion: undefined }), "");
    expect(figuresIn(html)).toHaveLength(3);
    expect(html).toContain("It was not evaluated.");
    expect(html).not.toContain("Confusion matrix");
  });

  test("of many labels the table has the mistakes that were made most, of many steps some", () => {
    const labels = Array.from({ length: 40 }, (_, i) => `l${i}`);
    const counts = labels.map((_, g) =>
      labels.map((_, p) => (g === 3 && p === 5 ? 9 : g === 7 && p === 2 ? 11 : g === p ? 4 : 0)),
    );
    const trainer = { ...run().trainer, history: Array.from({ length: 1500 }, (_, i) => step(i + 1, 1)) };
    const html = trainPage(run({ trainer, confusion: { step: 20, labels, counts } }), "");
    const rows = [
      ...html.matchAll(/<td class="text">(l\d+)<\/td><td class="text">(l\d+)<\/td><td>(\d+)<\/td><td>(\d+)</g),
    ];
    expect(rows.map(([, ...cells]) => cells)).toEqual([
      ["l7", "l2", "11", "15"],
      ["l3", "l5", "9", "13"],
    ]);
    expect(html.match(/<td>1\.0000<\/td>/g)!.length).toBeGreaterThanOrEqual(500);
    expect(html).toContain("<td>1,500</td>");
    expect(html).not.toContain("<td>1,499</td>");
  });

  test("asks the network nothing, and keeps what names say out of its markup", () => {
    const name = `</script><script>alert("1")</script><!--<b title='&'>`;
    const prepared = { facts: { labels: name } } as unknown as Prepared;
    const html = trainPage(
      run({ prepared, adapter: name, confusion: { step: 1, labels: [name], counts: [[1]] } }),
      "draw()",
    );
    expect(html).toContain(`content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"`);
    expect(html).not.toMatch(/\b(src|href|action|srcset)\s*=|@import|url\(|https?:|<link|<img|<iframe/i);
    expect(html.match(/<script>/g)).toHaveLength(1);
    expect(html).not.toMatch(/<b title|<!--/);
  });
});
