import { describe, expect, test } from "vitest";
import { classificationReport, confusionMatrix } from "../../../src/bert/metrics/classification.ts";
import { averagesOf, scoresOf } from "../../../src/bert/metrics/f1.ts";

describe("classification", () => {
  // scikit-learn's own example of classification_report, and its printed figures
  const gold = ["0", "1", "2", "2", "2"];
  const predicted = ["0", "0", "2", "2", "1"];
  const report = classificationReport(confusionMatrix(gold, predicted));

  test("gives the figures of scikit-learn", () => {
    expect(report.accuracy).toBe(0.6);
    expect(report.rows).toBe(5);
    expect(report.confusion).toEqual({
      labels: ["0", "1", "2"],
      counts: [
        [1, 0, 0],
        [1, 0, 0],
        [0, 1, 2],
      ],
    });
    expect([...report.classes]).toEqual([
      ["0", { precision: 0.5, recall: 1, f1: 2 / 3, support: 1 }],
      ["1", { precision: 0, recall: 0, f1: 0, support: 1 }],
      ["2", { precision: 1, recall: 2 / 3, f1: 0.8, support: 3 }],
    ]);
    expect(report.macro.precision).toBeCloseTo(0.5, 12);
    expect(report.macro.recall).toBeCloseTo(5 / 9, 12);
    expect(report.macro.f1).toBeCloseTo(0.488_888_888_889, 12);
    expect(report.weighted).toEqual({
      precision: expect.closeTo(0.7, 12),
      recall: expect.closeTo(0.6, 12),
      f1: expect.closeTo(0.613_333_333_333, 12),
      support: 5,
    });
    // one label per row: micro F1 is the accuracy
    expect(report.micro.f1).toBeCloseTo(report.accuracy, 12);
  });

  test("keeps the order of labels given, and leaves out of averages what does not occur", () => {
    const ordered = confusionMatrix(["no", "yes"], ["no", "maybe"], ["yes", "no", "never"]);
    expect(ordered.labels).toEqual(["yes", "no", "never", "maybe"]);
    expect(ordered.counts[0]).toEqual([0, 0, 0, 1]);
    const { classes, macro } = classificationReport(ordered);
    expect([...classes.keys()]).toEqual(["yes", "no", "maybe"]);
    expect(macro.f1).toBeCloseTo(1 / 3, 12);
  });

  test("divides nothing by nothing into 0", () => {
    expect(scoresOf({ correct: 0, predicted: 0, gold: 0 })).toEqual({ precision: 0, recall: 0, f1: 0, support: 0 });
    expect(averagesOf([]).macro).toEqual({ precision: 0, recall: 0, f1: 0, support: 0 });
  });

  test("refuses lists that do not belong together", () => {
    expect(() => confusionMatrix(["a"], [])).toThrow("1 gold labels and 0 predictions");
    expect(() => confusionMatrix([], [])).toThrow(RangeError);
  });
});
